"""The model of a chat: loaded beside the keyboard, given back, loaded again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.screen import Screen

from gemmahub.engines.contract import Settings
from gemmahub.errors import GemmahubError
from gemmahub.text import one_line
from gemmahub.tui.engine_loader import Loaded, Loader, LoadFailed, LoadStage, close_beside
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.prompt_editor import PromptEditor

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.conversations import ChatSession
    from gemmahub.service import Gemmahub, Running


class ChatModel(Screen[None]):
    """Loads, in a thread; ``join`` is told what came of it, and ``ask`` what waited for it."""

    def __init__(self, hub: Gemmahub, reference: str, settings: Settings | None = None) -> None:
        super().__init__()
        self.hub = hub
        self.reference = reference
        self.settings = settings or Settings()
        self.chat: ChatSession | None = None
        self.running: Running | None = None
        self._loader: Loader | None = None
        self._waiting = ""

    def join(self, running: Running) -> None:
        """The model is there."""
        raise NotImplementedError

    def ask(self, text: str) -> None:
        """Ask the model; the question is shown once it is kept."""
        raise NotImplementedError

    @property
    def is_loading(self) -> bool:
        """Whether a model is on its way."""
        return self._loader is not None

    def complain(self, error: GemmahubError) -> None:
        """Say what went wrong, and what to do about it."""
        text = one_line(error.message, 300)
        if error.hint:
            text += f"\n{one_line(error.hint, 300)}"
        self.notify(text, title="That did not work", severity="error", markup=False, timeout=10)

    def load(self) -> None:
        """Load the model, instead of the one that is there."""
        self.unload()
        loader = self._loader = Loader(self.hub, self.reference, self.settings)
        self.query_one(LoadBox).tell(f"loading {one_line(self.reference)}")
        self.refresh_bindings()
        self.run_worker(
            lambda: loader.run(self.post_message), thread=True, exit_on_error=False, group="load"
        )

    def unload(self, then: Callable[[], object] | None = None) -> None:
        """Give back what is loaded, and stop what is loading; the conversation stays. ``then`` is
        called when the memory is free again."""
        if self._loader is not None:
            self._loader.abandon()
            self._loader = None
        if self.chat is not None:
            self.chat.detach()
            self.chat = None
        if self.running is not None:
            close_beside(self.running, then)
            self.running = None

    def cancel_load(self) -> None:
        """Stop loading; the conversation stays, and the model can be loaded later."""
        loader = self._loader
        if loader is not None:
            loader.abandon()
            self._load_failed(LoadFailed(loader, None))

    @on(LoadStage)
    def _stage(self, event: LoadStage) -> None:
        if self._loader is not None:
            self.query_one(LoadBox).tell(event.stage, event.fraction)

    @on(Loaded)
    def _loaded(self, event: Loaded) -> None:
        """The model is there: a question that waited is asked now."""
        if event.loader is not self._loader:
            close_beside(event.running)
            return
        self._loader = None
        self.running = event.running
        self.query_one(LoadBox).done()
        self.join(event.running)
        waiting, self._waiting = self._waiting, ""
        if waiting:
            self.ask(waiting)
        self.refresh_bindings()

    @on(LoadFailed)
    def _load_failed(self, event: LoadFailed) -> None:
        """Say why, and offer to try again; what was written stays."""
        if event.loader is not self._loader:
            return
        self._loader = None
        self.give_back_waiting()
        error = event.error or GemmahubError("loading was cancelled", "load it when you want it")
        self.query_one(LoadBox).fail(error, "The model is not loaded")
        self.refresh_bindings()

    def give_back_waiting(self) -> None:
        """A question that waited for the model goes back into the editor."""
        waiting, self._waiting = self._waiting, ""
        editor = self.query_one(PromptEditor)
        if waiting and not editor.text:
            editor.text = waiting
