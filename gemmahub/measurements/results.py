"""What was measured, remembered in the data folder; and results as a file that people share."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

from msgspec import Meta, Struct
from msgspec.json import encode

from gemmahub.errors import FormatError
from gemmahub.measurements.records import QualityResult, Result, SpeedResult
from gemmahub.records.parsing import Unfit, from_json, read_bounded
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gemmahub.records.small_table import SmallTable

FILE_NAME: Final = "results.sqlite"
FORMAT: Final = 1
"""The version of the file that people share."""

_LARGEST_FILE: Final = 64_000_000
_COLUMNS: Final = ("origin text not null", "body text not null")
_Kind = TypeVar("_Kind", SpeedResult, QualityResult)


class KeptResult(Struct, frozen=True):
    """A result, and where it is from: empty for this machine, else the name under which another's
    was imported."""

    result: Result
    origin: str = ""


class Results:
    """Remembered results. A damaged one costs itself, a damaged file is kept as
    ``results.sqlite.damaged``, and what cannot be written is not remembered."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def add(self, results: Iterable[Result], origin: str = "") -> None:
        """Remember results; one that is there already, from the same place, stays once."""
        rows = [(one_line(origin, 200), encode(result).decode()) for result in results]
        insert = "insert into results (origin, body) select ?, ? where not exists "
        insert += "(select 1 from results where origin = ? and body = ?)"
        self._table.write([(insert, (*row, *row)) for row in rows])
        self._look_again()

    def forget(self, origin: str) -> None:
        """Forget what was imported under a name."""
        self._table.write([("delete from results where origin = ?", (origin,))])
        self._look_again()

    def _look_again(self) -> None:
        for name in ("kept", "_own"):
            self.__dict__.pop(name, None)

    @cached_property
    def kept(self) -> tuple[KeptResult, ...]:
        """All of them, the latest first."""
        found = []
        for origin, body in self._table.rows():
            try:
                found.append(KeptResult(from_json(body, Result), origin))  # type: ignore[arg-type]
            except Unfit:
                continue
        return tuple(sorted(found, key=lambda kept: -kept.result.conditions.at))

    def of(self, kind: type[_Kind], content: str | None) -> list[_Kind]:
        """What this machine measured of the weights with that sha256, the latest first."""
        found = self._own.get(content or "", ())
        return [result for result in found if isinstance(result, kind)]

    @cached_property
    def _own(self) -> dict[str, list[Result]]:
        """What this machine measured, by content."""
        found: dict[str, list[Result]] = {}
        for kept in self.kept:
            if kept.result.model.content and not kept.origin:
                found.setdefault(kept.result.model.content, []).append(kept.result)
        return found

    @cached_property
    def _table(self) -> SmallTable[tuple[str, str]]:
        from gemmahub.records.small_table import SmallTable

        row: Any = tuple[
            Annotated[str, Meta(max_length=400)], Annotated[str, Meta(max_length=1_000_000)]
        ]
        return SmallTable(self._path, "results", _COLUMNS, row, keep=True)


class _File(Struct, kw_only=True):
    gemmahub_results: Annotated[int, Meta(ge=1)]
    results: tuple[Result, ...]


def as_file(results: Iterable[Result]) -> str:
    """Results as the text of a file that :func:`from_file` reads."""
    found = [json.loads(encode(result)) for result in results]
    return json.dumps({"gemmahub_results": FORMAT, "results": found}, indent=1) + "\n"


def from_file(path: Path) -> tuple[Result, ...]:
    """The results in a file.

    Raises: FormatError for a file that is none, of a later version, or cannot be read.
    """
    try:
        found = from_json(read_bounded(path, _LARGEST_FILE), _File)
    except (OSError, Unfit) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise FormatError(
            f"{one_line(str(path))} contains no results: {one_line(reason)}",
            "use a file that gemmahub bench --json or quality --json wrote",
        ) from error
    if found.gemmahub_results > FORMAT:
        raise FormatError(
            f"{one_line(str(path))} was written by a later gemmahub", "update gemmahub"
        )
    return found.results
