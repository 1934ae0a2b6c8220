"""How tables of the catalogue are read: every key known, of the right kind, and named when not."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta, Struct

from gemmahub.errors import GemmahubError
from gemmahub.records.parsing import Unfit, as_kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# How the survey behind the catalogue marks "not verified": such a value may not be shipped.
_UNVERIFIED: Final = frozenset({"U", "u", "-", "?", ""})

# What a table of an array is called by, the first that it has.
_NAME_KEYS: Final = ("name", "tag", "benchmark")

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
PositiveNumber = Annotated[float, Meta(gt=0, le=1e300)]
Percentage = Annotated[float, Meta(ge=0, le=100)]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Commit = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
ShortDigest = Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")]
Repository = Annotated[str, Meta(pattern=r"^[\w.-]+/[\w.-]+\Z")]

Grade = Literal["A", "B", "C"]
"""A: read in a source file, measured or recomputed; B: two or more independent public files
agree; C: one public file or page."""

Training = Literal["QAT", "PTQ", "none", "unknown"]
"""QAT: quantisation-aware training; PTQ: quantised after training; none: not quantised."""

Capability = Literal["text", "image", "audio"]
ChatAbility = Literal["thinking", "tools"]

_PATTERNS: Final = {
    r"^[0-9a-f]{64}\Z": "is not 64 lower-case hexadecimal digits",
    r"^[0-9a-f]{40}\Z": "is not 40 lower-case hexadecimal digits",
    r"^[0-9a-f]{12}\Z": "is not 12 lower-case hexadecimal digits",
    r"^[\w.-]+/[\w.-]+\Z": "is not owner/name",
}


class CatalogError(GemmahubError):
    """The catalogue that ships with gemmahub is damaged."""


class Entry(Struct, forbid_unknown_fields=True, frozen=True):
    """One table. What may be left out is None unless a default is stated."""

    def __post_init__(self) -> None:
        for key in self.__struct_fields__:
            if (value := getattr(self, key)).__class__ is str and value in _UNVERIFIED:
                raise ValueError(f"{key} = {value!r}: leave out what is not verified")


E = TypeVar("E", bound=Entry)


def fault(where: str, reason: str) -> CatalogError:
    """The error of a table; ``where`` is its file and its name in it."""
    return CatalogError(
        f"catalogue, {where}: {reason}", "Install gemmahub again, or correct the file."
    )


def read(kind: type[E], values: object, where: str) -> E:
    """A table as a record. Raises: CatalogError."""
    found: E = _read(kind, values, where)
    return found


def table_of(values: object, where: str) -> dict[str, Any]:
    """A copy of a table. Raises: CatalogError for anything else."""
    found: dict[str, Any] = _read(dict[str, Any], values, where)
    return dict(found)


def percentages(values: dict[str, Any], where: str) -> dict[str, float]:
    """A table of percentages by name, in the order of the file. Raises: CatalogError."""
    return {key: _read(Percentage, value, f"{where}, {key}") for key, value in values.items()}


def _read(kind: Any, values: object, where: str) -> Any:
    try:
        return as_kind(values, kind)
    except Unfit as error:
        reason = str(error)
        for pattern, words in _PATTERNS.items():
            reason = reason.replace(f": expected a text matching regex {pattern!r}", f" {words}")
        raise fault(where, reason) from None


def tables(items: Sequence[object], key: str, where: str) -> Iterator[tuple[object, str]]:
    """The tables of an array, each with its place: its name (or tag, or benchmark), or number."""
    for number, item in enumerate(items):
        names = [item[k] for k in _NAME_KEYS if k in item] if isinstance(item, dict) else []
        yield item, f"{where}, {key} {names[0] if names else number}"


def day(value: str, key: str, where: str) -> str:
    """A date such as 2025-03-12, or a month such as 2025-06, as far as it is known.

    Raises: CatalogError.
    """
    try:
        date.fromisoformat(value if len(value) == 10 else f"{value}-01")
    except ValueError:
        raise fault(where, f"{key} = {value!r} is not a date") from None
    return value
