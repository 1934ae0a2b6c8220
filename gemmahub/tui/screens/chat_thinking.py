"""What a person does in a chat about what a model thinks before it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.tui.screens.typed import TypedScreen
from gemmahub.tui.widgets.transcript import Transcript

if TYPE_CHECKING:
    from gemmahub.tui.widgets.chat_view import ChatView


class ChatThinking(TypedScreen):
    """Switches thoughts on and off, opens and folds them."""

    view: ChatView

    def action_think(self) -> None:
        """Let the model think before it answers, or not, from the next question on."""
        if not self.may_change():
            return
        sampling = self.view.journal.saved().described.sampling
        thinking = None if sampling.thinking else True
        if self.view.change(sampling=replace(sampling, thinking=thinking)):
            self.notify("It thinks before it answers." if thinking else "It answers at once.")
            self.query_one(Transcript).show_command(self.view.command)

    def action_thought(self) -> None:
        """Open or fold what the model thought: for the focused answer, otherwise the last."""
        if not self.query_one(Transcript).toggle_thought(self.focused):
            self.notify("There is no thought here.", severity="warning")

    def may_change(self) -> bool:
        """Whether no answer is running; says so where one is."""
        if self.view.answering:
            self.notify("The answer is still running: Esc stops it.", severity="warning")
        return not self.view.answering
