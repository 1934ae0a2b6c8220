"""Which rows of the library are shown, and in which order. Nothing of Textual is needed for it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.service.model_facts import facts_of_variant
from gemmahub.service.model_filter import condition_of, is_condition, is_unfinished
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from gemmahub.service.model_facts import ModelFacts
    from gemmahub.service.overview import ModelRow

SHOWN: Final = ("all", "fits", "installed")


@dataclass(frozen=True, slots=True)
class Heading:
    """A line above a section of rows."""

    text: str
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A row with texts that are looked up again and again: its name, and what a filter reads.

    ``more`` variants of its model are folded below it, or it is ``open`` and they stand there; one
    of those is ``below``.
    """

    row: ModelRow
    reference: str
    title: str
    text: str
    more: int = 0
    open: bool = False
    below: bool = False

    def as_line(self, more: int = 0, *, is_open: bool = False, below: bool = False) -> Item:
        """The same row, folded or not; many are made for each key, so not by ``replace``."""
        return Item(self.row, self.reference, self.title, self.text, more, is_open, below)

    def named(self, cut: Callable[[str, int], str], width: int) -> str:
        """Its name on ``width`` cells, with the mark of what is folded."""
        if self.below:
            return cut(f"  {self.title.partition(':')[2] or self.title}", width)
        mark = f" +{self.more} ▸" if self.more else " ▾" if self.open else ""
        room, name = width - len(mark), self.title
        if len(name) > room and (self.more or self.open) and not maker_of(name):
            name = name.partition(":")[0]  # the precision beside it says which one it is
        if len(name) > room and self.more:  # the name is worth more than the number
            mark = " ▸"
        return cut(name, width - len(mark)) + mark


@dataclass(frozen=True, slots=True)
class SortFilter:
    """What is shown (``all``, ``fits``, ``installed``), by which column, and which words it must
    have. ``reverse`` turns the column's natural order round."""

    show: str = "all"
    sort: str = "where"
    reverse: bool = False
    folded: bool = True
    filter: str = ""


def item_of(row: ModelRow) -> Item:
    """The row with its texts."""
    variant = row.variant
    words = (
        variant.reference,
        variant.name,
        variant.format,
        variant.precision.short,
        fit_word(row),
        place_of(row),
        *row.abilities,
        "base" if row.base else "",
        "gated" if row.gated else "",
    )
    return Item(row, variant.reference, title_of(row), " ".join(words).casefold())


def title_of(row: ModelRow) -> str:
    """How a row is called in a column: a path by its last part, without the scheme of its store."""
    return short_reference(row.variant.reference)


def short_reference(text: str) -> str:
    """A reference without what a column has no room for."""
    reference = one_line(text)
    if reference.startswith(("/", "~", ".")) or ":\\" in reference[:4]:
        return Path(reference).name or reference
    return reference.partition("://")[2] or reference


def maker_of(title: str) -> str:
    """What a name ends in that says who made the file, or how: ``lmstudio``, ``mlx``; "" where it
    ends in its precision, which stands beside it."""
    rest, dash, end = title.partition(":")[2].rpartition("-")
    return end if dash and rest and end != "qat" and not any(c in "_." for c in end) else ""


def fit_word(row: ModelRow) -> str:
    """``fits``, ``tight``, ``partly`` (some layers on the GPU), ``too big``, ``unknown``."""
    if row.fit.fits is None:
        return "unknown"
    if row.fit.fits:
        return "tight" if row.fit.tight else "fits"
    return "partly" if row.recommendation else "too big"


def place_of(row: ModelRow) -> str:
    """Where it is installed."""
    return one_line(", ".join(row.variant.places)) or "not here"


def shown(row: ModelRow, show: str) -> bool:
    """Whether a row belongs to what is shown."""
    if show == "installed":
        return row.installed
    return show == "all" or bool(row.fit.fits) or row.recommendation is not None


