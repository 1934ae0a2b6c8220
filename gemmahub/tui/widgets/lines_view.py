"""What the table and the details have in common: lines that are drawn as they come into sight."""

from __future__ import annotations

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.widget import Widget


class LinesView(ScrollView):
    """A view of many lines whose vertical scrollbar is always there (``overflow-y: scroll``)."""

    def set_height(self, lines: int) -> None:
        """It has that many lines now.

        Setting ``virtual_size`` would lay out the whole screen, which takes longer than all the
        rest that a key does; with the scrollbar always there nothing else can move.
        """
        size = Size(self.size.width, lines)
        if size == self.virtual_size:
            return
        self.set_reactive(Widget.virtual_size, size)
        scrollbar = self.vertical_scrollbar
        scrollbar.window_virtual_size = lines
        scrollbar.window_size = self.container_size.height
        scrollbar.refresh()
        self.scroll_y = self.validate_scroll_y(self.scroll_y)
