"""How ggml packs the tensors of a step into one buffer, replayed without a buffer.

Follows ``ggml/src/ggml-alloc.c`` of ggml-org/llama.cpp@0c1e57098 step by step: inputs first, then
each result in the smallest free block that fits, in place of a source where that is allowed, and
sources freed after their last use (both in :mod:`~gemmahub.memory.step_graph`). The replay is exact
because the original is deterministic.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.step_graph import Schedule, StepSegment

ALIGNMENT: Final = 32
"""Of CPU buffers, bytes (``TENSOR_ALIGNMENT`` in ``ggml/src/ggml-backend.cpp``)."""

_ENDLESS: Final = 1 << 62


class _State(NamedTuple):
    """Where memory is free between two segments, and where the slots lie that are still taken.

    Free blocks stand by offset: where each begins, and how many bytes it has; the last has no end.
    ``peak`` is the end of the highest block that the segment before took.
    """

    starts: list[int]
    lengths: list[int]
    offsets: tuple[int, ...]
    peak: int


def buffer_bytes(schedule: Schedule, units: Sequence[int]) -> int:
    """Bytes of the buffer; ``units`` is the number of each :class:`~.step_graph.Unit`.

    A segment that begins where it has begun before ends as it did: free blocks are whatever the
    taken slots leave, so offsets of slots are all there is to compare. With layers that repeat that
    happens soon, and few segments are really replayed.
    """
    sizes = [_slot_bytes(segment, units) for segment in schedule.segments]
    known: dict[tuple[int, tuple[int, ...]], _State] = {}
    state = _State([0], [_ENDLESS], (), 0)
    for number in schedule.order:
        begin = number, state.offsets
        after = known.get(begin)
        if after is None:
            after = _replay(schedule.segments[number], sizes[number], state)
            known[begin] = after
        state = after
    return max(state.peak for state in known.values())


def _slot_bytes(segment: StepSegment, units: Sequence[int]) -> list[int]:
    return [
        -(-size * units[unit] // ALIGNMENT) * ALIGNMENT
        for size, unit in zip(segment.sizes, segment.units, strict=True)
    ]


def _replay(segment: StepSegment, sizes: Sequence[int], state: _State) -> _State:
    starts, lengths = state.starts.copy(), state.lengths.copy()
    offsets = [*state.offsets, *(0 for _ in range(len(sizes) - segment.held))]
    peak = 0
    for event in segment.events:
        if event < 0:
            _give(starts, lengths, offsets[~event], sizes[~event])
            continue
        size = sizes[event]
        offsets[event] = offset = _take(starts, lengths, size)
        if offset + size > peak:
            peak = offset + size
    return _State(starts, lengths, tuple([offsets[slot] for slot in segment.left]), peak)


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
