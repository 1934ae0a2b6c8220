"""Gemma 3: its rules, and the graph that llama.cpp builds for it, in sizes and dependencies.

Source: ``src/models/gemma3.cpp`` of ggml-org/llama.cpp@0c1e57098.
"""

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
    """``llama_model_gemma3::graph``, of the layers with these numbers."""
    b = Builder(architecture, settings, numbers)
    current = b.embeddings()
    last = len(architecture.layers) - 1
    for number, layer in b.layers():
        source = norm(current)
        query = b.width(layer.query_width, source)
        key = b.width(layer.key_width, source)
        value = b.width(layer.value_width, source)
        query = reuse(reuse(heads(query), b.positions))
        key = reuse(heads(key), b.positions)
        attended = b.attention(layer, query, key, view(value))
        if number == last:
            attended, current = b.rows(attended), b.rows(current)
        middle = combine(norm(attended), current)
        mixed = b.feed_forward(layer, norm(middle))
        current = combine(norm(mixed), middle)
    b.logits(norm(current), softcap=False)
    return b.graph


# Defaults: ``Gemma3TextConfig`` of Transformers. Image buffers: see ``memory/projector.py``.
FAMILY = FamilyRules(
    title="Gemma 3",
    period=6,
    window_optional=True,
    graph=_graph,
    config=ConfigRules(
        defaults={
            "vocab_size": 262208,
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "max_position_embeddings": 131072,
            "sliding_window": 4096,
        },
        vocabulary=262144,
    ),
    image_buffers={("gemma3", 1152, 896, None): 127_139_840},
)
