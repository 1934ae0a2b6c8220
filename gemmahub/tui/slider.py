"""The slider for the context length: a track of steps that are worth choosing, as text."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content

_LABEL = "context "
_NUMBER = 9  # cells for the tokens behind the track


@dataclass(frozen=True, slots=True)
class Slider:
    """``steps`` in tokens, the one that is chosen, and the ``largest`` context that fits."""

    steps: tuple[int, ...]
    value: int
    largest: int

    def next(self, step: int) -> int:
        """The next step up (1) or down (-1)."""
        if step > 0:
            return next((tokens for tokens in self.steps if tokens > self.value), self.steps[-1])
        less = [tokens for tokens in self.steps if tokens < self.value]
        return less[-1] if less else self.steps[0]

    def at(self, x: int, width: int) -> int:
        """The step under a cell of the line; beyond the track the first or the last."""
        cells = _cells(width)
        place = min(max(0, x - len(_LABEL)), cells - 1) / max(1, cells - 1)
        return self.steps[round(place * (len(self.steps) - 1))]

    def line(self, width: int) -> Content:
        """Label, track and tokens; the track is drawn through as far as the context fits."""
        cells = _cells(width)
        fits = self._cell(self.largest, cells) + 1 if self.largest else 0
        at = self._cell(self.value, cells)
        style = "$text-success" if self.value <= self.largest else "$text-error"
        before, after = ("━" * min(at, fits), "━" * max(0, fits - at - 1))
        return Content.assemble(
            _LABEL,
            (before, "$text-success"),
            ("┄" * (at - len(before)), "$text-error"),
            ("●", f"bold {style}"),
            (after, "$text-success"),
            ("┄" * (cells - at - 1 - len(after)), "$text-error"),
            (f"{self.value:>{_NUMBER},}", "bold"),
        )

    def above(self, width: int) -> tuple[int, int]:
        """The first cell of the track of a line, and how many it has."""
        return len(_LABEL), _cells(width)

    def _cell(self, tokens: int, cells: int) -> int:
        """The cell of a number of tokens: that of the last step that is not above it."""
        number = max(0, sum(step <= tokens for step in self.steps) - 1)
        return round(number * (cells - 1) / max(1, len(self.steps) - 1))


def _cells(width: int) -> int:
    return max(1, width - len(_LABEL) - _NUMBER)
