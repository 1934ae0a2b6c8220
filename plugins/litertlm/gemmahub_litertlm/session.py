"""A loaded bundle: each answer is a conversation, or a text, of the engine's own."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, SessionBase, Usage
from gemmahub.engines.prompt_length import check_count, check_text
from gemmahub.engines.sampling import DEFAULT_TOP_K, DEFAULT_TOP_P, check_sampling
from gemmahub.engines.text_stream import TextStream
from gemmahub.errors import BackendError, GenerationFailed, TemplateError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.engines.contract import Message, Prompt, Sampling, SessionInfo

_ROLES: Final = ("system", "user", "assistant")
_MOST_SEED: Final = 1 << 31


class LitertLmSession(SessionBase):
    """Answers through ``litert_lm.Engine``; the whole conversation is read for each answer."""

    def __init__(self, library: Any, engine: Any, info: SessionInfo) -> None:
        self.info = info
        self._library, self._engine = library, engine
        self._running: tuple[Any, Iterator[tuple[str, ChunkKind]]] | None = None
        self._step = threading.Lock()  # held while the engine is waited for
        self._cancelled = False
        self._closed = False

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer. Raises: ContextExceeded, TemplateError, GenerationFailed."""
        check_sampling(sampling)
        if self._closed:
            raise GenerationFailed("the session is closed", "load the model again")
        if not prompt:
            raise GenerationFailed("there is nothing to answer", "write a message")
        check_text(prompt, self.info)
        if not isinstance(prompt, str):
            _check(prompt)
        return self._answer(prompt, sampling)

    def cancel(self) -> None:
        """Stop the running answer; from another thread."""
        self._cancelled = True
        if (running := self._running) is not None:
            running[0].cancel_process()

    def close(self) -> None:
        """Give back the engine's memory; twice is fine."""
        if self._closed:
            return
        self._closed = True
        self.cancel()
        self._end()
        self._engine.close()

    def _answer(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        self._cancelled = False
        if sampling.max_tokens == 0:
            yield Chunk("", Usage(FinishReason.LENGTH, tokens=0, context=self.info.context))
            return
        self._running = running = self._begin(prompt, sampling)
        stream = TextStream(sampling.stop)
        try:
            if self._cancelled:
                running[0].cancel_process()
            while (piece := self._next(running[1])) is not None:
                text, kind = piece
                found = stream.feed(text.encode()) if kind is ChunkKind.ANSWER else text
                if found:
                    yield Chunk(found, kind=kind)
                if stream.stopped:
                    break
            if rest := stream.finish():
                yield Chunk(rest)
            usage = self._usage(running[0], sampling, stopped=stream.stopped)
        finally:
            self._end()
        yield Chunk("", usage)

    def _next(self, chunks: Iterator[tuple[str, ChunkKind]]) -> tuple[str, ChunkKind] | None:
        """The next piece, None at the end. Raises: GenerationFailed."""
        with self._step:
            if self._closed:
                raise GenerationFailed("the session was closed", "load the model again")
            try:
                return next(chunks, None)
            except RuntimeError as error:
                raise self._failed(error) from None

    def _end(self) -> None:
        """Stop what is still computed, wait for its end, and give its memory back."""
        running, self._running = self._running, None
        if running is None:
            return
        answer, chunks = running
        answer.cancel_process()
        with self._step, suppress(RuntimeError):  # that it was cancelled
            for _ in chunks:
                pass
        answer.close()

    def _begin(
        self, prompt: Prompt, sampling: Sampling
    ) -> tuple[Any, Iterator[tuple[str, ChunkKind]]]:
        """A conversation or a text, and its answer as it comes. Raises: BackendError."""
        config = self._sampler(sampling)
        try:
            if isinstance(prompt, str):
                prompt = _encodable(prompt)
                check_count(len(self._engine.tokenize(prompt)) + 1, self.info)
                session = self._engine.create_session(
                    apply_prompt_template=False,
                    sampler_config=config,
                    max_output_tokens=sampling.max_tokens,
                )
                session.run_prefill([prompt])
                return session, _of_session(session)
            before, last = prompt[:-1], prompt[-1]
            conversation = self._engine.create_conversation(
                messages=[_plain(message) for message in before] or None,
                automatic_tool_calling=False,
                sampler_config=config,
                max_output_tokens=sampling.max_tokens,
            )
            text = conversation.render_message_to_string(_plain(last))
            check_count(len(self._engine.tokenize(text)) + 1, self.info)
            return conversation, _of_conversation(conversation, last)
        except BackendError:
            raise
        except (RuntimeError, ValueError) as error:
            raise self._failed(error) from None

    def _sampler(self, sampling: Sampling) -> Any:
        greedy = sampling.temperature == 0
        top_k = DEFAULT_TOP_K if sampling.top_k is None else sampling.top_k
        seed = secrets.randbelow(_MOST_SEED) if sampling.seed is None else sampling.seed
        return self._library.SamplerConfig(
            top_k=1 if greedy else top_k or 1000,
            top_p=DEFAULT_TOP_P if sampling.top_p is None else sampling.top_p,
            temperature=1.0 if greedy else sampling.temperature,
            seed=seed % _MOST_SEED,
        )

    def _failed(self, error: Exception) -> GenerationFailed:
        return GenerationFailed(
            f"{self.info.engine} failed: {one_line(str(error), 200)}",
            "try again, or choose another engine with --backend",
        )

    def _usage(self, running: Any, sampling: Sampling, *, stopped: bool) -> Usage:
        prompt = tokens = used = prefill = decode = None
        try:
            told = running.get_benchmark_info()
        except RuntimeError:  # nothing was computed
            told = None
        if told is not None:
            prompt, tokens = told.last_prefill_token_count, told.last_decode_token_count
            used = prompt + tokens
            prefill = _seconds(prompt, told.last_prefill_tokens_per_second)
            decode = _seconds(tokens, told.last_decode_tokens_per_second)
        context = self.info.context
        if self._cancelled:
            reason = FinishReason.CANCELLED
        elif stopped:
            reason = FinishReason.STOP
        elif sampling.max_tokens is not None and (tokens or 0) >= sampling.max_tokens:
            reason = FinishReason.LENGTH
        elif context is not None and (used or 0) >= context - 1:
            reason = FinishReason.CONTEXT
        else:
            reason = FinishReason.STOP
        return Usage(
            reason,
            prompt_tokens=prompt,
            prefill_tokens=prompt,
            tokens=tokens,
            prefill_seconds=prefill,
            decode_seconds=decode,
            context_used=None if used is None or context is None else min(used, context),
            context=context,
        )


def _check(messages: Sequence[Message]) -> None:
    """Raises: GenerationFailed for a role that has no turn."""
    for message in messages:
        if message.role not in _ROLES:
            raise GenerationFailed(
                f"there are no turns of the role {message.role!r} here",
                "choose another engine with --backend",
            )
    if messages[-1].role != "user":
        raise GenerationFailed("the last message is not the user's", "write a message")
    if not messages[-1].content.strip():
        raise TemplateError("the last message is empty", "write a message")


def _plain(message: Message) -> dict[str, Any]:
    role = "model" if message.role == "assistant" else message.role
    return {"role": role, "content": [{"type": "text", "text": _encodable(message.content)}]}


def _encodable(text: str) -> str:
    """The text without halves of characters, which the library cannot take."""
    return text.encode("utf-8", "replace").decode()


def _of_session(session: Any) -> Iterator[tuple[str, ChunkKind]]:
    for responses in session.run_decode_async():
        for text in responses.texts:
            yield text, ChunkKind.ANSWER


def _of_conversation(conversation: Any, last: Message) -> Iterator[tuple[str, ChunkKind]]:
    for message in conversation.send_message_async(_plain(last)):
        for thought in (message.channels or {}).values():
            if isinstance(thought, str):
                yield thought, ChunkKind.REASONING
        for part in getattr(message.contents, "contents", ()):
            if text := getattr(part, "text", ""):
                yield text, ChunkKind.ANSWER


def _seconds(count: int, rate: float) -> float | None:
    return count / rate if rate > 0 else None