# For each column: its key (None: unknown, always last), and whether larger comes first.
_KEYS: Final[dict[str, tuple[Callable[[ModelRow], Any], bool]]] = {
    "rank": (lambda row: row.rank, False),
    "model": (lambda row: row.variant.reference.casefold(), False),
    "parameters": (lambda row: row.variant.parameters or None, True),
    "precision": (lambda row: row.variant.precision.short.casefold(), False),
    "bits": (lambda row: row.variant.precision.bits_per_weight, True),
    "score": (lambda row: None if row.quality.score is None else row.quality.points(""), True),
    "lost": (lambda row: row.quality.loss.share, False),
    "speed": (lambda row: row.speed.likely if row.speed else None, True),
    "context": (lambda row: row.fit.largest_context if row.fit.fits else None, True),
    "prompt": (lambda row: row.prompt_seconds, False),
    "memory": (lambda row: row.memory.total_bytes if row.memory else None, False),
    "why": (lambda row: row.recommendation.plan.points if row.recommendation else None, True),
    "can": (lambda row: len(row.abilities), True),
    "size": (lambda row: row.variant.size_bytes, False),
    "fit": (lambda row: row.share, False),
    "where": (lambda row: _section(row), False),
}
SORTS: Final = tuple(_KEYS)
SORT_WORDS: Final = {"rank": "best first", "where": "installed first"}
"""How an order is said where ``by`` and the column's name would not do."""


def descends(sort_filter: SortFilter) -> bool:
    """Whether larger values come first."""
    return _KEYS.get(sort_filter.sort, _KEYS["where"])[1] != sort_filter.reverse


def ordered(items: Iterable[Item], sort_filter: SortFilter) -> list[Item]:
    """What is shown, sorted; without regard to the filter."""
    key = _KEYS.get(sort_filter.sort, _KEYS["where"])[0]
    if sort_filter.show != "all":
        items = [item for item in items if shown(item.row, sort_filter.show)]
    valued = [(key(item.row), item) for item in items]
    known = [pair for pair in valued if pair[0] is not None]
    known.sort(key=itemgetter(0), reverse=descends(sort_filter))
    return [pair[1] for pair in known] + [item for value, item in valued if value is None]


def filtered(items: Sequence[Item], words: str) -> Sequence[Item]:
    """Those that have every word, and meet every condition (``bits<5``, ``params>=4b``)."""
    for word in words.casefold().split():
        if is_unfinished(word):
            continue
        if is_condition(word):
            holds = condition_of(word).holds
            items = [item for item in items if holds(_facts(item.row))]
        else:
            items = [item for item in items if word in item.text]
    return items


def _facts(row: ModelRow) -> ModelFacts:
    speed = row.speed.likely if row.speed and row.speed_is_measured else None
    return facts_of_variant(row.variant, row.fit, speed=speed)


def _section(row: ModelRow) -> int:
    """What is here, what is fast enough, what is slow, and what is not ranked: a model that is slow
    stands behind all that are not."""
    if row.is_slow:
        return 2
    return 0 if row.installed else 1 if row.recommendation is not None else 3


def with_rules(
    items: Sequence[Item], sort_filter: SortFilter, least_rate: float
) -> Sequence[Item | Heading]:
    """The same rows, with a line above those that are slow and one above those without a rank,
    where the order is one of sections. ``least_rate`` in tokens a second is what is not slow."""
    if sort_filter.reverse or sort_filter.sort not in SORT_WORDS:
        return items
    lines: list[Item | Heading] = []
    rules = {
        2: f"slow here: fewer than {least_rate:g} tokens/s",
        3: "not ranked: too large for what is free, or not known well enough",
    }
    last = 0
    for item in items:
        section = _section(item.row)
        if section > last and not item.below:
            lines += [Heading(rules[section])] if section in rules else []
            last = section
        lines.append(item)
    return lines


def folded(items: Iterable[Item], unfolded: Collection[str]) -> list[Item]:
    """One row a model: the first of its variants, with how many are folded below it; of the models
    that are ``unfolded`` the others follow it."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.row.model, []).append(item)
    lines: list[Item] = []
    for model, (first, *others) in groups.items():
        if not others:
            lines.append(first)
        elif model in unfolded:
            lines.append(first.as_line(is_open=True))
            lines += [item.as_line(below=True) for item in others]
        else:
            lines.append(first.as_line(more=len(others)))
    return lines
