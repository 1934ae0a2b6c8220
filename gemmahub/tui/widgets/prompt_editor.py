"""The editor for questions: several lines, history, Enter sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual.message import Message
from textual.widgets import TextArea

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual import events

COMPLETES = "Begin a text; the model continues it. Enter sends"
PLACEHOLDER = "Ask something. Enter sends, Ctrl+J or Shift+Enter begins a new line"


class PromptEditor(TextArea):
    """A text that grows with its lines up to a third of the screen.

    Up in the first line and Down in the last one go through earlier questions; what was being
    written is kept below them.
    """

    DEFAULT_CSS = """
    PromptEditor {
        height: auto;
        min-height: 3;
        max-height: 33%;
        border: round $border-blurred;
        padding: 0 1;
        background: $surface;
        scrollbar-size-vertical: 1;
        &:focus { border: round $border; }
    }
    """

    KEYS: ClassVar = (
        ("enter", "Send"),
        ("^j shift+enter", "New line"),
        ("↑ ↓", "Earlier questions, from the first or last line"),
        ("^d", "Leave, when nothing is written"),
    )
    """For the list of keys; what :meth:`_on_key` does without a binding."""
    NEWLINE_KEYS: ClassVar = frozenset({"ctrl+j", "shift+enter", "alt+enter"})

    LEFT_TO_SCREENS: ClassVar = frozenset({"f6", "f7"})
    """Textual selects a line, and all, by them; on every screen of ours they do something else."""

    @dataclass
    class Submitted(Message):
        """The question is complete."""

        editor: PromptEditor
        text: str

        @property
        def control(self) -> PromptEditor:
            return self.editor

    @dataclass
    class EndOfInput(Message):
        """Ctrl+D was pressed where there is nothing to delete."""

    def __init__(self, placeholder: str = PLACEHOLDER, *, id: str | None = None) -> None:
        super().__init__(
            id=id,
            soft_wrap=True,
            show_line_numbers=False,
            tab_behavior="focus",
            placeholder=placeholder,
            highlight_cursor_line=False,
        )
        for key in self.LEFT_TO_SCREENS:
            self._bindings.key_to_bindings.pop(key, None)
        self._history: list[str] = []
        self._place = 0
        self._draft = ""

    def set_history(self, questions: Sequence[str]) -> None:
        """Earlier questions, the oldest first."""
        self._history = [*questions, *self._history]
        self._place = len(self._history)

    def remember(self, question: str) -> None:
        """A question was sent."""
        if not self._history or self._history[-1] != question:
            self._history.append(question)
        self._place = len(self._history)
        self._draft = ""

    def take(self) -> str:
        """The text; the editor is empty afterwards."""
        text = self.text
        self.text = ""
        return text

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            self._claim(event)
            if self.text.strip():
                self.post_message(self.Submitted(self, self.text))
        elif event.key in self.NEWLINE_KEYS:
            self._claim(event)
            self.insert("\n")
            self.scroll_cursor_visible()
        elif event.key == "up" and self._at_edge(first=True) and self._place > 0:
            self._claim(event)
            self._go(self._place - 1)
        elif event.key == "down" and self._at_edge(first=False) and self._remembers:
            self._claim(event)
            self._go(self._place + 1)
        elif event.key == "ctrl+d" and not self.text:
            self._claim(event)
            self.post_message(self.EndOfInput())
        elif bound := self._bindings.key_to_bindings.get(event.key):
            # Left to the screen, it would be done when that has time: after the letters that were
            # typed behind it.
            self._claim(event)
            await self.run_action(bound[0].action)
        else:
            await super()._on_key(event)

    @property
    def _remembers(self) -> bool:
        return self._place < len(self._history)

    def _at_edge(self, *, first: bool) -> bool:
        """Whether the cursor is in the first or the last line as they are shown, wrapped."""
        row = self.wrapped_document.location_to_offset(self.cursor_location).y
        return row == 0 if first else row >= self.wrapped_document.height - 1

    def _go(self, place: int) -> None:
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        self.text = self._history[place] if self._remembers else self._draft
        self.move_cursor(self.document.end)

    @staticmethod
    def _claim(event: events.Key) -> None:
        event.stop()
        event.prevent_default()
