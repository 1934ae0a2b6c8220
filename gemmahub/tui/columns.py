"""The columns of the library table: what they say, and which of them a width has room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from gemmahub.text import format_bytes, format_parameters
from gemmahub.tui.sort_filter import fit_word, place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.tui.sort_filter import Item

FIT_CELLS: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``least`` cells it needs, ``good`` it should have before columns of a higher
    ``rank`` are there at all, ``most`` it makes use of."""

    key: str
    label: str
    least: int
    good: int
    most: int
    rank: int
    text: Callable[[Item], str]
    right: bool = False
    short: Callable[[Item], str] | None = None
    """What stands there where the text has no room."""

    def shown(self, item: Item, width: int) -> str:
        """What it says of a row, on exactly ``width`` cells."""
        text = self.text(item)
        if self.short is not None and cell_len(text) > width:
            text = self.short(item)
        return self.cut(text, width)

    def cut(self, text: str, width: int) -> str:
        """The text on exactly ``width`` cells."""
        if self.key == "model" and cell_len(text) > width:
            model, colon, _ = text.partition(":")
            if colon and cell_len(model) + 2 <= width:  # the column beside it says the rest
                text = f"{model}:…"
        if self.key == "precision":
            forms = _shorter(text)
            text = next((form for form in forms if cell_len(form) <= width), forms[-1])
        return fitted(text, width, right=self.right)


def bar(share: float | None, cells: int) -> str:
    """A gauge in halves of a cell: heavy what is taken, light what is not; full from 1 on. Dots
    where nothing is known."""
    if share is None:
        return "·" * cells
    halves = min(cells * 2, max(1 if share > 0 else 0, round(share * cells * 2)))
    whole, half = divmod(halves, 2)
    return ("━" * whole + "╸" * half).ljust(cells, "─")


def _shorter(precision: str) -> list[str]:
    """A precision, the longest form first: ``Q4_0 QAT (not measured)``, ``Q4_0 QAT, ?``, ``Q4_0
    QAT``; ``UD-Q4_K_XL int4 QAT``, ``UD-Q4_K_XL QAT``. The bits beside it say the rest."""
    bare = precision.removesuffix(" (not measured)")
    if bare != precision:
        return [precision, f"{bare}, ?", bare]
    words = precision.split()
    return [precision, f"{words[0]} {words[2]}"] if len(words) == 3 else [precision]


def _bits(item: Item) -> str:
    bits = item.row.variant.precision.bits_per_weight
    return "?" if bits is None else f"{bits:.2f}" if bits < 9.995 else f"{bits:.1f}"


def _context(item: Item) -> str:
    fit = item.row.fit
    if fit.fits is None:
        return "?"
    if not fit.fits:
        found = item.row.recommendation
        return f"{found.largest_context:,}" if found else "none"
    return f"{fit.largest_context:,}"


def _speed(item: Item) -> str:
    """A measured speed, or the band of an estimate."""
    speed = item.row.speed
    if speed is None:
        return "?" if item.row.fit.fits is None or item.row.recommendation else "-"
    if item.row.speed_is_measured:
        return f"{_rate(speed.likely)} ✓"
    return f"~{_rate(speed.low)}–{_rate(speed.high)}"


def _short_speed(item: Item) -> str:
    speed = item.row.speed
    assert speed is not None  # "?" needs no shorter form
    return _rate(speed.likely) if item.row.speed_is_measured else f"~{_rate(speed.likely)}"


def _rate(speed: float) -> str:
    return f"{speed:.1f}" if speed < 9.95 else f"{speed:.0f}"


def _fit(item: Item) -> str:
    return f"{bar(item.row.share, FIT_CELLS)} {fit_word(item.row)}"


def _score(item: Item) -> str:
    """The published score less what the precision costs of it."""
    quality = item.row.quality
    return "?" if quality.score is None else f"{quality.score * (1 - quality.lost):.1f}"


def _lost(item: Item) -> str:
    """The share of the score that the precision costs."""
    share = item.row.quality.loss.share
    return "?" if share is None else f"{share:.1%}"


COLUMNS: Final = (
    Column("rank", "#", 3, 3, 3, 9, lambda i: str(i.row.rank or ""), right=True),
    Column("model", "model", 18, 22, 36, 0, lambda i: i.title),
    Column("parameters", "params", 6, 6, 6, 11,
           lambda i: format_parameters(i.row.variant.parameters) if i.row.variant.parameters
           else "?", right=True),
    Column("precision", "precision", 13, 16, 24, 1, lambda i: i.row.variant.precision.short),
    Column("bits", "bits", 4, 4, 5, 4, _bits, right=True),
    Column("score", "score", 5, 5, 5, 5, _score, right=True),
    Column("lost", "lost", 5, 5, 5, 6, _lost, right=True),
    Column("speed", "tok/s", 5, 8, 9, 7, _speed, right=True, short=_short_speed),
    Column("context", "context", 7, 7, 9, 3, _context, right=True),
    Column("size", "size", 7, 7, 7, 10, lambda i: format_bytes(i.row.variant.size_bytes),
           right=True),
    Column("fit", "fit", FIT_CELLS + 8, FIT_CELLS + 8, FIT_CELLS + 8, 2, _fit),
    Column("where", "where", 8, 8, 14, 8, lambda i: place_of(i.row)),
)  # fmt: skip
_ESSENTIAL: Final = 7
"""Columns up to this rank are there as long as their least widths are."""


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """Columns with their widths, and the cells between them."""

    columns: tuple[tuple[Column, int], ...]
    gap: int


def layout(width: int) -> ColumnLayout:
    """The columns that ``width`` cells have room for; what is left over goes to those that can use
    it, the model first."""
    gap = 1 if width < 110 else 2

    def needed(columns: list[Column], size: Callable[[Column], int]) -> int:
        return sum(size(column) + gap for column in columns) - gap

    def rank(column: Column) -> int:
        return column.rank

    kept = list(COLUMNS)
    while needed(kept, lambda c: c.good) > width and max(map(rank, kept)) > _ESSENTIAL:
        kept.remove(max(kept, key=rank))
    while len(kept) > 1 and needed(kept, lambda c: c.least) > width:
        kept.remove(max(kept, key=rank))
    widths = {column.key: column.least for column in kept}
    left = width - needed(kept, lambda c: c.least)
    for size in ("good", "most"):
        for column in sorted(kept, key=rank):
            more = max(0, min(left, getattr(column, size) - widths[column.key]))
            widths[column.key] += more
            left -= more
    if left < 0:  # one column, and not even that has room
        widths[kept[0].key] = max(1, width)
    return ColumnLayout(tuple((column, widths[column.key]) for column in kept), gap)


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """``text`` on exactly ``width`` cells; cut in the middle, so that both ends can be read."""
    length = cell_len(text)
    if length <= width:
        return " " * (width - length) + text if right else text + " " * (width - length)
    if width < 8:
        return set_cell_size(text, width - 1) + "…" if width > 1 else "…"[:width]
    head = (width - 1) * 3 // 5
    tail = width - 1 - head
    return set_cell_size(text, head) + "…" + _tail(text, tail)


def _tail(text: str, width: int) -> str:
    """The last ``width`` cells."""
    start = len(text)
    while start and cell_len(text[start - 1 :]) <= width:
        start -= 1
    found = text[start:]
    return " " * (width - cell_len(found)) + found
