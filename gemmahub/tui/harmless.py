"""What every line of the screen passes: no text reaches the terminal as something it obeys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.filter import LineFilter

from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from textual.color import Color


class HarmlessLines(LineFilter):
    """Strips the texts of a line, whichever widget drew it; its width in cells stays.

    Widgets strip texts from elsewhere before they measure and break them, which looks better. This
    is for those that forget it, and for those of Textual.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments; the very same ones where there is nothing to strip."""
        if all(map(_is_harmless, segments)):
            return segments
        return [segment if _is_harmless(segment) else _harmless(segment) for segment in segments]


def _is_harmless(segment: Segment) -> bool:
    text, style, _ = segment
    return text.isprintable() and (style is None or style.link is None)


def _harmless(segment: Segment) -> Segment:
    text, style, control = segment
    shown = strip_controls(text).replace("\n", "").replace("\t", "")
    cells = cell_len(text)
    if cell_len(shown) != cells:
        shown = set_cell_size(shown, cells)
    if style is not None and style.link is not None:  # it would be sent as it is
        style = style.update_link(None)
    return Segment(shown, style, control)
