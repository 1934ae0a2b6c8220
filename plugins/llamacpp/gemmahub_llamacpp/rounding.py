"""Weights that were trained for Q4_0, put onto the lattice that they were trained on.

A checkpoint of quantization-aware training has weights that are near-integer multiples of one scale
for each block of 32 (-8 to 7 times it), stored with 16 bits. llama.cpp's quantizer takes the
largest weight of a block for -8 times the scale; where it was another multiple, all weights of the
block move. Here the multiple is sought for which the change is least, and a scale fitted to it. A
block is only replaced where that is nearer to the weights than what llama.cpp wrote.

Layout of Q4_0 (``ggml/src/ggml-common.h``): scale as float16, then 16 bytes; the low halves are
weights 0 to 15, the high ones 16 to 31, each 8 more than its multiple.
"""

from __future__ import annotations

import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Rounding
from gemmahub.errors import LoadFailed
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.precision.roles import EMBEDDING, OUTPUT, PER_LAYER_EMBEDDING, tensor_role

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from gemmahub.formats.reader import ModelFile
    from gemmahub.formats.tensor import Tensor

    Floats = NDArray[np.float32]

TYPE: Final = "Q4_0"
_BLOCK: Final = 32
_BYTES: Final = 18
_BLOCKS: Final = 1 << 14  # at once: what the caches hold
_SOURCES: Final = ("F32", "F16", "BF16")
_NOT_TRAINED: Final = (EMBEDDING, PER_LAYER_EMBEDDING, OUTPUT)
_OF_BF16: Final = 2.0**-8
"""The largest change of a bfloat16 by rounding, as a share of it."""


@dataclass(slots=True)
class _Sums:
    weights: int = 0
    squares: float = 0.0
    naive: float = 0.0
    lattice: float = 0.0
    on_lattice: int = 0

    def add(self, other: _Sums) -> None:
        self.weights += other.weights
        self.squares += other.squares
        self.naive += other.naive
        self.lattice += other.lattice
        self.on_lattice += other.on_lattice


def onto_lattice(source: ModelFile, target: Path) -> Rounding | None:
    """Replace blocks of the Q4_0 tensors in ``target`` that have 16 or 32 bits in ``source``.

    None where there are none. Raises: LoadFailed.
    """
    from gemmahub.hardware.cpu import compute_threads

    places = _places(source.files)
    sums, tensors = _Sums(), 0
    try:
        with target.open("r+b") as file, mmap.mmap(file.fileno(), 0) as written:
            with LocalFile(target) as bytes_of_target:
                made = read_gguf(bytes_of_target)
            with ThreadPoolExecutor(compute_threads()) as pool:
                for tensor, offset in zip(made.tensors, made.offsets, strict=True):
                    place = places.get(tensor.name)
                    if (
                        tensor.type != TYPE
                        or place is None
                        or tensor_role(tensor.name) in (_NOT_TRAINED)
                    ):
                        continue
                    tensors += 1
                    for found in pool.map(
                        lambda piece: _piece(*piece),
                        _pieces(place, tensor, memoryview(written), made.data_offset + offset),
                    ):
                        sums.add(found)
            written.flush()
    except OSError as error:
        raise LoadFailed(f"{target.name} cannot be written: {error.strerror or error}") from None
    if not tensors or not sums.squares:
        return None
    return Rounding(
        TYPE,
        tensors,
        sums.weights,
        sqrt(sums.naive / sums.squares),
        sqrt(sums.lattice / sums.squares),
        sums.on_lattice * _BLOCK / sums.weights,
    )


Place = tuple["Path", int, str]
"""File, offset in bytes, and type of a tensor's weights."""


def _places(files: tuple[Path, ...]) -> dict[str, Place]:
    found = {}
    for path in files:
        with LocalFile(path) as source:
            header = read_gguf(source)
        for tensor, offset in zip(header.tensors, header.offsets, strict=True):
            if tensor.type in _SOURCES:
                found[tensor.name] = (path, header.data_offset + offset, tensor.type)
    return found


def _pieces(place: Place, tensor: Tensor, written: memoryview, offset: int) -> Any:
    path, begin, kind = place
    blocks = tensor.parameters // _BLOCK
    for first in range(0, blocks, _BLOCKS):
        count = min(_BLOCKS, blocks - first)
        view = written[offset + first * _BYTES : offset + (first + count) * _BYTES]
        yield path, begin, kind, first * _BLOCK, count, view


