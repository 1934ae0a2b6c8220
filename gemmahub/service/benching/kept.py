"""What was measured here, and what was imported, as rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gemmahub.errors import GemmahubError, NotFound, UsageError
from gemmahub.measurements.records import SpeedResult
from gemmahub.measurements.results import as_file, from_file
from gemmahub.records.whole_file import write_whole
from gemmahub.service.benching.text import rate_text
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service.installation import Installation

KEPT_COLUMNS: Final = (
    "model", "precision", "engine", "depth", "prefill tokens/s", "decode tokens/s", "day",
    "machine",
)  # fmt: skip


def kept_rows(here: Installation) -> list[tuple[str, ...]]:
    """A row for each depth of each result, the latest first."""
    return [
        (
            kept.result.model.reference,
            kept.result.model.precision,
            kept.result.conditions.engine,
            f"{each.depth:,}",
            rate_text(each.prefill),
            rate_text(each.decode),
            datetime.fromtimestamp(kept.result.conditions.at, UTC).strftime("%Y-%m-%d"),
            f"another: {kept.origin}" if kept.origin else "this one",
        )
        for kept in here.results.kept
        if isinstance(kept.result, SpeedResult)
        for each in kept.result.depths
    ]


def import_results(here: Installation, path: Path, name: str | None = None) -> tuple[str, int]:
    """Remember the results in a file as those of another machine, which goes by ``name``, else by
    the file's; the name, and how many there are.

    Raises: FormatError; UsageError for a name that is none; GemmahubError where they cannot be
    remembered.
    """
    origin = one_line(path.stem if name is None else name, 100).strip()
    if not origin:
        raise UsageError("the other machine needs a name", "name it with --as NAME")
    results = from_file(path)
    here.results.add(results, origin)
    kept = sum(each.origin == origin for each in here.results.kept)
    if results and not kept:
        raise GemmahubError(
            f"the results could not be saved in {one_line(str(here.config.data))}",
            "free some space there, then import them again",
        )
    return origin, len(results)


def forget_results(here: Installation, name: str) -> int:
    """Forget what was imported under a name; how many results those were. Raises: NotFound."""
    names = [each.origin for each in here.results.kept if each.origin]
    count = names.count(name)
    if not count:
        near = nearest(name, sorted(set(names))) or sorted(set(names))
        hint = f"imported: {', '.join(near)}" if near else "nothing was imported"
        raise NotFound(f"nothing was imported as {one_line(name)!r}", hint)
    here.results.forget(name)
    return count


def own_results(here: Installation) -> list[SpeedResult]:
    """The speeds that were measured on this machine, the latest first."""
    return [
        each.result
        for each in here.results.kept
        if not each.origin and isinstance(each.result, SpeedResult)
    ]


def export_results(results: list[SpeedResult], path: Path) -> None:
    """Write results as a file to share; one that is there is replaced as a whole, or not at all.

    Raises: GemmahubError.
    """
    if path.exists() and not path.is_file():
        raise GemmahubError(f"{one_line(str(path))} is not a file", "choose another place")
    try:
        write_whole(path, as_file(results), make_folder=False)
    except OSError as error:
        raise GemmahubError(
            f"{one_line(str(path))} cannot be written: {error.strerror or error}",
            "free some space there, or choose another file",
        ) from error
