"""One answer of a server, from its server-sent events: chunks, calls of tools, counts and times."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, ToolCall, Usage
from gemmahub.engines.tool_calls import new_call_id
from gemmahub.errors import ContextExceeded, GenerationFailed
from gemmahub.http.values import NotJson, count_of, number_of, object_of, parse_json, text_of
from gemmahub.text import one_line
from gemmahub_openai import faults

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub_openai.servers import Server

_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
_ENDS: Final = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
}
_THOUGHTS: Final = ("reasoning_content", "reasoning")
_MOST_CALLS: Final = 128
_LONGEST_CALL: Final = 1 << 20


@dataclass(slots=True)
class _Call:
    """A call of a tool, of which pieces have come."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True)
class EventReader:
    """Reads one answer.

    ``wanted`` is the most tokens that were asked for, ``context`` what the server stated for a
    conversation; ``endless``: without a limit the program goes on until the context is full.
    ``seen`` says whether anything came.
    """

    server: Server
    model: str
    wanted: int | None
    context: int | None
    endless: bool = False
    seen: bool = False
    _reason: FinishReason | None = None
    _counts: dict[str, Any] = field(default_factory=dict)
    _timings: dict[str, Any] = field(default_factory=dict)
    _calls: dict[int, _Call] = field(default_factory=dict)
    _thought: bool = False
    _said: bool = False

    def chunks(self, lines: Iterator[bytes]) -> Iterator[Chunk]:
        """The chunks; the last one has the counts. None of that where the lines end too early.

        Raises: GenerationFailed, ContextExceeded with what the server says; NotJson.
        """
        for line in lines:
            if not line.startswith(_DATA):
                self._check(line)
                continue
            self.seen = True
            data = line.removeprefix(_DATA).strip()
            if data == _DONE:
                yield from self._ended()
                return
            found = object_of(parse_json(data))
            if said := faults.error_text(found):
                raise self._failed(said)
            self._check_model(text_of(found.get("model"), 500))
            self._counts = object_of(found.get("usage")) or self._counts
            self._timings = object_of(found.get("timings")) or self._timings
            choices = found.get("choices")
            for choice in choices[:1] if isinstance(choices, list) else ():
                yield from self._choice(object_of(choice))

    def _check(self, line: bytes) -> None:
        """Of a line that is no event: whether it is a whole answer of another kind.

        Raises: GenerationFailed, WebPage.
        """
        if self.seen or line.startswith((b":", b"event:", b"id:", b"retry:")):
            return
        if line.lstrip().startswith(b"<"):
            raise faults.not_json(self.server, line)
        try:
            found = object_of(parse_json(line))
        except NotJson:
            return
        if said := faults.error_text(found):
            raise self._failed(said)

    def _failed(self, said: str) -> GenerationFailed | ContextExceeded:
        if faults.is_too_long(said):
            return faults.too_long(self.server, said, self.context)
        return GenerationFailed(
            f"{self.server.shown} failed: {one_line(said, 300)}", "see its log, then try again"
        )

    def _check_model(self, said: str) -> None:
        """A server that has one model answers with it, whatever was asked for.

        Raises: GenerationFailed where the answer is of another model.
        """
        if not said or not self.model:
            return
        one, other = _bare(said), _bare(self.model)
        if one == other or _is_version(one, other) or _is_version(other, one):
            return
        raise GenerationFailed(
            f"{self.server.shown} answers as {one_line(said, 120)}, not as "
            f"{one_line(self.model, 120)}",
            "see `gemmahub list`: it may have loaded another model",
        )

    def _choice(self, choice: dict[str, Any]) -> Iterator[Chunk]:
        delta = object_of(choice.get("delta"))
        text = text_of(delta.get("content")) or text_of(choice.get("text"))
        for name in _THOUGHTS:
            if thought := text_of(delta.get(name)):
                self._thought = self._said = True
                yield Chunk(thought, kind=ChunkKind.REASONING)
                break
        if text:
            self._said = True
            yield Chunk(text)
        calls = delta.get("tool_calls")
        for position, piece in enumerate(calls if isinstance(calls, list) else ()):
            self._add(position, object_of(piece))
        if isinstance(reason := choice.get("finish_reason"), str):
            self._reason = _ENDS.get(reason, FinishReason.STOP)

    def _add(self, position: int, piece: dict[str, Any]) -> None:
        index = count_of(piece.get("index"))
        index = position if index is None else index
        if index not in self._calls and len(self._calls) >= _MOST_CALLS:
            raise self._failed(f"more than {_MOST_CALLS} calls of tools in one answer")
        call = self._calls.setdefault(index, _Call())
        function = object_of(piece.get("function"))
        call.id = call.id or text_of(piece.get("id"), 200)
        call.name = call.name or text_of(function.get("name"), 200)
        given = function.get("arguments")
        call.arguments += text_of(given)
        if isinstance(given, dict):  # some give an object in place of its text
            call.arguments += json.dumps(given)
        if len(call.arguments) > _LONGEST_CALL:
            raise self._failed("a call of a tool without an end")

    def _ended(self) -> Iterator[Chunk]:
        asked = count_of(self._counts.get("prompt_tokens"))
        if not self._said and not self._calls and asked and self.context and asked > self.context:
            # LM Studio gives an empty answer then (lmstudio-bug-tracker issue 2339).
            raise faults.too_long(self.server, f"{asked} in the prompt", self.context)
        if self._reason is None and not self._calls:
            # Seen of llama_cpp.server 0.3.36, which interrupts an answer for the next request.
            raise GenerationFailed(
                f"{self.server.shown} ended the answer without giving a reason",
                "another request may have interrupted it: ask again",
            )
        called = False
        for _, call in sorted(self._calls.items()):
            if call.name:
                called = True
                whole = ToolCall(call.id or new_call_id(), call.name, call.arguments or "{}")
                yield Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=whole)
        yield Chunk("", self._usage(called))

    def _usage(self, called: bool) -> Usage:
        """Counts as the server says them. A context that cannot be is not handed on."""
        asked = count_of(self._counts.get("prompt_tokens"))
        said = count_of(self._counts.get("completion_tokens"))
        details = object_of(self._counts.get("prompt_tokens_details"))
        kept = count_of(details.get("cached_tokens"))
        thoughts = object_of(self._counts.get("completion_tokens_details"))
        used = None if asked is None or said is None else max(asked + said - 1, asked, 1)
        context = self.context
        if context is not None and used is not None and used > context:
            context = used = None  # it stated a context that it does not keep to
        prefill = count_of(self._timings.get("prompt_n"))
        if prefill is None and asked is not None and kept is not None:
            prefill = max(asked - kept, 0)
        if prefill is not None and asked is not None:
            prefill = min(prefill, asked)
        return Usage(
            self._why(called, said, used, context),
            prompt_tokens=asked or None,
            prefill_tokens=prefill,
            tokens=said,
            prefill_seconds=_seconds(self._timings.get("prompt_ms")),
            decode_seconds=_seconds(self._timings.get("predicted_ms")),
            context_used=used,
            context=context,
            reasoning_tokens=count_of(thoughts.get("reasoning_tokens")) if self._thought else 0,
        )

    def _why(
        self, called: bool, said: int | None, used: int | None, context: int | None
    ) -> FinishReason:
        if called:
            return FinishReason.TOOL_CALLS
        reason = self._reason or FinishReason.STOP
        if reason is FinishReason.TOOL_CALLS:  # and no call came
            return FinishReason.STOP
        if reason is not FinishReason.LENGTH:
            return reason
        if self.wanted is None:
            full = self.endless or (used is not None and context is not None and used >= context)
            return FinishReason.CONTEXT if full else FinishReason.LENGTH
        short = said is not None and said < self.wanted
        return FinishReason.CONTEXT if short else FinishReason.LENGTH


def _bare(name: str) -> str:
    """A model's name without folders and endings: servers shorten paths to them."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return last.casefold().removesuffix(".gguf")


def _is_version(one: str, other: str) -> bool:
    """Whether ``one`` is ``other`` with a date (OpenAI), an instance (LM Studio) or a revision."""
    return re.fullmatch(re.escape(other) + r"(?:-\d{4}.*|[@:].*)", one) is not None


def _seconds(value: object) -> float | None:
    """Of milliseconds; None for what is no time."""
    found = number_of(value)
    return None if found is None else found / 1000
