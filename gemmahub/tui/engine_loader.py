"""Loading a model beside the UI: told of, cancelled, and never left behind in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from gemmahub.errors import Cancelled, GemmahubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Settings
    from gemmahub.service import Gemmahub, Running


@dataclass
class LoadStage(Message):
    """What is being done; ``fraction`` of it is done, None when nobody knows."""

    stage: str
    fraction: float | None = None

    def can_replace(self, message: Message) -> bool:
        """Only the last one is shown."""
        return isinstance(message, LoadStage)


@dataclass
class Loaded(Message):
    """The model is there."""

    loader: Loader
    running: Running


@dataclass
class LoadFailed(Message):
    """The model is not there; ``error`` None: loading was cancelled."""

    loader: Loader
    error: GemmahubError | None


class Loader:
    """One load. :meth:`run` is called in a thread; ``say`` carries its messages to the screen.

    A model that arrives after :meth:`abandon` is given back at once.
    """

    def __init__(self, hub: Gemmahub, reference: str, settings: Settings) -> None:
        self.reference = reference
        self._hub = hub
        self._settings = settings
        self._abandoned = threading.Event()
        self._stage = "loading"

    def run(self, say: Callable[[Message], object]) -> None:
        """Load, and tell of it."""

        def tell(stage: str) -> None:
            self._stage = stage
            say(LoadStage(stage))

        def progress(fraction: float) -> None:
            say(LoadStage(self._stage, fraction))

        try:
            running = self._hub.start(
                self.reference,
                self._settings,
                on_stage=tell,
                on_progress=progress,
                cancelled=self._abandoned.is_set,
            )
        except Cancelled:
            say(LoadFailed(self, None))
        except GemmahubError as error:
            say(LoadFailed(self, error))
        else:
            if self._abandoned.is_set():
                running.session.close()
                say(LoadFailed(self, None))
            else:
                say(Loaded(self, running))

    def abandon(self) -> None:
        """Nobody waits for the model any more."""
        self._abandoned.set()


def close_beside(running: Running, then: Callable[[], object] | None = None) -> None:
    """Give a model's memory back without making the UI wait: many gigabytes take their time.
    ``then`` is called when it is given back."""

    def close() -> None:
        try:
            running.session.close()
        finally:
            if then is not None:
                then()

    threading.Thread(target=close).start()
