"""``--filter 'bits<5,fits'`` and ``--sort -size``: which models are shown, and in which order.

A filter is conditions with commas between them, all of which have to hold: a key alone (``fits``),
``!`` and a key (``!qat``), or a key, an operator and a value (``bits<5``, ``name~e4b``). What is
not known of a model meets no condition.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from gemmahub.errors import UsageError
from gemmahub.hardware.simulate import unit_bytes
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from gemmahub.service.model_facts import ModelFacts
    from gemmahub.service.searching import FileRow, RepositoryRow

T = TypeVar("T")

_THOUSANDS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_TOKENS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20}
_NUMBER: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([a-z]{0,3})", re.IGNORECASE)
_CONDITION: Final = re.compile(
    r"(!?)\s*([a-z_]+)\s*(?:(<=|>=|!=|!~|==|=|<|>|~)\s*(.*))?", re.DOTALL
)
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "=": operator.eq, "!=": operator.ne,
}  # fmt: skip
EXAMPLE: Final = "--filter 'bits<5,size<8GB,fits'"


class FilterKey(NamedTuple):
    """A key of a filter: what kind of value it has, how one is written, and what it means."""

    kind: str
    example: str
    what: str


KEYS: Final = {
    "name": FilterKey("text", "name~e4b", "reference or name"),
    "format": FilterKey("text", "format=gguf", "format of the file: gguf, mlx, safetensors"),
    "kind": FilterKey("text", "kind=embedding", "text, embedding, drafter ..."),
    "label": FilterKey("text", "label=q4_0", "the publisher's label of the precision"),
    "engine": FilterKey("text", "engine=mlx", "backend that runs the format"),
    "store": FilterKey("text", "store=ollama", "store that it is in"),
    "bits": FilterKey("number", "bits<5", "measured bits per weight"),
    "params": FilterKey("count", "params>=4b", "weights: k, m, b (10^9)"),
    "size": FilterKey("bytes", "size<8GB", "size of the files: GB (10^9 bytes), GiB (2^30)"),
    "context": FilterKey("tokens", "context>=32k", "largest context that fits: k (1,024)"),
    "speed": FilterKey("number", "speed>20", "measured tokens/s on this machine"),
    "fits": FilterKey("flag", "fits", "fits in the memory that is free now"),
    "qat": FilterKey("flag", "qat", "trained for its precision"),
    "installed": FilterKey("flag", "!installed", "is on this machine"),
}
"""What a filter and an order can name."""


class Condition(NamedTuple):
    """One condition: texts are compared in small letters, flags with True."""

    key: str
    compare: str
    value: Any

    def holds(self, facts: ModelFacts) -> bool:
        """Whether a model meets it."""
        found = facts.value(self.key)
        if KEYS[self.key].kind != "text":
            return found is not None and _COMPARE[self.compare](found, self.value)
        texts = [text.casefold() for text in found if text]
        if self.compare in ("~", "!~"):
            there = any(self.value in text for text in texts)
        else:
            there = self.value in texts
        return bool(texts) and there != self.compare.startswith("!")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which models are shown, and in which order: by these keys, those marked True from high to
    low. What is not known is last."""

    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.conditions or self.order)

    @property
    def names_engines(self) -> bool:
        """Whether backends have to be asked."""
        return any(key == "engine" for key in (*(c.key for c in self.conditions),
                                               *(key for key, _ in self.order)))  # fmt: skip

    def shows(self, facts: ModelFacts) -> bool:
        """Whether a model meets all conditions."""
        return all(condition.holds(facts) for condition in self.conditions)

    def of(self, items: Iterable[T], facts_of: Callable[[T], ModelFacts]) -> list[T]:
        """Those that are shown, in their order."""
        pairs = [(facts_of(item), item) for item in items]
        pairs = [pair for pair in pairs if self.shows(pair[0])]
        for key, down in reversed(self.order):
            known = [pair for pair in pairs if _known(pair[0].value(key))]
            rest = [pair for pair in pairs if not _known(pair[0].value(key))]
            known.sort(key=lambda pair: _sorted_by(pair[0].value(key)), reverse=down)
            pairs = known + rest
        return [item for _, item in pairs]


