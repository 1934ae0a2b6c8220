"""The tensor table of GGUF, and whether what it promises can be in the file.

Source: ggml-org/ggml ``docs/gguf.md`` (``gguf_tensor_info_t``) and the checks of llama.cpp's
``ggml/src/gguf.cpp``. Unlike llama.cpp, which wants tensors back to back, gaps are allowed.
"""

from __future__ import annotations

from math import prod
from struct import Struct
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.formats.ggml_types import ggml_type
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.formats.tensor import Tensor
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from gemmahub.formats.gguf_values import ValueReader
    from gemmahub.formats.tensor import StorageType

_MAX_DIMS: Final = 4
_MAX_ELEMENTS: Final = 1 << 63
_ENTRY: Final = "a tensor's entry"
_DIMS_BYTES: Final = 4
_LEAST_ENTRY: Final = 24  # bytes: name length, number of dimensions, type, offset
MAX_TENSORS: Final = 1 << 15
"""Of one model. The most that a published GGUF has are some thousands."""


def check_count(reader: ValueReader, count: int) -> None:
    """Raises :class:`IntegrityError` for more tensors than the bytes left can describe."""
    cursor = reader.cursor
    if count * _LEAST_ENTRY > cursor.left:
        raise cursor.ends_in(f"a table of {count:,} tensors", count * _LEAST_ENTRY)
    if count > MAX_TENSORS:
        raise reader.damaged(f"it states {count:,} tensors, more than {MAX_TENSORS:,}")


def read_tensor_table(
    reader: ValueReader, count: int, *, big_endian: bool
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Tensors and their offsets in bytes from the beginning of the tensor data.

    Raises :class:`IntegrityError` for an entry that cannot be.
    """
    check_count(reader, count)
    cursor = reader.cursor
    order = ">" if big_endian else "<"
    dimensions = Struct(f"{order}I")
    # All that follows the number of dimensions: the dimensions, the type and the offset.
    layouts = [Struct(f"{order}{dims}QIQ") for dims in range(_MAX_DIMS + 1)]
    tensors: dict[str, Tensor] = {}
    offsets = []
    for _ in range(count):
        name = reader.text("a tensor's name")
        if name in tensors:
            raise reader.damaged(f"two tensors are called {_shown(name)}")
        # Names are cleaned for a message only when there is one: cleaning takes its time.
        cursor.need(_DIMS_BYTES, _ENTRY)
        (dims,) = dimensions.unpack_from(cursor.data, cursor.index)
        cursor.index += _DIMS_BYTES
        if dims > _MAX_DIMS:
            raise reader.damaged(
                f"tensor {_shown(name)} has {dims:,} dimensions, more than {_MAX_DIMS}"
            )
        layout = layouts[dims]
        cursor.need(layout.size, _ENTRY)
        *shape, number, offset = layout.unpack_from(cursor.data, cursor.index)
        cursor.index += layout.size
        tensors[name] = _tensor(reader, name, tuple(shape), ggml_type(number))
        offsets.append(offset)
    return tuple(tensors.values()), tuple(offsets)


def _tensor(reader: ValueReader, name: str, shape: tuple[int, ...], storage: StorageType) -> Tensor:
    parameters = prod(shape)
    if parameters == 0:
        raise reader.damaged(f"tensor {_shown(name)} has a dimension of zero: {shape}")
    if parameters >= _MAX_ELEMENTS:
        raise reader.damaged(f"tensor {_shown(name)} has an implausible size: {shape}")
    row = shape[0] if shape else 1
    if storage.block_size and row % storage.block_size:
        raise reader.damaged(
            f"tensor {_shown(name)} has rows of {row:,} weights, "
            f"and {storage.name} stores them in blocks of {storage.block_size}"
        )
    return Tensor(name, storage.name, shape, parameters, storage.bytes_for(shape))


def check_layout(
    reader: ValueReader,
    tensors: tuple[Tensor, ...],
    offsets: tuple[int, ...],
    alignment: int,
    available: int,
) -> None:
    """Whether all tensors are aligned, apart from each other and within ``available`` bytes.

    ``available`` is the size of the tensor data in the file, in bytes; it may be negative. Raises
    :class:`IntegrityError`; for data that is missing it says how many bytes.
    """
    end = 0
    before: Tensor | None = None
    for offset, tensor in sorted(zip(offsets, tensors, strict=True), key=lambda pair: pair[0]):
        if offset % alignment:
            raise reader.damaged(
                f"tensor {_shown(tensor.name)} begins at byte {offset:,}, "
                f"not at a multiple of {alignment}"
            )
        if before is not None and offset < end:
            raise reader.damaged(f"tensors {_shown(before.name)} and {_shown(tensor.name)} overlap")
        # A tensor of unknown size takes one byte at least.
        end = offset + (1 if tensor.bytes is None else tensor.bytes)
        before = tensor
    missing = end - max(available, 0)
    if missing > 0:
        raise IntegrityError(
            f"{reader.cursor.name} is incomplete: {format_bytes(missing)} of its tensors are "
            "missing",
            INCOMPLETE_HINT,
        )


def _shown(name: str) -> str:
    return one_line(name, 80)
