"""A result beside another one: how many times as fast, and whether that is more than noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import NotFound
from gemmahub.measurements.records import SpeedResult
from gemmahub.measurements.results import from_file
from gemmahub.service.benching.text import rate_text
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.measurements.records import Spread

AGAINST_COLUMNS: Final = ("depth", "", "this run", "the other", "times as fast", "difference")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure of two results; ``times`` as fast as the other is this one. ``beyond_spread``: the
    runs of both do not overlap."""

    depth: int
    what: str
    this: Spread
    other: Spread

    @property
    def times(self) -> float:
        """Above 1 where this one is faster."""
        return self.this.median / self.other.median if self.other.median else float("inf")

    @property
    def beyond_spread(self) -> bool:
        """Whether the slowest run of one was faster than the fastest of the other."""
        return self.this.low > self.other.high or self.this.high < self.other.low

    @property
    def verdict(self) -> str:
        """In words."""
        if self.this.runs == 1 or self.other.runs == 1:
            return "measured once: no spread is known"
        return "larger than the spread" if self.beyond_spread else "within the spread"

    @property
    def row(self) -> tuple[str, ...]:
        """By ``AGAINST_COLUMNS``."""
        cells = rate_text(self.this), rate_text(self.other), f"{self.times:.2f}", self.verdict
        return f"{self.depth:,}", self.what, *cells


@dataclass(frozen=True, slots=True)
class Against:
    """Figures that both results have, and what is to be known of the other one."""

    other: SpeedResult
    ratios: tuple[Ratio, ...]
    notes: tuple[str, ...]


def speeds_in(path: Path) -> tuple[SpeedResult, ...]:
    """The speeds in a file of results. Raises: FormatError, NotFound where it has none."""
    found = tuple(result for result in from_file(path) if isinstance(result, SpeedResult))
    if not found:
        raise NotFound(
            f"{one_line(str(path))} contains no speeds", "gemmahub bench --json writes such a file"
        )
    return found


def against(result: SpeedResult, others: Sequence[SpeedResult]) -> Against:
    """A result beside the one of the same file among others, or of the same name, or the only one.

    Raises: NotFound.
    """
    other = (
        next((o for o in others if o.model.content == result.model.content != ""), None)
        or next((o for o in others if o.model.reference == result.model.reference), None)
        or (others[0] if len(others) == 1 else None)
    )
    if other is None:
        raise NotFound(
            f"the other file has no result of {one_line(result.model.reference)}",
            f"it has {one_line(', '.join(o.model.reference for o in others))}",
        )
    by_depth = {each.depth: each for each in other.depths}
    ratios = [
        Ratio(each.depth, what, this, that)
        for each in result.depths
        if each.depth in by_depth
        for what in ("prefill", "decode")
        if (this := getattr(each, what)) and (that := getattr(by_depth[each.depth], what))
    ]
    return Against(other, tuple(ratios), tuple(_notes(result, other)))


def _notes(result: SpeedResult, other: SpeedResult) -> list[str]:
    """What else differs."""
    one, two = result.conditions, other.conditions
    found = [f"the other: {other.model.reference} on {two.machine}, {two.build}"]
    if result.model.content != other.model.content:
        found.append("they are different files")
    if result.parallel != other.parallel:
        found.append(f"{result.parallel} conversations at once, and {other.parallel}")
    names = sorted(one.settings.keys() | two.settings.keys())
    for name in names:
        if one.settings.get(name) != two.settings.get(name):
            found.append(f"{name}: {one.settings.get(name)}, and {two.settings.get(name)}")
    found += [f"the other is doubtful: {doubt}" for doubt in two.doubts]
    return [one_line(text) for text in found]
