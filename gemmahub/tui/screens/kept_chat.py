"""A kept conversation that is opened to be read: its model is loaded with the first question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from textual import on, work
from textual.message import Message
from textual.widgets import Button

from gemmahub.engines.contract import Settings
from gemmahub.text import one_line
from gemmahub.tui.screens.chat_preset import ChatPreset
from gemmahub.tui.widgets.chat_lines import ChatTitle, Names
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.prompt_editor import PromptEditor

if TYPE_CHECKING:
    from gemmahub.conversations import Described
    from gemmahub.service import Library
    from gemmahub.service.kept_model import KeptModel

_READING: Final = "A kept conversation: your first question loads {model}; F5 loads it now."
_GONE: Final = "You can read, copy and export it. A question, or F10, offers another model."


class KeptChat(ChatPreset):
    """Reads first, and goes on with another model where its own is gone."""

    library: Library

    @dataclass
    class ModelLooked(Message):
        """What became of the model."""

        found: KeptModel

    _kept: KeptModel | None = None
    _unasked = False  # no model was asked for yet

    def read_first(self) -> None:
        """Show the conversation; nothing is loaded."""
        self._unasked = True
        held = self.view.journal.saved().described
        label = held.precision.partition(" · ")[0]
        model = held.model or held.reference
        names = Names(model, held.precision, label=label, engine=held.engine)
        self.view.query_one(ChatTitle).names = names
        model = one_line(self.view.model.reference, 100)
        self.query_one(LoadBox).rest(_READING.format(model=model))
        self._look_at_model(held)

    @work(thread=True, exit_on_error=False, group="model")
    def _look_at_model(self, held: Described) -> None:
        from gemmahub.service.kept_model import kept_model

        self.post_message(self.ModelLooked(kept_model(self.library, held)))

    @on(ModelLooked)
    def _model_looked(self, event: ModelLooked) -> None:
        self._kept = event.found
        if not self._unasked or not event.found.note:
            return
        model = one_line(event.found.reference, 100)
        rest = _READING.format(model=model) if event.found.here else _GONE
        self.query_one(LoadBox).rest(f"{event.found.note}.\n{rest}", other=not event.found.here)

    def load_for(self, question: str) -> bool:
        """Whether a question may wait for a model that is loaded now; else one is offered."""
        if not self._unasked:
            return False
        if self._kept is not None and not self._kept.here:
            self.action_other_model()
            return False
        self.wake()
        return True

    def wake(self) -> None:
        """The model is asked for: from now on it is a chat like any other."""
        self._unasked = False

    @property
    def is_read_only(self) -> bool:
        """Whether no model was asked for yet."""
        return self._unasked

    @work
    async def action_other_model(self) -> None:
        """Go on with another model on this machine; what is written in the editor is asked."""
        from gemmahub.tui.screens.other_model import OtherModelScreen

        if not self.may_change():
            return
        held = self.view.journal.saved().described
        gone = self._kept is not None and not self._kept.here
        why = self._kept.note if gone and self._kept else f"So far with {held.answerer}"
        chosen = await self.app.push_screen_wait(OtherModelScreen(self.library, held, why))
        if chosen is None or not self.may_change():
            return
        self.wake()
        self.view.model.reference, self.view.model.settings = chosen, Settings()
        editor = self.query_one(PromptEditor)
        if gone and editor.text.strip() and not self.view.waiting:
            self.view.waiting = editor.take()
            editor.remember(self.view.waiting)
        self._kept = None
        self.view.load()
        editor.focus()

    @on(Button.Pressed, "#other-model")
    def _other_model_pressed(self) -> None:
        self.action_other_model()
