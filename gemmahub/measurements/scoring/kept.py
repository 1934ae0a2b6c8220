"""Scored windows on disk, so that a run that was stopped goes on, and that the distributions of a
reference need not be in memory with the model that is held against it.

One file a window: it is there whole, or not at all. What is damaged is computed again.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from msgspec import DecodeError, Struct
from msgspec.json import decode, encode

from gemmahub.errors import GemmahubError
from gemmahub.records.whole_file import write_whole
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT: Final = 1
_LARGEST_HEAD: Final = 1 << 16
_LARGEST: Final = 1 << 28
_KINDS: Final = frozenset("bifd")


class _Head(Struct, frozen=True):
    format: int
    order: str
    columns: list[tuple[str, str, int]]
    sum: int


class KeptWindows:
    """Windows of one model and text in a folder, each as columns of numbers.

    Full disks and others that refuse to be written are a GemmahubError that says how to go on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, number: int) -> dict[str, array[Any]] | None:
        """The columns of a window; None where it is not there, or damaged."""
        try:
            with self._path(number).open("rb") as file:
                head, body = file.readline(_LARGEST_HEAD), file.read(_LARGEST)
            return _read(decode(head, type=_Head), body)
        except (OSError, DecodeError, ValueError):
            return None

    def put(self, number: int, columns: Mapping[str, array[Any]]) -> None:
        """Keep a window. Raises: GemmahubError."""
        body = b"".join(column.tobytes() for column in columns.values())
        names = [(name, str(column.typecode), len(column)) for name, column in columns.items()]
        head = encode(_Head(FORMAT, sys.byteorder, names, crc32(body)))
        try:
            write_whole(self._path(number), head + b"\n" + body)
        except OSError as error:
            raise GemmahubError(
                f"the scores cannot be saved in {one_line(str(self._folder))}: {error.strerror}",
                "free some space there, or set GEMMAHUB_CACHE to another folder; the same "
                "command continues from the saved windows",
            ) from None

    def _path(self, number: int) -> Path:
        return self._folder / f"window-{number:05}.scores"


def _read(head: _Head, body: bytes) -> dict[str, array[Any]] | None:
    if head.format != FORMAT or head.order != sys.byteorder or crc32(body) != head.sum:
        return None
    found: dict[str, array[Any]] = {}
    place = 0
    for name, kind, length in head.columns:
        if kind not in _KINDS or length < 0:
            return None
        found[name] = array(kind)
        size = found[name].itemsize * length
        found[name].frombytes(body[place : place + size])
        place += size
    return found if place == len(body) else None
