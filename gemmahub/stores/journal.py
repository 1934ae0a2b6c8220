"""Records of what is about to be done to files, written whole and to the disk before it is done."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError
from gemmahub.records.parsing import Unfit, json_value, read_bounded
from gemmahub.records.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION: Final = 1
LARGEST: Final = 64_000_000
"""Bytes of a record that are read; one of 10,000 copies has 5 MB."""


class Busy(GemmahubError):
    """Another process is at work on the records of a folder."""


@contextlib.contextmanager
def alone_in(folder: Path, wait: float = 0) -> Iterator[None]:
    """Hold the lock of a folder of records, so that what one process is doing no other takes for
    cut off. Raises: Busy when another one has it still after ``wait`` seconds.

    The lock ends with its process, kill -9 included. Where there can be none (a full disk, a
    folder that may not be written) the work is done without: its steps are safe by themselves.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    with contextlib.ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock.acquire(timeout=wait))
        except Timeout:
            raise Busy(
                "another gemmahub is removing models or sharing files",
                "wait until it is done, then try again",
            ) from None
        except (OSError, NotImplementedError):
            pass
        yield


def new_record(folder: Path) -> Path:
    """A path for a new record; names sort by time."""
    now = time.time_ns()
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 10**9))
    return folder / f"{stamp}-{now % 10**9:09}-{os.getpid()}.json"


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record so that it is there whole, after a crash of the machine too.

    Raises: OSError.
    """
    write_whole(path, json.dumps({"version": VERSION, **record}, indent=1))


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
