"""Text that is made anew for each width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

if TYPE_CHECKING:
    from collections.abc import Callable


class Flowing(Static):
    """A static whose text depends on how wide it is, such as one with bars in it."""

    ALLOW_SELECT = True

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__("", id=id, classes=classes, markup=False)
        self._build: Callable[[int], Content] = lambda _: Content("")
        self._shown: Content | None = None

    def show(self, build: Callable[[int], Content]) -> None:
        """Show what ``build`` makes of a width in cells; unchanged text is not drawn again."""
        self._build = build
        self.redraw()

    def on_resize(self) -> None:
        """Another width, another text."""
        self.redraw()

    def redraw(self) -> None:
        """Build the text again."""
        width = self.content_size.width
        if width <= 0:
            return
        content = self._build(width)
        if self._shown is None or not content.is_same(self._shown):
            self._shown = content
            # A text of the same height leaves everything else where it is.
            lines = content.get_height({}, width)
            self.update(content, layout=lines != self.content_size.height)
