"""Records of what is about to be done to files, written whole and to the disk before it is done."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from gemmahub.parsing import Unfit, json_value, read_bounded

if TYPE_CHECKING:
    from pathlib import Path

VERSION: Final = 1
LARGEST: Final = 64_000_000
"""Bytes of a record that are read; one of 10,000 copies has 5 MB."""


def new_record(folder: Path) -> Path:
    """A path for a new record; names sort by time."""
    now = time.time_ns()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
    return folder / f"{stamp}-{now % 10**9:09}-{os.getpid()}.json"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record so that it is there whole, after a crash of the machine too.

    Raises: OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"version": VERSION, **record}, indent=1)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_record(path: Path) -> dict[str, Any]:
    """A record; empty when it cannot be read, is damaged or of another version.

    ``steps`` and ``shares`` are lists where they are there; their items are as the file says.
    """
    try:
        record = json_value(read_bounded(path, LARGEST))
    except (OSError, Unfit):
        return {}
    if not isinstance(record, dict) or record.get("version") != VERSION:
        return {}
    lists = all(isinstance(record.get(key, []), list) for key in ("steps", "shares"))
    return record if lists else {}


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last, where the platform can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
