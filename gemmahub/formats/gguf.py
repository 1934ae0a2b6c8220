"""Reading GGUF: metadata and tensor table, never the weights.

Source: ggml-org/ggml ``docs/gguf.md``. Versions 2 and 3 have the same layout, in either byte order.
The vocabulary of a Gemma (262,144 strings) is walked over and left in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, NotFound
from gemmahub.formats.cursor import Cursor
from gemmahub.formats.gguf_tensors import check_count, check_layout, read_tensor_table
from gemmahub.formats.gguf_values import ArrayRef, TextRef, Value, ValueReader, shown_key
from gemmahub.formats.sniff import GGUF_MAGIC, not_a_model
from gemmahub.formats.source import LARGEST_PREFIX
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.formats.source import ByteSource
    from gemmahub.formats.tensor import Tensor

__all__ = ["ArrayRef", "GgufFile", "TextRef", "Value", "read_gguf"]

# The largest headers carry a whole tokenizer.json (about 35 MB) beside the vocabulary (16 MB).
MAX_HEADER_BYTES: Final = LARGEST_PREFIX
_MAX_KEYS: Final = 1 << 16
_LEAST_ENTRY: Final = 13  # bytes: key length, value type, one byte of value
_USUAL_TENSOR: Final = 72  # bytes of a tensor's entry; names are shorter than 40 characters
_DEFAULT_ALIGNMENT: Final = 32
_LARGEST_ALIGNMENT: Final = 1024 * 1024  # above the largest pages that weights are mapped by


@dataclass(frozen=True, slots=True)
class GgufFile:
    """The header of one GGUF file.

    ``metadata`` holds numbers, bools, short strings, and short arrays of numbers as tuples; arrays
    of more than 1,024 items and all arrays of strings are an :class:`ArrayRef`, see
    :meth:`read_array`, strings of more than 64 KiB a :class:`TextRef`. ``offsets`` are
    those of ``tensors``, in bytes from ``data_offset``. ``header_bytes`` is where the header ends,
    before the padding; all sizes are in bytes.
    """

    name: str
    version: int
    big_endian: bool
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    offsets: tuple[int, ...]
    alignment: int
    data_offset: int
    header_bytes: int
    size_bytes: int

    def read_array(self, source: ByteSource, key: str) -> tuple[Any, ...]:
        """All items of the array ``key``; arrays within arrays are tuples.

        ``source`` is what the file was read from. Raises :class:`NotFound` where there is no such
        array, :class:`IntegrityError` where ``source`` does not hold it.
        """
        value = self.metadata.get(key)
        if isinstance(value, tuple):
            return value
        if not isinstance(value, ArrayRef):
            raise NotFound(
                f"{one_line(self.name)} has no array {shown_key(key)} in its metadata",
                "See its metadata with `gemmahub inspect`.",
            )
        cursor = Cursor(source, value.offset, self.header_bytes)
        reader = ValueReader(cursor, big_endian=self.big_endian)
        return reader.items(value, f"the value of {shown_key(key)}")

    def read_text(self, source: ByteSource, key: str) -> str:
        """The string ``key``, however long; raises as :meth:`read_array` does."""
        value = self.metadata.get(key)
        if isinstance(value, str):
            return value
        if not isinstance(value, TextRef):
            raise NotFound(
                f"{one_line(self.name)} has no string {shown_key(key)} in its metadata",
                "See its metadata with `gemmahub inspect`.",
            )
        return source.read(value.offset, value.length).decode(errors="replace")


def read_gguf(source: ByteSource) -> GgufFile:
    """The header of a GGUF file.

    Raises :class:`FormatError` for something that is not GGUF or of a version that cannot be read,
    and :class:`IntegrityError` for a file that is damaged or ends too early.
    """
    cursor = Cursor(source, limit=MAX_HEADER_BYTES)
    version, big_endian = _read_version(source, cursor)
    reader = ValueReader(cursor, big_endian=big_endian)
    tensor_count = reader.u64("the number of tensors")
    key_count = reader.u64("the number of metadata keys")
    check_count(reader, tensor_count)
    reader.rest = tensor_count * _USUAL_TENSOR
    metadata = _read_metadata(reader, key_count)
    alignment = _alignment(reader, metadata)
    cursor.expect(tensor_count * _USUAL_TENSOR)
    tensors, offsets = read_tensor_table(reader, tensor_count, big_endian=big_endian)
    header_bytes = cursor.offset
    data_offset = -(-header_bytes // alignment) * alignment
    check_layout(reader, tensors, offsets, alignment, source.size - data_offset)
    return GgufFile(
        name=source.name,
        version=version,
        big_endian=big_endian,
        metadata=metadata,
        tensors=tensors,
        offsets=offsets,
        alignment=alignment,
        data_offset=data_offset,
        header_bytes=header_bytes,
        size_bytes=source.size,
    )


def _read_version(source: ByteSource, cursor: Cursor) -> tuple[int, bool]:
    """Version and whether numbers are big-endian."""
    # The cursor's own first window, so that this costs no request of its own over a network.
    cursor.need(min(len(GGUF_MAGIC), source.size), "the magic")
    begin = cursor.data[: len(GGUF_MAGIC)]
    if not begin or not GGUF_MAGIC.startswith(begin):
        raise not_a_model(source, "a GGUF file")
    cursor.take(len(GGUF_MAGIC), "the magic")
    raw = cursor.take(4, "the version")
    version = int.from_bytes(raw, "little")
    # A version is small: nothing but zeros in its low half says that its bytes are the other way.
    big_endian = version & 0xFFFF == 0 and version != 0
    if big_endian:
        version = int.from_bytes(raw, "big")
    if version == 1:
        raise FormatError(
            f"{cursor.name} is GGUF version 1, which no current engine reads",
            "Fetch a newer GGUF of the model; those made after August 2023 are version 2 or 3.",
        )
    if version not in (2, 3):
        raise FormatError(
            f"{cursor.name} is GGUF version {version:,}, and gemmahub reads versions 2 and 3",
            "If the file is newer than gemmahub, update gemmahub; otherwise fetch the file again.",
        )
    return version, big_endian


def _read_metadata(reader: ValueReader, count: int) -> dict[str, Value]:
    cursor = reader.cursor
    if count * _LEAST_ENTRY > cursor.left:
        raise cursor.ends_in(f"a table of {count:,} metadata keys", count * _LEAST_ENTRY)
    if count > _MAX_KEYS:
        raise reader.damaged(f"it states {count:,} metadata keys")
    metadata: dict[str, Value] = {}
    for _ in range(count):
        key = reader.key()
        if key in metadata:
            raise reader.damaged(f"the metadata key {shown_key(key)} occurs twice")
        metadata[key] = reader.value(key)
    return metadata


def _alignment(reader: ValueReader, metadata: Mapping[str, Value]) -> int:
    value = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    if type(value) is int and 1 <= value <= _LARGEST_ALIGNMENT and not value & (value - 1):
        return value
    shown = one_line(str(value)[:40], 40)
    raise reader.damaged(
        f"general.alignment is {shown}, not a power of two up to {_LARGEST_ALIGNMENT:,}"
    )
