"""The directory of an ``.sbs`` file: named blobs, each with its place.

Source: google/gemma.cpp io/blob_store.cc@0d8948f7. Little-endian. Both layouts have a header of 16
bytes (magic, number of blobs, bytes of the file) and a directory of 16-byte names followed by as
many pairs of offset and length. Until July 2025 both are at the beginning (V1); since then the
header there says 0 blobs, and directory and true header are the last bytes of the file (V2).
Blobs begin at multiples of 256, in the directory's order, with nothing but padding in between.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.reader import MOST_TENSORS
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from gemmahub.formats.source import ByteSource

MAGIC: Final = b"SBS\n"
ALIGNMENT: Final = 256
END_ALIGNMENT: Final = 64 * 1024
HEADER: Final = struct.Struct("<4sIQ")
PLACE: Final = struct.Struct("<QQ")
NAME_BYTES: Final = 16
_MOST_BLOBS: Final = MOST_TENSORS + 64
_DAMAGED: Final = "Fetch the file again; if that does not help, report it to its publisher."


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


def read_blobs(source: ByteSource) -> dict[str, Blob]:
    """The blobs by name, in the order of the file; no blob is read.

    Raises: FormatError for what is no such file, or has more blobs than any model; IntegrityError
    for one that is cut off or makes no sense.
    """
    name = one_line(source.name)
    if source.size < HEADER.size:
        raise IntegrityError(f"{name} ends in the middle of its header", INCOMPLETE_HINT)
    count, size = _header(source, 0)
    if count:
        blobs = _directory(source, count, size, HEADER.size)
        _check_order(name, blobs, _aligned(HEADER.size + 2 * NAME_BYTES * count))
        return blobs
    at = source.size - HEADER.size
    try:
        count, size = _header(source, at)
    except FormatError:
        what = f"{name} has no directory at its end"
        raise IntegrityError(what, INCOMPLETE_HINT) from None
    blobs = _directory(source, count, size, at - 2 * NAME_BYTES * count)
    _check_order(name, blobs, ALIGNMENT)
    return blobs


def read_blob(source: ByteSource, blob: Blob, most: int) -> bytes:
    """The bytes of a blob with metadata. Raises: FormatError for more than ``most`` bytes."""
    if blob.size > most:
        what = f"{blob.name} of {one_line(source.name)} has {format_bytes(blob.size)}"
        raise FormatError(f"{what}, more than any model needs", _DAMAGED)
    return source.read(blob.offset, blob.size)


def _header(source: ByteSource, offset: int) -> tuple[int, int]:
    magic, count, size = HEADER.unpack(source.read(offset, HEADER.size))
    if magic != MAGIC:
        raise FormatError(f"{one_line(source.name)} is not a .sbs file", "Choose another file.")
    return count, size


def _directory(source: ByteSource, count: int, size: int, offset: int) -> dict[str, Blob]:
    name = one_line(source.name)
    if not count:
        raise IntegrityError(f"{name} has no blobs", INCOMPLETE_HINT)
    if count > _MOST_BLOBS:
        raise FormatError(f"{name} has {count:,} blobs, more than any model", _DAMAGED)
    length = 2 * NAME_BYTES * count
    if size != source.size or offset < 0 or offset + length > source.size:
        what = f"{name} has {format_bytes(source.size)}, but its header states {format_bytes(size)}"
        raise IntegrityError(what, INCOMPLETE_HINT)
    content = source.read(offset, length)
    found: dict[str, Blob] = {}
    for index in range(count):
        raw = content[index * NAME_BYTES : (index + 1) * NAME_BYTES]
        key = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
        begin, bytes_ = PLACE.unpack_from(content, (count + index) * NAME_BYTES)
        if key in found:
            raise IntegrityError(f"{name} has two blobs called {one_line(key)!r}", _DAMAGED)
        found[key] = Blob(key, begin, bytes_)
    return found


def _check_order(name: str, blobs: dict[str, Blob], begin: int) -> None:
    """Whether the blobs lie one behind the other, as the writer puts them: none overlaps another,
    the directory or the end. The end of the last was compared with the file's by the caller."""
    for blob in blobs.values():
        if blob.offset != begin or not blob.size:
            what = f"{name}: the blob {one_line(blob.name)!r} is not where it should be"
            raise IntegrityError(f"{what} (byte {blob.offset:,}, expected {begin:,})", _DAMAGED)
        begin = _aligned(blob.offset + blob.size)


def check_end(source: ByteSource, blobs: dict[str, Blob]) -> None:
    """Raises: IntegrityError where the last blob ends behind the file."""
    for blob in blobs.values():
        if blob.offset + blob.size > source.size:
            what = f"{one_line(source.name)}: the blob {one_line(blob.name)!r} ends behind the file"
            raise IntegrityError(what, INCOMPLETE_HINT)


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
