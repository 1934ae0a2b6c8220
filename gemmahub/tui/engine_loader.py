"""Loading a model beside the UI: told of, cancelled, and never left behind in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from gemmahub.errors import Cancelled, GemmahubError

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.widget import Widget

    from gemmahub.engines.contract import Settings
    from gemmahub.service import Library, Running


@dataclass
class LoadStage(Message):
    """What is being done; ``fraction`` of it is done, None when nobody knows."""

    stage: str
    fraction: float | None = None

    def can_replace(self, message: Message) -> bool:
        """Only the last one is shown."""
        return isinstance(message, LoadStage)


@dataclass
class ModelLoaded(Message):
    """The model is there."""

    loader: Loader
    running: Running


@dataclass
class ModelLoadFailed(Message):
    """The model is not there; ``error`` None: loading was cancelled."""

    loader: Loader
    error: GemmahubError | None


class Loader:
    """One load. :meth:`run` is called in a thread; ``say`` carries its messages to the screen.

    A model that arrives after :meth:`abandon` is given back at once.
    """

    def __init__(self, library: Library, reference: str, settings: Settings) -> None:
        self.reference = reference
        self._library = library
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
            running = self._library.load(
                self.reference,
                self._settings,
                on_stage=tell,
                on_progress=progress,
                cancelled=self._abandoned.is_set,
            )
        except Cancelled:
            say(ModelLoadFailed(self, None))
        except GemmahubError as error:
            say(ModelLoadFailed(self, error))
        else:
            if self._abandoned.is_set():
                running.session.close()
                say(ModelLoadFailed(self, None))
            else:
                say(ModelLoaded(self, running))

    def abandon(self) -> None:
        """Nobody waits for the model any more."""
        self._abandoned.set()


class ModelSlot:
    """The model of a screen: none, one on its way, or a loaded one; never two."""

    def __init__(self, owner: Widget, library: Library, reference: str, settings: Settings) -> None:
        """``owner`` gets the messages of each load."""
        self.reference = reference
        self.settings = settings
        self.running: Running | None = None
        self._owner = owner
        self._library = library
        self._loader: Loader | None = None

    @property
    def is_loading(self) -> bool:
        """Whether a model is on its way."""
        return self._loader is not None

    def load(self) -> None:
        """Load the model, instead of the one that is there."""
        self.unload()
        loader = self._loader = Loader(self._library, self.reference, self.settings)
        self._owner.run_worker(
            lambda: loader.run(self._owner.post_message),
            thread=True,
            exit_on_error=False,
            group="load",
        )

    def unload(self, then: Callable[[], object] | None = None) -> None:
        """Give back what is loaded, and stop what is loading. ``then`` is called when the memory is
        free again."""
        self.cancel()
        if self.running is not None:
            close_beside(self.running, then)
            self.running = None

    def cancel(self) -> bool:
        """Stop loading; whether there was something to stop."""
        loader, self._loader = self._loader, None
        if loader is not None:
            loader.abandon()
        return loader is not None

    def take(self, event: ModelLoaded) -> bool:
        """Keep the model that arrived; one that nobody waits for any more is given back."""
        if event.loader is not self._loader:
            close_beside(event.running)
            return False
        self._loader, self.running = None, event.running
        return True

    def give_up(self, event: ModelLoadFailed) -> bool:
        """Whether that was the load that one waits for; it is over."""
        if event.loader is not self._loader:
            return False
        self._loader = None
        return True


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
