"""How ggml packs the tensors of a step into one buffer, replayed without a buffer.

Follows ``ggml/src/ggml-alloc.c`` of ggml-org/llama.cpp@0c1e57098 step by step: inputs first, then
each result in the smallest free block that fits, in place of a source where that is allowed, and
sources freed after their last use (both in :mod:`~gemmahub.memory.step_graph`). The replay is exact
because the original is deterministic.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.step_graph import Schedule

ALIGNMENT: Final = 32
"""Of CPU buffers, bytes (``TENSOR_ALIGNMENT`` in ``ggml/src/ggml-backend.cpp``)."""

_ENDLESS: Final = 1 << 62


def buffer_bytes(schedule: Schedule, units: Sequence[int]) -> int:
    """Bytes of the buffer; ``units`` is the number of each :class:`~.step_graph.Unit`."""
    sizes = [
        -(-size * units[unit] // ALIGNMENT) * ALIGNMENT
        for size, unit in zip(schedule.sizes, schedule.units, strict=True)
    ]
    # Free blocks by offset: where each begins, and how many bytes it has. The last has no end.
    starts, lengths = [0], [_ENDLESS]
    offsets = [0] * len(sizes)
    peak = 0
    for event in schedule.events:
        if event < 0:
            _give(starts, lengths, offsets[~event], sizes[~event])
            continue
        size = sizes[event]
        offsets[event] = offset = _take(starts, lengths, size)
        peak = max(peak, offset + size)
    return peak


def _take(starts: list[int], lengths: list[int], size: int) -> int:
    """The offset of a block for ``size`` bytes: the smallest that fits, else the last."""
    best, best_length = len(starts) - 1, _ENDLESS
    for i in range(best):
        if size <= lengths[i] <= best_length:
            best, best_length = i, lengths[i]
    offset = starts[best]
    if lengths[best] == size:
        del starts[best], lengths[best]
    else:
        starts[best] += size
        lengths[best] -= size
    return offset


def _give(starts: list[int], lengths: list[int], offset: int, size: int) -> None:
    """Free a block, merged with the free ones before and behind it."""
    i = bisect_left(starts, offset)
    if i < len(starts) and offset + size == starts[i]:
        starts[i], size = offset, size + lengths[i]
        lengths[i] = size
    else:
        starts.insert(i, offset)
        lengths.insert(i, size)
    if i and starts[i - 1] + lengths[i - 1] == offset:
        lengths[i - 1] += lengths[i]
        del starts[i], lengths[i]
