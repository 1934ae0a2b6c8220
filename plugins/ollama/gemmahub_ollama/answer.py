"""One answer of an Ollama server: its chunks, its end, and its counts."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, ToolCall, Usage
from gemmahub.engines.thoughts import ThoughtStream, joined
from gemmahub.engines.tool_calls import new_call_id
from gemmahub.errors import BackendCrashed, GenerationFailed
from gemmahub.http.limits import ExchangeError
from gemmahub.http.values import count_of, object_of, text_of
from gemmahub_ollama import failures
from gemmahub_ollama.line_stream import Nonsense, Refused

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from gemmahub.engines.contract import Sampling
    from gemmahub_ollama.server import OllamaServer

# Ollama ends an answer without a word when one token came more than 30 times in a row
# (``llm/server.go``, "token repeat limit reached").
_REPEATS: Final = 30
_FEW: Final = 64  # objects of an answer of one token, at most


class AnswerReader:
    """Reads one answer; the counts are the server's own, or ours where it was cut short.

    ``at_least``: tokens that the prompt has in any case. ``prompt_tokens`` are those that the
    server then counted, 0 until it did.
    """

    def __init__(
        self,
        server: OllamaServer,
        path: str,
        body: Mapping[str, Any],
        sampling: Sampling,
        context: int,
        at_least: int = 0,
    ) -> None:
        self.prompt_tokens = 0
        self._at_least = at_least
        self._server = server
        self._model = str(body["model"])
        self._path = path
        self._body = body
        self._stream = server.answer(path, body)
        self._sampling = sampling
        self._context = context
        self._closed = False
        self._thoughts = ThoughtStream()
        self._thought_pieces = 0
        self._called = False
        self._pieces = 0
        self._last = ""
        self._repeated = 0
        self._started = 0.0
        self._first = 0.0
        self._now = 0.0

    def stop(self, *, closed: bool = False) -> None:
        """End it; its last chunk still comes, unless the session was ``closed``."""
        self._closed = self._closed or closed
        self._stream.stop()

    def chunks(self) -> Iterator[Chunk]:
        """The answer, in whole characters, as it comes.

        Raises: ContextExceeded, GenerationFailed, BackendCrashed.
        """
        self._started = self._first = perf_counter()
        try:
            with closing(self._read()) as chunks:
                yield from chunks
        except Refused as error:
            raise failures.from_status(
                error.status, error.said, self._model, GenerationFailed
            ) from error
        except Nonsense as error:
            raise failures.as_kind(
                failures.not_ollama(self._server.address, str(error)), GenerationFailed
            ) from error
        except ExchangeError as error:
            told = failures.from_exchange(error, self._server.address, "answering")
            raise failures.as_kind(told, GenerationFailed) from error

    def _read(self) -> Generator[Chunk, None, None]:
        wanted = self._sampling.max_tokens
        with closing(self._stream.objects()) as objects:
            for found in objects:
                if found.get("done") is True:
                    yield from joined(self._thoughts.finish(), Chunk("", self._usage(found)))
                    return
                thought, text = _texts(found)
                calls = _calls(found) if self._sampling.tools else []
                if not (thought or text or calls) or wanted == 0:
                    continue
                self._count(thought or text)
                if thought:
                    self._thought_pieces += 1
                    yield Chunk(thought, kind=ChunkKind.REASONING)
                yield from self._thoughts.feed(text)
                for call in calls:
                    self._called = True
                    yield Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=call)
        self._now = perf_counter()
        if self._closed:
            raise GenerationFailed("the session was closed", "load the model again")
        if self._stream.stopped:
            yield Chunk("", self._own_usage(FinishReason.CANCELLED, 0))
        elif self._repeated >= _REPEATS:
            yield Chunk("", self._own_usage(FinishReason.STOP, self._prompt_tokens()))
        else:
            raise BackendCrashed(
                f"the Ollama server at {self._server.address.shown} stopped in the "
                "middle of the answer",
                "try again; see the server's log",
            )

    def _count(self, text: str) -> None:
        self._first = self._first if self._pieces else perf_counter()
        self._pieces += 1
        word = text.strip()
        self._repeated = self._repeated + 1 if word == self._last else 0
        self._last = word

    def _usage(self, last: Mapping[str, Any]) -> Usage:
        """The counts of the server's last object."""
        wanted = self._sampling.max_tokens
        asked, said = _count_of(last, "prompt_eval_count"), _count_of(last, "eval_count")
        self.prompt_tokens = asked
        if wanted == 0:
            said = 0
        reason = FinishReason.TOOL_CALLS if self._called else FinishReason.STOP
        if last.get("done_reason") == "length":
            reached = wanted is not None and said >= wanted
            reason = FinishReason.LENGTH if reached else FinishReason.CONTEXT
        return Usage(
            finish_reason=reason,
            prompt_tokens=asked,
            prefill_tokens=asked,  # Ollama does not say what came from its cache
            tokens=said,
            prefill_seconds=_count_of(last, "prompt_eval_duration") / 1e9,
            decode_seconds=_count_of(last, "eval_duration") / 1e9,
            context_used=min(asked + said, self._context),
            context=self._context,
            # A server that knows no ``truncate`` cuts a text to the whole context, and drops the
            # first messages of a conversation.
            truncated=asked >= self._context or asked < self._at_least,
            reasoning_tokens=self._reasoning_tokens,
        )

    def _own_usage(self, reason: FinishReason, asked: int) -> Usage:
        """Counts of an answer whose last object did not come; ``asked`` is 0 where not known."""
        first = self._first if self._pieces else self._now
        return Usage(
            finish_reason=reason,
            prompt_tokens=asked,
            prefill_tokens=asked,
            tokens=self._pieces,
            prefill_seconds=first - self._started,
            decode_seconds=self._now - first,
            context_used=min(asked + self._pieces, self._context),
            context=self._context,
            reasoning_tokens=self._reasoning_tokens,
        )

    @property
    def _reasoning_tokens(self) -> int:
        """Ollama does not say them; it sends a thought token by token."""
        return self._thought_pieces + self._thoughts.tokens

    def _prompt_tokens(self) -> int:
        """Tokens of the prompt, asked again for one token: the rest is in the server's cache."""
        again = {**self._body, "options": {**self._body["options"], "num_predict": 1}}
        with closing(self._server.answer(self._path, again).objects()) as objects:
            for found in islice(objects, _FEW):
                if found.get("done") is True:
                    return _count_of(found, "prompt_eval_count")
        return 0


def _texts(found: Mapping[str, Any]) -> tuple[str, str]:
    """Thought and text in an object of ``/api/chat`` or ``/api/generate``."""
    message = found.get("message")
    if isinstance(message, dict):
        return text_of(message.get("thinking")), text_of(message.get("content"))
    return text_of(found.get("thinking")), text_of(found.get("response"))


def _calls(found: Mapping[str, Any]) -> list[ToolCall]:
    """Calls of tools in an object of ``/api/chat``; the ids are ours, as some servers give none."""
    listed = object_of(found.get("message")).get("tool_calls")
    if not isinstance(listed, list):
        return []
    functions = [object_of(object_of(each).get("function")) for each in listed]
    return [
        ToolCall(new_call_id(), text_of(each.get("name")), json.dumps(each.get("arguments")))
        for each in functions
        if text_of(each.get("name"))
    ]


def _count_of(found: Mapping[str, Any], name: str) -> int:
    return count_of(found.get(name)) or 0
