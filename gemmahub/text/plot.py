"""Lines in a text: a plot of braille dots, two by four in each cell, in segments with styles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell by row and column (Unicode, block U+2800)."""
_BLANK: Final = 0x2800

Segment = tuple[str, str]
"""A text and the name of its style."""


@dataclass(frozen=True, slots=True)
class Line:
    """``values`` at places that are equally far from each other, all of the same number of places;
    its ``name`` stands at its right end. ``style`` is handed on."""

    name: str
    values: tuple[float, ...]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Plot:
    """Lines against a ``limit``, with a point on the line ``chosen`` at the place ``at``.

    What is larger than the top, twice the limit at most, is left out.
    """

    lines: Sequence[Line]
    limit: float
    chosen: int = 0
    at: int = 0

    @property
    def top(self) -> float:
        """What the upper edge stands for."""
        most = max((max(line.values) for line in self.lines), default=0.0)
        return max(min(max(most, self.limit * 1.05), self.limit * 2), 1e-9)

    def rows(self, width: int, height: int) -> list[list[Segment]]:
        """``height`` rows of ``width`` cells, as segments from left to right."""
        names = max((len(line.name) for line in self.lines), default=0) + 1
        cells = max(2, width - names)
        grid: list[list[Segment]] = [[(" ", "")] * cells for _ in range(height)]
        limit = self._row(self.limit, height)
        if limit is not None:
            grid[limit] = [("┄", "limit")] * cells
        order = [n for n in range(len(self.lines)) if n != self.chosen]
        for number in [*order, self.chosen] if self.lines else ():
            self._draw(self.lines[number], grid)
        self._mark(grid)
        found = [[*row, *self._name_in(n, height, names)] for n, row in enumerate(grid)]
        return [joined(row) for row in found]

    def _draw(self, line: Line, grid: list[list[Segment]]) -> None:
        height, dots = len(grid), len(grid[0]) * 2
        bits: dict[tuple[int, int], int] = {}
        before: int | None = None
        for x in range(dots):
            y = self._dot(_between(line.values, x / (dots - 1)), height)
            if y is None:
                before = None
                continue
            first = y if before is None else before
            for step in range(min(first, y), max(first, y) + 1):
                place = (step // 4, x // 2)
                bits[place] = bits.get(place, 0) | _DOTS[step % 4][x % 2]
            before = y
        for (row, column), found in bits.items():
            grid[row][column] = (chr(_BLANK | found), line.style)

    def _mark(self, grid: list[list[Segment]]) -> None:
        if not self.lines:
            return
        line = self.lines[self.chosen]
        last = max(1, len(line.values) - 1)
        row = self._row(line.values[min(self.at, last)], len(grid))
        column = round(min(self.at, last) / last * (len(grid[0]) - 1))
        grid[0 if row is None else row][column] = ("●", "point")

    def _name_in(self, row: int, height: int, width: int) -> list[Segment]:
        """The name of a line that ends in this row; of several the chosen one's."""
        ending = [line for line in self.lines if (self._row(line.values[-1], height) or 0) == row]
        chosen = self.lines[self.chosen] if self.lines else None
        line = chosen if chosen in ending else ending[0] if ending else None
        if line is None:
            return [(" " * width, "")]
        return [(" ", ""), (line.name.ljust(width - 1), line.style)]

    def _row(self, value: float, height: int) -> int | None:
        dot = self._dot(value, height)
        return None if dot is None else dot // 4

    def _dot(self, value: float, height: int) -> int | None:
        """The row of dots of a value, from above; None where it is above the top."""
        if value > self.top:
            return None
        most = height * 4 - 1
        return min(most, max(0, round((1 - value / self.top) * most)))


def _between(values: Sequence[float], share: float) -> float:
    """A value on the line through ``values``, ``share`` of the way."""
    place = share * (len(values) - 1)
    left = min(int(place), len(values) - 1)
    right = min(left + 1, len(values) - 1)
    return values[left] + (values[right] - values[left]) * (place - left)


def joined(row: Sequence[Segment]) -> list[Segment]:
    """The same row, neighbours of one style in one segment."""
    return [
        ("".join(text for text, _ in run), style)
        for style, run in groupby(row, key=lambda segment: segment[1])
    ]
