"""Repairs of records: damaged ones that cannot be made again get another name, others go."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import CheckResult
from gemmahub.records.parsing import Unfit, json_value, read_bounded, set_aside
from gemmahub.service.repairs.repair import Repair
from gemmahub.text import one_line, plural

if TYPE_CHECKING:
    from gemmahub.config import Config

_KEPT: Final = ("speed.sqlite", "results.sqlite", "tuned.sqlite", "tui.json")
_MADE_AGAIN: Final = (
    "summaries.sqlite", "cpu-bandwidth.json", "engine-devices.json", "llama-server-builds.json"
)  # fmt: skip
_BESIDE: Final = ("-journal", "-wal", "-shm")
_LARGEST_JSON: Final = 64_000_000
_LARGEST_DATABASE: Final = 256_000_000
_STEPS: Final = 100
"""Millions of instructions of SQLite's machine for one look."""


def record_repairs(config: Config) -> list[Repair]:
    """Damaged files in the data and the cache folder, and records of finished removals."""
    found = []
    for folder, names, keep in (
        (config.data, _KEPT, True),
        (config.cache, _MADE_AGAIN, False),
    ):
        for name in names:
            path = folder / name
            if reason := _damage(path):
                found.append(_repair(path, reason, keep=keep))
    return [*found, *_removals(config.data)]


def _repair(path: Path, reason: str, *, keep: bool) -> Repair:
    shown = one_line(str(path))
    check = CheckResult("record", "warning", f"{shown} is damaged: {reason}")
    if keep:
        return Repair(check, f"rename {shown} to {path.name}.damaged", partial(_rename, path))
    return Repair(check, f"remove {shown}, which is made again", partial(_forget, path))


def _rename(path: Path) -> None:
    """Raises: PermissionError."""
    if set_aside(path) is None:
        raise PermissionError(13, "it cannot be renamed", str(path))
    _forget_beside(path)


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
    _forget_beside(path)


def _forget_beside(path: Path) -> None:
    """What SQLite had beside the old file would damage a new one."""
    for ending in _BESIDE:
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _damage(path: Path) -> str:
    """What is wrong with a file; "" where it is right, is not there, or cannot be looked at."""
    if not path.is_file():
        return ""
    return _of_database(path) if path.suffix == ".sqlite" else _of_json(path)


def _of_json(path: Path) -> str:
    try:
        found: Any = json_value(read_bounded(path, _LARGEST_JSON))
    except OSError:
        return ""
    except Unfit as error:
        return one_line(str(error), 120)
    return "" if isinstance(found, dict) else "it is not a table"


def _of_database(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_DATABASE:
            return "it is longer than any that is read"
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=2.0)) as database:
            steps = iter(range(_STEPS))
            database.set_progress_handler(lambda: next(steps, None) is None, 1_000_000)
            (said,) = database.execute("pragma quick_check(1)").fetchone()
    except (sqlite3.OperationalError, OSError):  # locked, or of another user
        return ""
    except sqlite3.DatabaseError as error:
        return one_line(str(error), 120)
    return "" if said == "ok" else one_line(str(said), 120)


def _removals(data: Path) -> list[Repair]:
    """Records of removals that are damaged, or of which nothing is left to be done. One that was
    cut off earlier is ended by the next ``gemmahub rm``."""
    from gemmahub.stores.journal import read_record
    from gemmahub.stores.removal import unfinished_removals

    broken, done = [], []
    for path in unfinished_removals(data):
        record = read_record(path)
        if not record:
            broken.append(path)
        elif _is_done(record):
            done.append(path)
    found = [_repair(path, "it is not a record of a removal", keep=True) for path in broken]
    if done:
        what = f"{plural(len(done), 'record')} of finished removals"
        check = CheckResult("removals", "warning", what)
        found.append(Repair(check, f"remove {what}", partial(_forget_all, done)))
    return found


def _is_done(record: dict[str, Any]) -> bool:
    """Whether nothing is there any more of what was to be removed."""
    paths = [step.get("path") for step in record.get("steps", ()) if isinstance(step, dict)]
    texts = [path for path in paths if isinstance(path, str) and "\0" not in path]
    return len(texts) == len(paths) and not any(Path(text).exists() for text in texts)


def _forget_all(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
