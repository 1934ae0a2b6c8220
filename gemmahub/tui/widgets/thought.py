"""What a model thought before an answer, folded below one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

if TYPE_CHECKING:
    from textual.app import ComposeResult


class Thought(Vertical):
    """What a model thought before an answer: a line that opens and folds the text below it."""

    DEFAULT_CSS = """
    Thought {
        height: auto;
        color: $text-muted;
        .thought--text { height: auto; padding: 0 0 0 2; text-style: italic; }
    }
    """

    def __init__(self, text: str, told: str) -> None:
        """``told`` is how long it took; empty while it goes on."""
        super().__init__()
        self.source = text
        self._told = told
        self._so_far = ""
        self._open = False

    def compose(self) -> ComposeResult:
        yield Static(classes="thought--line")
        yield Static(classes="thought--text")

    def on_mount(self) -> None:
        """Folded."""
        self._show()

    def on_click(self) -> None:
        """As the key."""
        self.toggle()

    def toggle(self) -> None:
        """Open it, or fold it."""
        self._open = not self._open
        self._show()

    def append(self, text: str, so_far: str) -> None:
        """More of it; ``so_far`` is how long it took until now."""
        self.source += text
        self._so_far = so_far
        self._told = f"thinking for {so_far}" if so_far else ""
        self._show()

    def pause(self) -> None:
        """The answer begins; how long it took is told exactly when that ends."""
        if self._so_far:
            self.finish(f"thought for {self._so_far}")

    def finish(self, told: str) -> None:
        """It is complete."""
        self._told, self._so_far = told, ""
        self._show()

    def _show(self) -> None:
        self.display = bool(self.source.strip())
        mark = "\u25be" if self._open else "\u25b8"
        self.query_one(".thought--line", Static).update(
            Content(f"{mark} {self._told or 'thinking'}")
        )
        text = self.query_one(".thought--text", Static)
        text.display = self._open
        if self._open:
            text.update(Content(self.source.strip()))
