"""Dots in a text: what lies where by two figures, each dot with its name where there is room."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING, Final

from gemmahub.text.plot import Segment, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MARKS: Final = {(True, False): "●", (False, False): "○", (True, True): "◆", (False, True): "◇"}
"""By whether a dot is filled, and whether it is the chosen one: no colour is needed to tell."""
_TICKS: Final = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Dot:
    """``x`` is above 0; its ``name`` stands beside it where nothing else does. ``style`` is handed
    on, with the name's."""

    name: str
    x: float
    y: float
    filled: bool = True
    style: str = ""


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Dots over a logarithmic ``x`` and a linear ``y``.

    The names of dots that come first in ``dots`` are placed first, after the one of ``chosen``.
    ``x_text`` and ``y_text`` write the figures at the axes. ``down``: small ``y`` are above.
    """

    dots: Sequence[Dot]
    x_text: Callable[[float], str]
    y_text: Callable[[float], str]
    chosen: int | None = None
    down: bool = False

    def rows(self, width: int, height: int) -> list[list[Segment]]:
        """``height`` rows of ``width`` cells, the lowest one the axis, as segments."""
        places, figures, left = self._places(width, height)
        cells, lines = max(2, width - left), max(1, height - 1)
        grid: list[list[Segment]] = [[(" ", "")] * cells for _ in range(lines)]
        for number in self._order():
            (x, y), dot = places[number], self.dots[number]
            if number == self.chosen or grid[y][x - left][0] == " ":
                mark = _MARKS[dot.filled, number == self.chosen]
                grid[y][x - left] = (mark, "point" if number == self.chosen else dot.style)
        for number in self._order():
            x, y = places[number]
            self._write(grid[y], x - left, self.dots[number], number == self.chosen)
        found = [
            [(figures.get(n, "").rjust(left - 1), ""), ("│", "axis"), *row]
            for n, row in enumerate(grid)
        ]
        return [joined(row) for row in (*found, [(self._axis(left, cells), "axis")])]

    def place(self, number: int, width: int, height: int) -> tuple[int, int]:
        """The column and the row of a dot in :meth:`rows` of that size."""
        return self._places(width, height)[0][number]

    def nearest(self, x: int, y: int, width: int, height: int) -> int | None:
        """The dot that is nearest to a cell, at most three cells away."""
        places, _, _ = self._places(width, height)
        found = [(abs(a - x) + 2 * abs(b - y), n) for n, (a, b) in enumerate(places)]
        distance, number = min(found, default=(9, 0))
        return number if distance <= 3 else None

    def _places(self, width: int, height: int) -> tuple[list[tuple[int, int]], dict[int, str], int]:
        """Column and row of every dot, the figures beside the axis, and the column behind it."""
        lines = max(1, height - 1)
        figures = self._figures(lines)
        left = max(map(len, figures.values())) + 1
        cells = max(2, width - left)
        (high, low), across = self._range_y, self._range_x
        places = []
        for dot in self.dots:
            row = round((high - dot.y) / (high - low) * (lines - 1))
            places.append((left + _column(dot.x, across, cells), min(lines - 1, max(0, row))))
        return places, figures, left

    def _figures(self, lines: int) -> dict[int, str]:
        """Figures beside the axis, by row: of the edges, and of the middle where it has room."""
        high, low = self._range_y
        values = {0: high, lines - 1: low}
        if lines >= 5:
            middle = (lines - 1) // 2
            values[middle] = high + (low - high) * middle / (lines - 1)
        return {row: self.y_text(value) for row, value in values.items()}

    def _order(self) -> list[int]:
        others = [n for n in range(len(self.dots)) if n != self.chosen]
        return others if self.chosen is None else [self.chosen, *others]

    @property
    def _range_y(self) -> tuple[float, float]:
        """The figures of the upper and of the lower edge."""
        values = [dot.y for dot in self.dots] or [0.0, 1.0]
        low, high = min(values), max(values)
        if high == low:
            low, high = low - abs(low) * 0.1 - 1e-9, high + abs(high) * 0.1 + 1e-9
        return (low, high) if self.down else (high, low)

    @property
    def _range_x(self) -> tuple[float, float]:
        values = [dot.x for dot in self.dots] or [1.0, 10.0]
        return log10(min(values) / 1.15), log10(max(values) * 1.15)

    def _write(self, row: list[Segment], x: int, dot: Dot, chosen: bool) -> None:
        """The name to the right of its dot, else to the left, else nowhere."""
        length = len(dot.name)
        for start in (x + 2, x - 1 - length):
            end = start + length
            around = range(max(0, start - 1), min(len(row), end + 1))
            free = all(row[n][0] == " " for n in around if n != x)
            if dot.name and start >= 0 and end <= len(row) and free:
                style = "point" if chosen else dot.style
                row[start:end] = [(letter, style) for letter in dot.name]
                return

    def _axis(self, left: int, cells: int) -> str:
        """The lowest row: figures of 1, 2 and 5 by decades, where they have room."""
        low, high = self._range_x
        line = [" "] * (left - 1) + ["└"] + ["─"] * cells
        end = left
        for decade in range(int(low) - 1, int(high) + 2):
            for tick in _TICKS:
                value = tick * 10.0**decade
                text = self.x_text(value)
                if not low <= log10(value) <= high:
                    continue
                start = left + _column(value, (low, high), cells)
                if start > end and start + len(text) < left + cells:
                    line[start : start + len(text)] = text
                    end = start + len(text) + 1
        return "".join(line)


def _column(x: float, across: tuple[float, float], cells: int) -> int:
    """The cell of a figure, of those between the logarithms ``across``."""
    low, high = across
    return min(cells - 1, max(0, round((log10(x) - low) / (high - low) * (cells - 1))))
