"""Reads an OCDBT database: which keys it has, and where their values lie.

TensorStore keeps all arrays of a checkpoint in one such database: a manifest, and data files with
the nodes of a B+tree and the values. Read is the newest version, node by node, and no array.
Source: google/tensorstore ``tensorstore/kvstore/ocdbt/index.rst``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError, IntegrityError, NotFound
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import format_bytes, one_line
from gemmahub_jax.ocdbt_node import (
    BTREE_NODE,
    LARGEST_BLOCK,
    MANIFEST,
    BlockFields,
    DataFile,
    Extent,
    damaged,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.formats.source import Opener, OpenSource

MANIFEST_NAME: Final = "manifest.ocdbt"
MOST_KEYS: Final = 1 << 20
_MOST_NODES: Final = 1 << 14
_MOST_BYTES: Final = 32 << 20  # of all nodes as they are stored: their checksums take time
_TALLEST: Final = 16
_ONE_FILE: Final = 0  # the kind of manifest that is one file
_UUID: Final = 16
_LEVEL: Final = 4
_NO_FILE: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Value:
    """The value of a key: its bytes where they stand in the node, or the piece of a file."""

    length: int
    inline: bytes | None
    piece: Extent | None


class Database:
    """The database in a folder; a context manager. ``sizes`` are those of its files so far."""

    def __init__(self, folder: Path, open_file: Opener) -> None:
        self._folder = folder
        self._open = open_file
        self._files: dict[str, OpenSource] = {}
        self._nodes = self._bytes = self._keys = 0

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for source in self._files.values():
            source.close()
        self._files.clear()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read or that hold a value, in order."""
        return tuple(self._folder / name for name in sorted(self._files))

    @property
    def size_bytes(self) -> int:
        """Their sizes together."""
        return sum(source.size for source in self._files.values())

    def entries(self) -> Iterator[tuple[bytes, Value]]:
        """All keys with their values, in order.

        Raises: IntegrityError for what is damaged or not there; FormatError for other versions.
        """
        block = self._whole(MANIFEST_NAME)
        fields = unpack(block, MANIFEST, MANIFEST_NAME)
        fields.take(_UUID)
        if (kind := fields.varint()) != _ONE_FILE:
            raise FormatError(
                f"{MANIFEST_NAME} is of kind {kind}, which is not known",
                "a newer version of gemmahub-jax may read it",
            )
        fields.varints(2)  # the longest inline value, the largest node
        fields.byte()
        if fields.varint():
            fields.take(_LEVEL)
        root, height = _newest(fields)
        if root is not None:
            yield from self._below(root, height, b"")

    def read(self, value: Value, most: int) -> bytes:
        """The bytes of a value of at most ``most``. Raises: IntegrityError."""
        if value.length > most:
            raise damaged(
                MANIFEST_NAME, f"a description of an array has {format_bytes(value.length)}"
            )
        if value.inline is not None:
            return value.inline
        assert value.piece is not None
        return self._read(value.piece)

    def check(self, value: Value) -> None:
        """Raises: IntegrityError where a file ends before the value does, or is not there."""
        if value.piece is not None:
            source = self._source(value.piece.file.path)
            if value.piece.offset + value.length > source.size:
                raise IntegrityError(
                    f"{source.name} ends at byte {source.size:,}, but an array needs bytes up to "
                    f"{value.piece.offset + value.length:,}",
                    INCOMPLETE_HINT,
                )

    def _below(self, place: Extent, height: int, prefix: bytes) -> Iterator[tuple[bytes, Value]]:
        fields = self._node(place)
        if fields.byte() != height:
            raise damaged("a node of the checkpoint", "it is of another height")
        files = fields.data_files(place.file.base)
        count = fields.count()
        self._keys += count
        if not count or self._keys > MOST_KEYS:
            raise damaged("a node of the checkpoint", f"it has {count:,} keys")
        if height == 0:
            yield from _leaf(fields, files, count, prefix)
            return
        for child, below in _children(fields, files, count, prefix):
            yield from self._below(child, height - 1, below)

    def _node(self, place: Extent) -> BlockFields:
        self._nodes += 1
        self._bytes += place.length
        if self._nodes > _MOST_NODES or self._bytes > _MOST_BYTES:
            raise damaged(MANIFEST_NAME, "its tree is larger than any real one")
        return unpack(self._read(place), BTREE_NODE, f"a node in {place.file.path}")

    def _read(self, place: Extent) -> bytes:
        if place.length > LARGEST_BLOCK:
            raise damaged(place.file.path, f"a part of it has {format_bytes(place.length)}")
        return self._source(place.file.path).read(place.offset, place.length)

    def _whole(self, name: str) -> bytes:
        source = self._source(name)
        if source.size > LARGEST_BLOCK:
            raise damaged(name, f"it has {format_bytes(source.size)}")
        return source.read(0, source.size)

    def _source(self, name: str) -> OpenSource:
        """An open file of the database. Raises: IntegrityError where it is not there."""
        if name not in self._files:
            try:
                self._files[name] = self._open(self._folder / name)
            except NotFound as error:
                raise IntegrityError(
                    f"the checkpoint {one_line(self._folder.name, 80)} has no {name}, which its "
                    "index names",
                    INCOMPLETE_HINT,
                ) from error
        return self._files[name]


def _newest(fields: BlockFields) -> tuple[Extent | None, int]:
    """Where the root of the newest version lies, and its height; None for an empty database."""
    files = fields.data_files("")
    count = fields.count()
    if not count:
        raise damaged(MANIFEST_NAME, "it has no version")
    fields.varints(count)  # generations, the newest last
    heights = [fields.byte() for _ in range(count)]
    numbers, offsets, lengths = (fields.varints(count) for _ in range(3))
    if heights[-1] > _TALLEST:
        raise damaged(MANIFEST_NAME, f"its tree has a height of {heights[-1]}")
    if offsets[-1] == lengths[-1] == _NO_FILE:
        return None, 0
    return Extent(fields.file_of(files, numbers[-1]), offsets[-1], lengths[-1]), heights[-1]


def _leaf(
    fields: BlockFields, files: list[DataFile], count: int, prefix: bytes
) -> Iterator[tuple[bytes, Value]]:
    prefixes = [0, *fields.varints(count - 1)]
    keys = list(fields.prefixed(fields.varints(count), prefixes))
    lengths, kinds = fields.varints(count), fields.varints(count)
    outside = sum(map(bool, kinds))
    numbers, offsets = iter(fields.varints(outside)), iter(fields.varints(outside))
    for key, length, kind in zip(keys, lengths, kinds, strict=True):
        if kind:
            file = fields.file_of(files, next(numbers))
            value = Value(length, None, Extent(file, next(offsets), length))
        else:
            value = Value(length, fields.take(length), None)
        yield prefix + key, value


def _children(
    fields: BlockFields, files: list[DataFile], count: int, prefix: bytes
) -> Iterator[tuple[Extent, bytes]]:
    """The nodes below a node, each with what all of its keys begin with."""
    prefixes = [0, *fields.varints(count - 1)]
    suffixes, common = fields.varints(count), fields.varints(count)
    keys = list(fields.prefixed(suffixes, prefixes))
    numbers, offsets, lengths = (fields.varints(count) for _ in range(3))
    for number, key, shared in zip(range(count), keys, common, strict=True):
        file = fields.file_of(files, numbers[number])
        yield Extent(file, offsets[number], lengths[number]), prefix + key[:shared]
