"""Which columns a width has room for, and how wide each is: a wider table never shows less."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from gemmahub.tui.columns import COLUMNS, Column

GAP: Final = 1
"""Cells between columns."""

_STEPS: Final = (
    ("model", 18),
    ("precision", 13),
    ("fit", 7),
    ("score", 5),
    ("memory", 9),
    ("speed", 5),
    ("context", 7),
    ("why", 4),
    ("model", 20),
    ("lost", 5),
    ("bits", 4),
    ("model", 26),
    ("rank", 3),
    ("where", 8),
    ("speed", 8),
    ("can", 6),
    ("prompt", 7),
    ("precision", 16),
    ("memory", 13),
    ("model", 40),
    ("size", 7),
    ("parameters", 6),
    ("speed", 9),
    ("precision", 24),
    ("where", 14),
)
"""What a table gets with each cell more: a column, or more room for one that is there. A step is
only taken when all before it were, so nothing goes away or shrinks as the table becomes wider."""


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """Columns with their widths, and the cells between them."""

    columns: tuple[tuple[Column, int], ...]
    gap: int = GAP

    @property
    def width(self) -> int:
        """Cells of all columns with their gaps."""
        return sum(cells for _, cells in self.columns) + self.gap * (len(self.columns) - 1)


@lru_cache(maxsize=8)
def layout(width: int) -> ColumnLayout:
    """The columns that ``width`` cells have room for; what no step needs stays empty."""
    widths: dict[str, int] = {}
    left = width
    for key, wanted in _STEPS:
        had = widths.get(key)
        needed = wanted - had if had is not None else wanted + (GAP if widths else 0)
        if needed > left:
            if had is not None:
                widths[key] += left
            break
        widths[key] = wanted
        left -= needed
    widths = widths or {_STEPS[0][0]: max(1, width)}
    return ColumnLayout(tuple((c, widths[c.key]) for c in COLUMNS if c.key in widths))


FULL: Final = layout(10_000).width
"""Cells that a table makes use of."""
