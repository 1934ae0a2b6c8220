"""A screen with an editor, for which everything that is typed is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen

from gemmahub.tui.widgets.prompt_editor import PromptEditor

if TYPE_CHECKING:
    from textual import events


class TypedScreen(Screen[None]):
    """What is typed or pasted goes to the editor, whatever has the focus: it is never lost."""

    def on_key(self, event: events.Key) -> None:
        """A letter that nobody took."""
        if event.is_printable and event.character:
            event.stop()
            self._type(event.character)

    def on_paste(self, event: events.Paste) -> None:
        """A text that nobody took."""
        event.stop()
        self._type(event.text)

    def _type(self, text: str) -> None:
        editor = self.query_one(PromptEditor)
        editor.focus()
        editor.insert(text)
