"""From a size of the catalogue to what memory depends on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from gemmahub.memory.architecture import LayerShape, MemoryArchitecture

if TYPE_CHECKING:
    from gemmahub.catalog.records import Architecture


@cache
def memory_architecture(architecture: Architecture) -> MemoryArchitecture:
    """The decoder as the memory model wants it; made once for each size."""
    a = architecture
    layers = tuple(
        LayerShape(
            attention="window" if a.is_local(i) else "global",
            owns_cache=a.owns_kv(i),
            heads=a.heads,
            kv_heads=a.kv_heads(i),
            key_length=a.head_dim(i),
            value_length=a.head_dim(i),
            feed_forward_length=a.feed_forward_length[i],
            has_value_weights=a.is_local(i) or not a.global_value_is_key,
        )
        for i in range(a.layers)
    )
    return MemoryArchitecture(
        name=a.name,
        layers=layers,
        embedding_length=a.embedding_length,
        vocabulary=a.vocabulary,
        context_length=a.context_length,
        sliding_window=a.sliding_window,
        per_layer_embedding_length=a.per_layer_embedding_length,
        experts=a.experts,
        experts_used=a.experts_used,
        expert_feed_forward_length=a.expert_feed_forward_length,
        tied_embedding=a.tied_embedding,
    )
