"""The weights and the caches of a TFLite model, from its tables; no weights are read.

Source: google-ai-edge/LiteRT tflite/converter/schema/schema.fbs, in the form that the wheel
ai-edge-litert 2.3.0 has (``schema_py_generated.py``). Signatures such as prefill and decode share
buffers: each counts once. Constants of whole numbers that no quantization makes (shapes, places)
are no weights. Scales are in a tensor's record, or for blocks in a tensor of their own; they count
to the bytes of the weights that they scale, and are no weights themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from gemmahub.formats.reader import MOST_TENSORS
from gemmahub.text import format_bytes
from gemmahub_litertlm.flatbuffer import I8, I32, U8, U32, U64, FlatTable, root_of

if TYPE_CHECKING:
    from gemmahub_litertlm.flatbuffer import FlatView

_TYPES: Final = {
    0: ("F32", 32), 1: ("F16", 16), 3: ("U8", 8), 9: ("INT8", 8), 10: ("F64", 64), 17: ("INT4", 4),
    18: ("BF16", 16), 19: ("INT2", 2), 20: ("U4", 4), 21: ("F8_E4M3", 8), 22: ("F8_E5M2", 8),
}  # fmt: skip
"""``enum TensorType``: those that weights have, with their bits."""
_BYTES: Final = {0: 4, 1: 2, 2: 4, 4: 8, 7: 2, 9: 1, 18: 2}
"""Bytes of a number of those that caches have."""
_BLOCKWISE: Final = 2  # union QuantizationDetails
_MOST_SUBGRAPHS: Final = 1024
_MOST_DIMENSIONS: Final = 16
_MOST_SCALES: Final = 1 << 26
_PADDING: Final = 64  # bytes that may follow a tensor's own in its buffer


@dataclass(frozen=True, slots=True)
class TfliteWeight:
    """A constant tensor: ``kind`` is its type, ``INT4 g32`` for blocks of 32 with scales.

    ``bytes`` are those of the weights and their scales.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    bytes: int


@dataclass(frozen=True, slots=True)
class CacheTensor:
    """An input of the signature ``decode`` that holds keys or values of one layer."""

    name: str
    shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class TfliteModel:
    """What the file says: weights, caches, signatures by name."""

    weights: tuple[TfliteWeight, ...]
    caches: tuple[CacheTensor, ...]
    signatures: tuple[str, ...]


def read_tflite(view: FlatView, external: int = 0) -> TfliteModel:
    """The model in ``view``; ``external`` is the size of the section with weights outside of it.

    Raises: IntegrityError.
    """
    root = root_of(view, b"TFL3")
    reader = _Reader(view, root, external)
    weights = reader.weights()
    return TfliteModel(tuple(weights), tuple(reader.caches()), tuple(reader.signatures))


