"""What the catalogue's tensors take in a GGUF file, to compare with what was published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.catalog.records import StoredTypes
from gemmahub.catalog.tensors import variant_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.catalog.records import Architecture
    from gemmahub.formats.tensor import Tensor

ALIGNMENT = 32


def tensor_shapes(
    architecture: Architecture, *, unused_kv: bool = False, vocabulary: int | None = None
) -> list[tuple[str, tuple[int, ...]]]:
    """Name and shape of every tensor."""
    types = StoredTypes(default="F32", unused_kv=unused_kv, vocabulary=vocabulary)
    return [(tensor.name, tensor.shape) for tensor in variant_tensors(architecture, types)]


def data_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes that the tensors take in a GGUF file, each padded to the alignment."""
    return sum(-(-(tensor.bytes or 0) // ALIGNMENT) * ALIGNMENT for tensor in tensors)


def table_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the GGUF tensor table: name with its length, dimensions, type and offset."""
    return sum(8 + len(t.name.encode()) + 4 + 8 * len(t.shape) + 4 + 8 for t in tensors)
