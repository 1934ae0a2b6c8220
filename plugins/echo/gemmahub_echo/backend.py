"""A backend that answers with the last message, a word at a time. Its answers are predictable, so
tests of the core use it, and the plugin tutorial builds it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

from gemmahub.engines.contract import (
    Availability,
    Backend,
    Chunk,
    FinishReason,
    Option,
    SessionBase,
    SessionInfo,
    Usage,
)
from gemmahub.errors import ContextExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gemmahub.engines.contract import Artifact, OnProgress, Prompt, Sampling, Settings


class EchoBackend(Backend):
    """Runs any artifact by not reading it. Used only when named: ``--backend echo``."""

    name: ClassVar[str] = "echo"
    formats: ClassVar[tuple[str, ...]] = ("gguf", "safetensors", "mlx")
    options: ClassVar[tuple[Option, ...]] = (
        Option("delay", "seconds to wait before each word", float, 0.0),
    )
    automatic: ClassVar[bool] = False

    def availability(self) -> Availability:
        """Always there."""
        return Availability(True, version="1")

    def load(
        self, artifact: Artifact, settings: Settings, on_progress: OnProgress | None = None
    ) -> EchoSession:
        """Nothing to load."""
        options = self.check_options(settings)
        if on_progress is not None:
            on_progress(1.0)
        return EchoSession(settings, options)


class EchoSession(SessionBase):
    """Says the last message again. A word is a token."""

    def __init__(self, settings: Settings, options: Mapping[str, Any]) -> None:
        self._delay = float(options["delay"])
        self._cancelled = threading.Event()
        self.info = SessionInfo(
            engine="echo 1",
            context=settings.context or 4096,
            context_trained=None,
            chat_template=True,
            device="none",
            settings=settings,
        )

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream the last message, word by word."""
        text = prompt if isinstance(prompt, str) else prompt[-1].content
        words = text.split()
        if len(words) > self.info.context:
            raise ContextExceeded(
                f"the prompt has {len(words)} tokens, the context holds {self.info.context}",
                "set a larger --ctx-size",
            )
        self._cancelled.clear()
        started = time.perf_counter()
        said, reason = 0, FinishReason.STOP
        for word in words:
            if said == sampling.max_tokens:
                reason = FinishReason.LENGTH
                break
            if self._cancelled.wait(self._delay):
                reason = FinishReason.CANCELLED
                break
            yield Chunk(word if said == 0 else f" {word}")
            said += 1
        yield Chunk("", self._usage(reason, len(words), said, time.perf_counter() - started))

    def cancel(self) -> None:
        """Stop before the next word."""
        self._cancelled.set()

    def _usage(self, reason: FinishReason, asked: int, said: int, seconds: float) -> Usage:
        return Usage(
            finish_reason=reason,
            prompt_tokens=asked,
            prefill_tokens=asked,
            tokens=said,
            prefill_seconds=0.0,
            decode_seconds=seconds,
            context_used=min(asked + said, self.info.context),
            context=self.info.context,
        )
