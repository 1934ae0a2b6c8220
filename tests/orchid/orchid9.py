"""A made-up family: other pattern, shared caches, one more tensor in each layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.memory.family import ConfigRules, FamilyRules
from gemmahub.memory.graph_builder import Builder, heads
from gemmahub.memory.step_graph import Graph, combine, norm, reuse, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.graph_builder import GraphSettings


def _graph(
    architecture: MemoryArchitecture, settings: GraphSettings, numbers: Sequence[int]
) -> Graph:
    b = Builder(architecture, settings, numbers)
    current = b.embeddings()
    for _, layer in b.layers():
        source = norm(current)
        query = reuse(heads(b.width(layer.query_width, source)), b.positions)
        key = value = None
        if layer.owns_cache:
            key = reuse(heads(b.width(layer.key_width, source)), b.positions)
            value = view(b.width(layer.value_width, source))
        current = combine(b.attention(layer, query, key, value), current)
        current = combine(b.feed_forward(layer, norm(current)), current)
    b.logits(b.rows(norm(current)), softcap=False)
    return b.graph


FAMILY = FamilyRules(
    title="Orchid 9",
    period=3,
    default_window=1024,
    own_caches=6,
    graph=_graph,
    config=ConfigRules(
        defaults={
            "vocab_size": 50_100,
            "hidden_size": 512,
            "intermediate_size": 2048,
            "num_hidden_layers": 9,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 65536,
            "sliding_window": 1024,
            "num_kv_shared_layers": 3,
        },
        vocabulary=50_000,
    ),
    layer_tensors=lambda a: (("petal.weight", (a.embedding_length,)),),
    header_keys=lambda a: {"petals": len(a.layers)},
    image_buffers={("orchid9v", 256, 448, None): 12_345_678},
)