def selection_of(filter_text: str | None, sort_text: str | None = None) -> Selection:
    """The selection of ``--filter`` and ``--sort``. Raises: UsageError."""
    conditions = [condition_of(part) for part in _parts(filter_text)]
    order = []
    for part in _parts(sort_text):
        key = part.removeprefix("-").strip().casefold()
        _check(key, part, "--sort -size,name")
        order.append((key, part.startswith("-")))
    return Selection(tuple(conditions), tuple(order))


def condition_of(text: str) -> Condition:
    """One condition. Raises: UsageError, with the keys or an example."""
    shown = one_line(text, 60)
    match = _CONDITION.fullmatch(text.strip().casefold())
    if match is None:
        raise UsageError(f"the filter {shown!r} is not a condition", _hint())
    negated, key, compare, value = match.groups()
    _check(key, text, EXAMPLE)
    known = KEYS[key]
    if known.kind == "flag":
        if compare is None:
            return Condition(key, "=", not negated)
        if compare in ("=", "==", "!=") and value in ("yes", "no", "true", "false") and not negated:
            return Condition(key, "=", (value in ("yes", "true")) == (compare != "!="))
        raise UsageError(f"the filter {shown!r}: {key} is yes or no", f"write {key} or !{key}")
    if compare is None or negated or not value:
        raise UsageError(f"the filter {shown!r} needs a value", f"write {known.example}")
    compare = "=" if compare == "==" else compare
    if known.kind == "text":
        if compare not in ("=", "!=", "~", "!~"):
            raise UsageError(f"the filter {shown!r}: {key} is a text", f"write {known.example}")
        return Condition(key, compare, value.strip())
    if compare not in _COMPARE:
        raise UsageError(f"the filter {shown!r}: {key} is a number", f"write {known.example}")
    return Condition(key, compare, _number(value.strip(), key, shown))


def is_condition(text: str) -> bool:
    """Whether a word that somebody looks for is a comparison, and no plain text: ``fits`` is."""
    match = _CONDITION.fullmatch(text)
    if match is None or match[2] not in KEYS or not (match[3] or match[1]):
        return False
    try:
        condition_of(text)
    except UsageError:
        return False
    return True


def is_unfinished(text: str) -> bool:
    """Whether somebody is still writing a comparison: ``bits<``."""
    match = _CONDITION.fullmatch(text)
    return match is not None and match[2] in KEYS and bool(match[3]) and not match[4]


def _number(value: str, key: str, shown: str) -> float:
    known = KEYS[key]
    match = _NUMBER.fullmatch(value)
    factor: int | None = None
    if match is not None:
        unit = match[2]
        if known.kind == "bytes":
            factor = unit_bytes(unit)
        else:
            units = {"count": _THOUSANDS, "tokens": _TOKENS}.get(known.kind, {"": 1})
            factor = units.get(unit)
    if match is None or factor is None:
        raise UsageError(
            f"the filter {shown!r}: {one_line(value, 20)} is not a number for {key}",
            f"write {known.example} ({known.what})",
        )
    return float(match[1]) * factor


def _check(key: str, text: str, example: str) -> None:
    if key in KEYS:
        return
    near = nearest(key, KEYS, 1)
    meant = f"did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"{one_line(text, 60)!r} names no key that models have", f"{meant}{_hint(example)}"
    )


def _hint(example: str = EXAMPLE) -> str:
    return f"keys: {', '.join(KEYS)}; for example {example}"


def _parts(text: str | None) -> list[str]:
    if text is None:
        return []
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise UsageError(f"{one_line(text, 60)!r} has an empty part", _hint())
    return found


def _known(value: Any) -> bool:
    return value is not None and value != ()


def _sorted_by(value: Any) -> Any:
    return tuple(text.casefold() for text in value) if isinstance(value, tuple) else value


def selected_repositories(
    rows: Iterable[RepositoryRow],
    selection: Selection,
    engines: Mapping[str, Collection[str]] | None = None,
) -> list[RepositoryRow]:
    """Repositories with the files that are shown; those of the first file in the order first."""
    from gemmahub.service.model_facts import facts_of_file

    if not selection:
        return list(rows)
    pairs = [(row, file) for row in rows for file in row.files]
    kept = selection.of(
        pairs, lambda pair: facts_of_file(pair[0].repository.name, pair[1], engines)
    )
    files: dict[str, list[FileRow]] = {}
    first: dict[str, RepositoryRow] = {}
    for row, file in kept:
        first.setdefault(row.repository.name, row)
        files.setdefault(row.repository.name, []).append(file)
    return [replace(row, files=tuple(files[name])) for name, row in first.items()]