class _Reader:
    def __init__(self, view: FlatView, root: FlatTable, external: int) -> None:
        self._view, self._external_size = view, external
        self._buffers = root.places(4, MOST_TENSORS)
        self._graphs = [graph.places(0, MOST_TENSORS) for graph in root.tables(2, _MOST_SUBGRAPHS)]
        if sum(map(len, self._graphs)) > 8 * MOST_TENSORS:
            raise view.damaged("it has more tensors than any model")
        self._signature_tables = list(root.tables(7, _MOST_SUBGRAPHS))
        self.signatures = [table.text(2)[:100] for table in self._signature_tables]
        self._outside = {
            table.number(0, U32): (table.number(2, U64), table.number(3, U64))
            for table in root.tables(9, MOST_TENSORS)
        }
        self._seen: set[tuple[str, int]] = set()

    def weights(self) -> list[TfliteWeight]:
        found: list[TfliteWeight] = []
        for places in self._graphs:
            scales: set[int] = set()
            mine: list[tuple[int, TfliteWeight]] = []
            for index, at in enumerate(places):
                if (weight := self._weight(FlatTable(self._view, at), places, scales)) is not None:
                    mine.append((index, weight))
            found += [weight for index, weight in mine if index not in scales]
            if len(found) > MOST_TENSORS:
                raise self._view.damaged("it has more tensors than any model")
        return found

    def caches(self) -> list[CacheTensor]:
        """Of the signature ``decode``; none where there is none."""
        named = dict(zip(self.signatures, self._signature_tables, strict=True))
        if (table := named.get("decode")) is None:
            return []
        graph = table.number(4, U32)
        if graph >= len(self._graphs):
            raise self._view.damaged("a signature names a subgraph that is missing")
        found = []
        for entry in table.tables(0, MOST_TENSORS):
            name, index = entry.text(0), entry.number(1, U32)
            if not name.startswith("kv_cache_"):
                continue
            if index >= len(self._graphs[graph]):
                raise self._view.damaged("a signature names a tensor that is missing")
            tensor = FlatTable(self._view, self._graphs[graph][index])
            shape = self._shape(tensor)
            size = _BYTES.get(tensor.number(1, I8), 4)
            found.append(CacheTensor(name[:100], shape, size * prod(shape)))
        return found

    def _weight(
        self, tensor: FlatTable, places: list[int], scales: set[int]
    ) -> TfliteWeight | None:
        """A tensor that is a weight and was not seen; what scales it is added to ``scales``."""
        outside, inside = tensor.number(10, U32), tensor.number(2, U32)
        if not outside and not inside:
            return None
        number = tensor.number(1, I8)
        key = ("outside", outside) if outside else ("inside", inside)
        quantization = tensor.table(4)
        blockwise = (
            quantization.table(5)
            if quantization is not None and quantization.number(4, U8) == _BLOCKWISE
            else None
        )
        if blockwise is not None:
            scales.update((blockwise.number(0, I32), blockwise.number(1, I32, -1)))
        if number not in _TYPES or key in self._seen:
            return None
        size = self._bytes(outside, inside)
        if not size:
            return None  # a variable, which is computed
        self._seen.add(key)
        kind, bits = _TYPES[number]
        shape = self._shape(tensor)
        count = prod(shape)
        needed = -(-count * bits // 8)
        name = tensor.text(3)
        if not needed <= size <= needed + _PADDING:
            raise self._view.damaged(
                f"the tensor {name[:60]!r} is {' x '.join(map(str, shape))} of {kind}, which "
                f"is not {format_bytes(size)}"
            )
        more = 0
        if blockwise is not None:
            kind = f"{kind} g{blockwise.number(2, I32)}"
            more = self._scale_bytes(blockwise, places)
        elif quantization is not None:
            # Of a fully quantized model each activation has scales, too; here it is a constant.
            more = 4 * quantization.length(2) + 8 * quantization.length(3)
            if more > max(size, 64) * 16:
                raise self._view.damaged(f"the tensor {name[:60]!r} has more scales than weights")
        return TfliteWeight(name, kind, shape, count, size + more)

    def _scale_bytes(self, blockwise: FlatTable, places: list[int]) -> int:
        found = 0
        for field in (0, 1):
            index = blockwise.number(field, I32, -1)
            if 0 <= index < len(places):
                tensor = FlatTable(self._view, places[index])
                found += self._bytes(tensor.number(10, U32), tensor.number(2, U32))
        return found

    def _bytes(self, outside: int, inside: int) -> int:
        """Bytes of a buffer, wherever it lies. Raises: IntegrityError."""
        if outside:
            if outside not in self._outside:
                raise self._view.damaged(f"there is no external buffer {outside}")
            offset, length = self._outside[outside]
            if offset + length > self._external_size:
                raise self._view.damaged(f"the external buffer {outside} ends outside")
            return length
        if inside >= len(self._buffers):
            raise self._view.damaged(f"there is no buffer {inside}")
        buffer = FlatTable(self._view, self._buffers[inside])
        _, length = buffer.vector_place(0)
        offset, size = buffer.number(1, U64), buffer.number(2, U64)
        if not length and offset > 1:  # behind the FlatBuffer: models of more than 2 GB
            if offset + size > self._view.size:
                raise self._view.damaged(f"the buffer {inside} ends outside")
            return size
        return length

    def _shape(self, tensor: FlatTable) -> tuple[int, ...]:
        shape = tensor.numbers(0, "i", _MOST_DIMENSIONS)
        if any(length < 0 for length in shape) or prod(shape) >> 48:
            raise self._view.damaged("a tensor has an impossible shape")
        return shape
