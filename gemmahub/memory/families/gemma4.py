"""Gemma 4: its rules, and the graph that llama.cpp builds for it, in sizes and dependencies.

Source: ``src/models/gemma4.cpp`` and ``build_moe_ffn`` of ``src/llama-graph.cpp``
(ggml-org/llama.cpp@0c1e57098).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.memory.family import ConfigRules, FamilyRules
from gemmahub.memory.graph_builder import Builder, heads
from gemmahub.memory.step_graph import Graph, Node, combine, norm, reuse, view

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gemmahub.memory.architecture import LayerShape, MemoryArchitecture
    from gemmahub.memory.family import NamedShape
    from gemmahub.memory.graph_builder import GraphSettings

_SUMMED: Final = 3


def _graph(
    architecture: MemoryArchitecture, settings: GraphSettings, numbers: Sequence[int]
) -> Graph:
    """``llama_model_gemma4::graph``, of the layers with these numbers."""
    b = Builder(architecture, settings, numbers)
    current = b.embeddings()
    per_layer = b.per_layer_inputs(current)
    last = len(architecture.layers) - 1
    for number, layer in b.layers():
        attended = _attention(b, layer, norm(current))
        early = number == last and settings.build.early_rows
        if early:
            attended, current = b.rows(attended), b.rows(current)
        middle = combine(norm(attended), current)
        mixed = _experts(b, layer, middle) if architecture.experts else None
        if mixed is None:
            mixed = b.feed_forward(layer, norm(middle))
        current = combine(norm(mixed), middle)
        if per_layer:
            width = architecture.per_layer_embedding_length
            gate = reuse(b.width(width, current))
            own = view(per_layer)
            gated = reuse(gate, b.width(width, own, b.output_ids) if early else own)
            projected = norm(b.width(architecture.embedding_length, gated))
            current = combine(current, projected)
        current = reuse(current)  # layer_output_scale
    final = norm(current)
    final.output = not settings.build.early_rows
    b.logits(final if settings.build.early_rows else b.rows(final), softcap=True)
    return b.graph


def _attention(b: Builder, layer: LayerShape, source: Node) -> Node:
    query = reuse(heads(b.width(layer.query_width, source)), b.positions)
    if not layer.owns_cache:
        return b.attention(layer, query, None, None)
    key = b.width(layer.key_width, source)
    value = b.width(layer.value_width, source) if layer.has_value_weights else key
    # Values are normed without weights.
    normed = reuse(view(value))
    return b.attention(layer, query, reuse(heads(key), b.positions), normed)


def _experts(b: Builder, layer: LayerShape, source: Node) -> Node:
    """A dense part, and beside it ``experts_used`` experts chosen for each token."""
    a = b.architecture
    used, width = a.experts_used, a.expert_feed_forward_length
    dense = norm(b.feed_forward(layer, norm(source)))
    entry = norm(source)
    routed = b.width(a.experts, reuse(reuse(reuse(source))))
    chances = reuse(routed)
    chosen = view(b.width(a.experts, chances))
    picked = b.width(used, view(chances), chosen)
    total = reuse(b.width(1, view(picked)))
    weights = view(b.width(used, view(picked), total))
    b.graph.expand(weights)
    both = b.width(2 * width * used, view(entry), chosen)
    gated = b.width(width * used, view(both), view(both))
    down = b.width(a.embedding_length * used, gated, chosen)
    # Each expert's output has a scale of its own, looked up for each token.
    scale = b.width(used, b.width(a.experts), chosen)
    outputs = reuse(reuse(down, scale), weights)
    b.graph.expand(outputs)
    # A sum of three takes the memory that a sum of more takes: each further part is added in place.
    parts = [view(outputs) for _ in range(min(used, _SUMMED))]
    for part in parts:
        b.graph.expand(part)
    found = parts[0]
    for number, part in enumerate(parts[1:]):
        found = reuse(found, part) if number else b.width(a.embedding_length, found, part)
        b.graph.expand(found)
    return combine(dense, norm(found))


def _head_lengths(a: MemoryArchitecture) -> tuple[int, int]:
    """Of the global layers and of those with a window."""
    lengths = {layer.attention: layer.key_length for layer in a.layers}
    one = a.layers[0].key_length
    return lengths.get("global", one), lengths.get("window", one)


def _model_tensors(a: MemoryArchitecture) -> Sequence[NamedShape]:
    # Stretches the rotation of the global layers.
    return (("rope_freqs.weight", (_head_lengths(a)[0] // 2,)),)


def _layer_tensors(_architecture: MemoryArchitecture) -> Sequence[NamedShape]:
    return (("layer_output_scale.weight", (1,)),)


def _header_keys(a: MemoryArchitecture) -> Mapping[str, Any]:
    global_, window = _head_lengths(a)
    return {
        "attention.shared_kv_layers": a.shared_kv_layers,
        "embedding_length_per_layer_input": a.per_layer_embedding_length,
        "attention.key_length_swa": window,
        "attention.value_length_swa": window,
        "rope.dimension_count": global_,
        "rope.dimension_count_swa": window,
    }


# Defaults: ``Gemma4TextConfig`` of Transformers. Image buffers: see ``memory/projector.py``.
FAMILY = FamilyRules(
    title="Gemma 4",
    period=6,
    pattern="required",
    shares_caches=True,
    values_from_keys=True,
    has_experts=True,
    copies_tied_table=True,  # measured: +315 MiB for E2B, +1,103 MiB for 31B
    graph=_graph,
    config=ConfigRules(
        defaults={
            "vocab_size": 262144,
            "hidden_size": 2304,
            "hidden_size_per_layer_input": 256,
            "intermediate_size": 9216,
            "num_hidden_layers": 30,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "global_head_dim": 512,
            "max_position_embeddings": 131072,
            "sliding_window": 512,
        },
        vocabulary=262144,
        other_names=("gemma4_unified",),
        last_layer_global=True,
    ),
    model_tensors=_model_tensors,
    layer_tensors=_layer_tensors,
    header_keys=_header_keys,
    image_buffers={
        ("gemma4v", 768, 224, "gemma4a"): 464_567_040 + 106_109_824,
        ("gemma4v", 1152, 224, None): 691_004_160,
        ("gemma4uv", 3840, 224, "gemma4ua"): 61_968_128 + 61_440_000,
    },
)