def _piece(
    path: Path, begin: int, kind: str, first: int, blocks: int, written: memoryview
) -> _Sums:
    """Some blocks of a tensor: read, compared, replaced where the lattice is nearer."""
    import numpy as np

    weights = _weights(path, begin, kind, first, blocks)
    stored: Any = np.frombuffer(written, np.uint8).reshape(blocks, _BYTES)
    naive = _error(weights, *_unpacked(stored))
    scales, multiples = lattice_of(weights)
    error = _error(weights, scales, multiples)
    better = error < naive
    stored[better] = packed(scales[better], multiples[better])
    largest = np.abs(weights).max(axis=1)
    return _Sums(
        weights.size,
        float(np.square(weights, dtype=np.float64).sum()),
        float(naive.sum(dtype=np.float64)),
        float(np.minimum(naive, error).sum(dtype=np.float64)),
        int((_farthest(weights, scales, multiples) <= largest * _OF_BF16).sum()),
    )


def _weights(path: Path, begin: int, kind: str, first: int, blocks: int) -> Floats:
    import numpy as np

    width = 4 if kind == "F32" else 2
    with path.open("rb") as file:
        file.seek(begin + first * width)
        raw = file.read(blocks * _BLOCK * width)
    if kind == "BF16":
        wide = np.frombuffer(raw, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(blocks, _BLOCK)
    stored = np.frombuffer(raw, "<f4" if kind == "F32" else "<f2")
    return stored.astype(np.float32).reshape(blocks, _BLOCK)


def lattice_of(weights: Floats) -> tuple[Floats, Floats]:
    """For each row of 32 weights the scale, as float16 holds it, and the multiples of -8 to 7."""
    import numpy as np

    rows = left = np.arange(len(weights))
    largest = weights[rows, np.abs(weights).argmax(axis=1)]
    best = np.full(len(weights), np.inf, np.float32)
    scales = np.zeros(len(weights), np.float32)
    multiples = np.zeros_like(weights)
    for multiple in range(8, 0, -1):
        some = weights[left]
        found = _fitted(some, largest[left] / np.float32(-multiple))
        error = _error(some, *found)
        better = error < best[left]
        places = left[better]
        best[places], scales[places] = error[better], found[0][better]
        multiples[places] = found[1][better]
        # Those on their lattice are done: no other scale can be nearer but by what 16 bits round.
        left = left[_farthest(some, *found) > np.abs(largest[left]) * _OF_BF16]
        if not left.size:
            break
    return scales, multiples


def _fitted(weights: Floats, scales: Floats) -> tuple[Floats, Floats]:
    """The multiples for scales, and the scales that suit these best (least squares)."""
    import numpy as np

    multiples = _multiples(weights, scales)
    squares = np.square(multiples).sum(axis=1)
    fitted = (weights * multiples).sum(axis=1) / np.maximum(squares, 1)
    rounded = fitted.astype(np.float16).astype(np.float32)
    return rounded, _multiples(weights, rounded)


def _multiples(weights: Floats, scales: Floats) -> Floats:
    import numpy as np

    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=np.abs(scales) > 0)
    return np.clip(np.rint(weights * inverse[:, None]), -8, 7)


def _error(weights: Floats, scales: Floats, multiples: Floats) -> Floats:
    """Sum of squares of what is lost, of each row."""
    import numpy as np

    found: Floats = np.square(weights - scales[:, None] * multiples).sum(axis=1)
    return found


def _farthest(weights: Floats, scales: Floats, multiples: Floats) -> Floats:
    import numpy as np

    found: Floats = np.abs(weights - scales[:, None] * multiples).max(axis=1)
    return found


def _unpacked(blocks: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    import numpy as np

    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)[:, 0]
    halves = blocks[:, 2:]
    both = np.concatenate((halves & 15, halves >> 4), axis=1)
    return scales, both.astype(np.float32) - 8


def packed(scales: Floats, multiples: Floats) -> NDArray[np.uint8]:
    """Blocks of Q4_0: 18 bytes a row."""
    import numpy as np

    values = (multiples + 8).astype(np.uint8)
    head = scales.astype("<f2").reshape(-1, 1).view(np.uint8)
    return np.concatenate((head, values[:, :16] | (values[:, 16:] << 4)), axis=1)
