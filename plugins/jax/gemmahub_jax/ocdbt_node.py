"""The parts of an OCDBT database as bytes: checked and unpacked blocks, numbers, tables of files.

Source: google/tensorstore ``tensorstore/kvstore/ocdbt/index.rst`` ("Storage format") and, for the
field ``manifest_kind``, ``format/config_codec.cc``. All of it is what a stranger wrote: every count
is held against the bytes that are left, every path has to stay in its folder.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import one_line
from gemmahub_jax.crc32c import crc32c

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST: Final = 0x0CDB3A2A
BTREE_NODE: Final = 0x0CDB20DE
LARGEST_BLOCK: Final = 16 << 20
"""Bytes of one block as it is stored. A node of 100,000 keys has about 4 MB."""
LARGEST_UNPACKED: Final = 64 << 20
_HEADER: Final = 14  # magic, length, version, compression: each varint is one byte here
_ZSTD: Final = 1
_PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_LONGEST_PATH: Final = 1024


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of the database: ``path`` from its root, ``base`` what its own table stands below."""

    path: str
    base: str


@dataclass(frozen=True, slots=True)
class Extent:
    """Some bytes of a data file."""

    file: DataFile
    offset: int
    length: int


class BlockFields:
    """The fields of a block, read one after the other. Raises: IntegrityError behind its end."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def take(self, length: int) -> bytes:
        """So many bytes."""
        piece = self._data[self._at : self._at + length]
        if len(piece) != length:
            raise damaged(self._what, "it ends early")
        self._at += length
        return piece

    def varint(self) -> int:
        """A number of up to 64 bits in groups of seven, the lowest first."""
        value = 0
        for shift in range(0, 64, 7):
            group = self.byte()
            value |= (group & 0x7F) << shift
            if group < 0x80:
                return value
        raise damaged(self._what, "a number is too long")

    def count(self) -> int:
        """How many entries follow: each has at least one byte."""
        number = self.varint()
        if number > len(self._data) - self._at:
            raise damaged(self._what, f"it says that {number:,} entries follow")
        return number

    def varints(self, count: int) -> list[int]:
        """So many numbers."""
        return [self.varint() for _ in range(count)]

    def prefixed(self, suffixes: list[int], prefixes: list[int]) -> Iterator[bytes]:
        """Texts that are stored without what they have in common with the one before."""
        before = b""
        for prefix, suffix in zip(prefixes, suffixes, strict=True):
            if prefix > len(before):
                raise damaged(self._what, "an entry repeats more than it has")
            before = before[:prefix] + self.take(suffix)
            yield before

    def data_files(self, above: str) -> list[DataFile]:
        """The table of data files; ``above`` is where the block's own file stands."""
        count = self.count()
        prefixes = [0, *self.varints(count - 1)] if count else []
        suffixes, bases = self.varints(count), self.varints(count)
        found = []
        for raw, base in zip(self.prefixed(suffixes, prefixes), bases, strict=True):
            path = above + raw.decode("ascii", "replace")
            if len(path) > _LONGEST_PATH or not _PATH.fullmatch(path):
                raise damaged(self._what, f"it names the file {one_line(path, 80)!r}")
            found.append(DataFile(path, path[: len(above) + base]))
        return found

    def file_of(self, files: list[DataFile], number: int) -> DataFile:
        """An entry of the table."""
        if number >= len(files):
            raise damaged(self._what, f"it names data file {number:,} of {len(files):,}")
        return files[number]


def unpack(block: bytes, magic: int, what: str) -> BlockFields:
    """The body of a block, whose checksum is right.

    Raises: IntegrityError; FormatError for what a later version wrote.
    """
    if len(block) < _HEADER + 4 or int.from_bytes(block[:4], "big") != magic:
        raise damaged(what, "it does not begin correctly")
    if int.from_bytes(block[4:12], "little") != len(block):
        raise damaged(what, "its length is another one")
    if int.from_bytes(block[-4:], "little") != crc32c(block[:-4]):
        raise damaged(what, "its checksum is wrong")
    version, packing = block[12], block[13]
    if version or packing > _ZSTD:
        raise FormatError(
            f"{what} is of version {version}, packed in way {packing}: only version 0 is known",
            "a newer version of gemmahub-jax may read it",
        )
    body = block[_HEADER:-4]
    return BlockFields(_unpacked(body, what) if packing == _ZSTD else body, what)


def damaged(what: str, problem: str) -> IntegrityError:
    """What is wrong with a part of a database."""
    return IntegrityError(f"{what} is damaged: {problem}", INCOMPLETE_HINT)


def _unpacked(body: bytes, what: str) -> bytes:
    """Zstandard, read piece by piece: what a header says of its size is not allocated."""
    import zstandard

    try:
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body)) as stream:
            found: bytes = stream.read(LARGEST_UNPACKED + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise damaged(what, one_line(str(error), 120)) from error
    if len(found) > LARGEST_UNPACKED:
        raise damaged(what, f"it unpacks to more than {LARGEST_UNPACKED >> 20} MiB")
    return found
