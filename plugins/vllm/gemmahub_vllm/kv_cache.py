"""vLLM's paged cache for layers that differ, by vLLM's own rule. Pure arithmetic; vLLM 0.33.0.

Sources, of vllm-project/vllm@v0.33.0:

- ``v1/kv_cache_interface.py``: a page is ``heads × block × (key + value) × item``; a full layer
  holds a page for each ``block`` tokens of a sequence, a window at most
  ``cdiv(min(window - 1 + tokens in flight, length), block) + 1`` of them.
- ``v1/core/kv_cache_planning.py``: ``unify_kv_cache_spec_page_size`` makes pages equal, by longer
  blocks where the sizes divide each other and by padding where not;
  ``_get_kv_cache_groups_uniform_page_size`` puts layers of one kind into groups of one size (that
  of the rarer kind, or of the larger where that is less than 1.5 times as many); a block of the
  pool has a page for each layer of the largest group, and a sequence takes the blocks of all groups
  (``_max_memory_usage_bytes_from_groups``). One block is never given out.
- ``config/vllm.py``: tokens in flight are steps at once × ``max_num_batched_tokens``; steps at once
  are 2 on one stage, one more than the stages of a pipeline on several.
- ``distributed/utils.py``: ``get_pp_indices``, which layers a stage of a pipeline has.

Not modelled: backends that choose another block than 16 tokens (FlashAttention 4 on Blackwell and
with an fp8 cache on Hopper: 64 or 128), block-outermost layouts, and speculative decoding.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory import LayerShape, MemoryArchitecture

BLOCK: Final = 16
"""Tokens of a block: ``CacheConfig.DEFAULT_BLOCK_SIZE`` (``config/cache.py``)."""
_ALIKE: Final = 1.5


@dataclass(frozen=True, slots=True)
class PageKind:
    """What layers of one group have in common: ``block`` in tokens, ``page`` in bytes; ``window``
    is 0 for layers that see the whole sequence."""

    block: int
    page: int
    window: int = 0

    def blocks(self, length: int, in_flight: int) -> int:
        """The most blocks that a sequence of ``length`` tokens holds in one group."""
        if not self.window:
            return -(-length // self.block)
        return -(-min(self.window - 1 + in_flight, length) // self.block) + 1


@dataclass(frozen=True)
class PagedCache:
    """The groups of one model on ``tp`` GPUs side by side: each a kind, and the numbers of the
    layers in it. ``in_flight`` are tokens that are computed and not yet accounted for."""

    groups: tuple[tuple[PageKind, tuple[int, ...]], ...]
    in_flight: int

    @cached_property
    def page(self) -> int:
        """Bytes of a page, which is the same in all groups."""
        return max((kind.page for kind, _ in self.groups), default=0)

    def bytes_per_block(self, layers: range | None = None) -> int:
        """Bytes that one block takes on a GPU that has these layers, all where none are named."""
        counts = [
            sum(1 for number in numbers if layers is None or number in layers)
            for _, numbers in self.groups
        ]
        return self.page * max(counts, default=0)

    def blocks(self, length: int) -> int:
        """Blocks of the pool that a sequence of ``length`` tokens takes at most."""
        return sum(kind.blocks(length, self.in_flight) for kind, _ in self.groups)

    def concurrency(self, pool_blocks: int, length: int) -> float:
        """How many sequences of that length fit at once, as vLLM's log says it."""
        needed = self.blocks(length)
        return pool_blocks / needed if needed else 0.0

    def longest(self, pool_blocks: int, most: int) -> int:
        """The longest sequence that fits, at most ``most`` tokens; one block is never given out."""
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if self.blocks(middle) <= pool_blocks - 1 else (low, middle - 1)
            )
        return low


def paged_cache(
    architecture: MemoryArchitecture,
    *,
    tp: int = 1,
    item_bytes: int = 2,
    in_flight: int = 2 * 2048,
    block: int = BLOCK,
) -> PagedCache:
    """The groups of a model. Layers that reuse the cache of another one have none.

    ``item_bytes`` is 2 for a cache of 16 bits and 1 for fp8.
    """
    window = architecture.sliding_window
    kinds = {
        number: PageKind(
            block,
            _heads(layer, tp) * block * (layer.key_length + layer.value_length) * item_bytes,
            window if layer.attention == "window" else 0,
        )
        for number, layer in enumerate(architecture.layers)
        if layer.owns_cache
    }
    if len(set(kinds.values())) > 1:
        kinds = _of_equal_pages(kinds)
    return PagedCache(tuple(_groups(kinds)), in_flight)


def _heads(layer: LayerShape, tp: int) -> int:
    """Key and value heads on each GPU: divided, and copied where there are more GPUs."""
    return max(1, layer.kv_heads // tp)


def _of_equal_pages(kinds: dict[int, PageKind]) -> dict[int, PageKind]:
    largest = max(kind.page for kind in kinds.values())
    found = {}
    for number, kind in kinds.items():
        ratio, rest = divmod(largest, kind.page)
        found[number] = PageKind(kind.block if rest else kind.block * ratio, largest, kind.window)
    return found


def _groups(kinds: dict[int, PageKind]) -> list[tuple[PageKind, tuple[int, ...]]]:
    counts = Counter(kinds.values())
    if not counts:
        return []
    least, most = min(counts.values()), max(counts.values())
    size = most if most < least * _ALIKE else least
    found = []
    for kind in counts:  # in the order of their first layers
        layers = [number for number, each in kinds.items() if each == kind]
        groups = -(-len(layers) // size)
        found += [(kind, tuple(layers[first::groups])) for first in range(groups)]
    return found


def stage_layers(layers: int, stages: int) -> tuple[range, ...]:
    """The layers of each stage of a pipeline: what does not divide goes to those before the last,
    from the back."""
    counts = [layers // stages] * stages
    for number in range(2, layers % stages + 2):
        counts[-number] += 1
    starts = [sum(counts[:stage]) for stage in range(stages)]
    return tuple(range(start, start + count) for start, count in zip(starts, counts, strict=True))


def tokens_in_flight(batched: int, stages: int) -> int:
    """``max_in_flight_tokens`` with asynchronous scheduling, which is the default."""
    return batched * (2 if stages == 1 else stages + 1)


def divides(architecture: MemoryArchitecture, tp: int) -> str:
    """Why the model cannot be divided between so many GPUs; empty where it can (the assertions in
    ``model_executor/models/gemma3.py`` and ``gemma4.py``)."""
    for layer in architecture.layers:
        if layer.heads % tp:
            return f"{layer.heads} heads cannot be divided by {tp}"
        if layer.kv_heads % tp and tp % layer.kv_heads:
            return f"{layer.kv_heads} key and value heads cannot be divided between {tp} GPUs"
        if layer.feed_forward_length % tp:
            return f"a width of {layer.feed_forward_length:,} cannot be divided by {tp}"
    return ""


def fitting(architecture: MemoryArchitecture, most: int) -> Sequence[int]:
    """The numbers of GPUs between which it can be divided, up to ``most``."""
    return [tp for tp in range(1, most + 1) if not divides(architecture, tp)]
