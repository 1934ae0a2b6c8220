"""A model that a vLLM server holds, and one talks to: OpenAI's API as vLLM speaks it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, Usage
from gemmahub.engines.prompt_length import too_long
from gemmahub.engines.sampling import DEFAULT_MIN_P, DEFAULT_TOP_K, DEFAULT_TOP_P
from gemmahub.engines.server_session import ServerSession
from gemmahub.errors import BackendCrashed, BackendError, GenerationFailed
from gemmahub.http.values import count_of, object_of, parse_json, text_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Prompt, Sampling, SessionInfo
    from gemmahub.engines.program import Program
    from gemmahub.http.client import WebClient

_ENDS: Final = {"stop": FinishReason.STOP, "length": FinishReason.LENGTH}
_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
_ASKED: Final = re.compile(r"contains (?:at least )?([0-9]{1,9}) input tokens")
_TOO_LONG: Final = "maximum context length"
_SEEDS: Final = 2**63
_END_SECONDS: Final = 1.0


class VllmSession(ServerSession):
    """One model. ``program`` is the server where it is a child of ours; it ends with the session.

    The server renders conversations with the model's own template.
    """

    def __init__(
        self, info: SessionInfo, web: WebClient, name: str, program: Program | None = None
    ) -> None:
        super().__init__(info, web)
        self._name = name
        self._program = program

    @property
    def pid(self) -> int | None:
        """The server's process, where it is a child of ours."""
        return None if self._program is None else self._program.pid

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer. Raises: as :meth:`ServerSession.generate`."""
        chunks = super().generate(prompt, sampling)
        if sampling.max_tokens == 0:  # the server wants one at least
            return iter([Chunk("", Usage(FinishReason.LENGTH, context=self.info.context))])
        return chunks

    def request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        """All of the sampling is named: the server's defaults are not Gemma's."""
        most = sampling.max_tokens
        context = self.info.context
        body: dict[str, Any] = {
            "model": self._name,
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": sampling.temperature,
            # More than the whole context is an error there.
            "max_tokens": most if most is None or context is None else min(most, context - 1),
            "top_k": DEFAULT_TOP_K if sampling.top_k is None else sampling.top_k,
            "top_p": DEFAULT_TOP_P if sampling.top_p is None else sampling.top_p,
            "min_p": DEFAULT_MIN_P if sampling.min_p is None else sampling.min_p,
            "seed": None if sampling.seed is None else sampling.seed % _SEEDS,
            "stop": [text for text in sampling.stop if text] or None,
        }
        if isinstance(prompt, str):
            # Without a number it ends a completion after 16 tokens.
            return "/v1/completions", {**body, "prompt": prompt, "max_tokens": most or context}
        if any(message.images or message.audio for message in prompt):
            raise GenerationFailed("images and audio are not supported with vLLM", "leave them out")
        messages = [{"role": m.role, "content": m.content} for m in prompt]
        return "/v1/chat/completions", {**body, "messages": messages}

    def answer(self, lines: Iterator[bytes]) -> Iterator[Chunk]:
        """The chunks of an answer; the last one has the server's counts."""
        reason, counts = FinishReason.STOP, object_of(None)
        for line in lines:
            data = line.removeprefix(_DATA).strip() if line.startswith(_DATA) else b""
            if data == _DONE:
                yield Chunk("", self._usage(reason, counts))
            elif data:
                found = object_of(parse_json(data))
                if error := object_of(found.get("error")):
                    told = one_line(text_of(error.get("message")) or "no reason", 300)
                    raise GenerationFailed(f"vLLM failed: {told}", "try again")
                counts = object_of(found.get("usage")) or counts
                choices = found.get("choices")
                for choice in choices if isinstance(choices, list) else ():
                    one = object_of(choice)
                    reason = _ENDS.get(text_of(one.get("finish_reason")), reason)
                    yield from _texts(object_of(one.get("delta")) or one)

    def _usage(self, reason: FinishReason, counts: dict[str, Any]) -> Usage:
        asked, said = (count_of(counts.get(f"{of}_tokens")) for of in ("prompt", "completion"))
        context = self.info.context
        used = None if asked is None or said is None else asked + said
        if reason is FinishReason.LENGTH and used and context and used >= context:
            reason = FinishReason.CONTEXT
        used = used if used is None or context is None else min(used, context)
        return Usage(reason, asked, tokens=said, context_used=used, context=context)

    def refused(self, status: int, said: str) -> BackendError:
        """A prompt that is too long, a wrong key, or something else in the server's words."""
        if _TOO_LONG in said:
            count = _ASKED.search(said)
            least = int(count[1]) if count else (self.info.context or 0) + 1
            return too_long(self.info, f"{least:,} tokens or more", least)
        if status in (401, 403):
            return GenerationFailed(
                "the vLLM server refuses the key",
                "set VLLM_API_KEY, or plugins.vllm.key in the settings file",
            )
        if status == 404:
            return BackendCrashed(
                f"the server no longer has the model {one_line(self._name, 100)}: {said}",
                "see `gemmahub list`",
            )
        return GenerationFailed(f"vLLM refuses (HTTP {status}): {said}", "change the message")

    def broken(self, what: str) -> BackendError:
        """Why no answer comes; a server of ours that lives on makes no sense, and is ended."""
        if self._program is None:
            return super().broken(what)
        if self._program.wait(_END_SECONDS):
            return self._program.crash("in the middle of an answer")
        self._program.kill()
        return BackendCrashed(one_line(f"vLLM {what}", 300), "load the model again")

    def close(self) -> None:
        """Stop what runs, and the server where it is ours; twice is fine."""
        super().close()
        if self._program is not None:
            self._program.stop()


def _texts(delta: dict[str, Any]) -> Iterator[Chunk]:
    # The name changed from reasoning_content to reasoning.
    if thought := text_of(delta.get("reasoning") or delta.get("reasoning_content")):
        yield Chunk(thought, kind=ChunkKind.REASONING)
    if text := text_of(delta.get("content")) or text_of(delta.get("text")):
        yield Chunk(text)
