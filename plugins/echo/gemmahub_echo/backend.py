"""A backend that answers with the last message, a word at a time. Its answers are predictable, so
tests of the core use it, and docs/guides/tutorial.md builds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from gemmahub.engines.contract import Availability, Backend, Option, SessionInfo
from gemmahub.engines.token_session import TokenSession
from gemmahub.errors import LoadFailed

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

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
        """Nothing is read, but the file has to be there.

        Raises: LoadFailed.
        """
        options = self.check_options(settings)
        if not artifact.path.exists():
            raise LoadFailed(f"there is no file {artifact.path}", "see `gemmahub list`")
        if on_progress is not None:
            on_progress(1.0)
        info = SessionInfo(
            engine="echo 1",
            context=settings.context or 4096,
            context_trained=None,
            chat_template=True,
            device="none",
            settings=settings,
        )
        return EchoSession(info, delay=options["delay"])


class EchoSession(TokenSession):
    """Says the last message again. A word is a token."""

    def __init__(self, info: SessionInfo, delay: float) -> None:
        super().__init__(info)
        self._delay = delay

    def encode(self, prompt: Prompt) -> list[str]:
        """The words of the last message."""
        return (prompt if isinstance(prompt, str) else prompt[-1].content).split()

    def tokens(self, prompt: Sequence[str], sampling: Sampling) -> Generator[bytes, None, None]:
        """The same words, each after the delay; a cancel ends the waiting."""
        for number, word in enumerate(prompt):
            if self.cancelled.wait(self._delay):
                return
            yield (word if number == 0 else f" {word}").encode(errors="replace")
