"""Gemma 3n: its rules, and the graph that llama.cpp builds for it, in sizes and dependencies.

Source: ``src/models/gemma3n.cpp`` of ggml-org/llama.cpp@0c1e57098. Four streams run side by side
(AltUp), each layer has a low-rank path beside attention (LAuReL).
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

_STREAMS: Final = 4
"""``altup.num_inputs``; llama.cpp has no model with another number."""
_LAUREL_RANK: Final = 64
_SPARSE_LAYERS: Final = 10
"""``n_layer_sparsity`` (``src/models/models.h``): these leave out small activations."""


def _graph(
    architecture: MemoryArchitecture, settings: GraphSettings, numbers: Sequence[int]
) -> Graph:
    """``llama_model_gemma3n::graph``, of the layers with these numbers."""
    b = Builder(architecture, settings, numbers)
    width = architecture.embedding_length
    first = b.embeddings()
    per_layer = b.per_layer_inputs(first)
    wanted = _magnitude(b, first)
    added = b.width((_STREAMS - 1) * width, b.width((_STREAMS - 1) * width, first))
    magnitude = _magnitude(b, added, _STREAMS - 1)
    scaled = reuse(reuse(added, wanted), magnitude)
    current = b.width(_STREAMS * width, first, scaled)
    for number, layer in b.layers():
        current = _layer(b, layer, current, per_layer, sparse=number < _SPARSE_LAYERS)
    wanted = _magnitude(b, _stream(b, current))
    merged = b.width((_STREAMS - 1) * width, view(current, 4 * (_STREAMS - 1) * width))
    magnitude = _magnitude(b, merged, _STREAMS - 1)
    merged = reuse(reuse(merged, wanted), magnitude)
    total = b.width(width, _stream(b, current), _stream(b, merged))
    for _ in range(_STREAMS - 2):
        total = reuse(total, _stream(b, merged))
    b.logits(norm(b.rows(reuse(total))), softcap=True)
    return b.graph


def _magnitude(b: Builder, source: Node, streams: int = 1) -> Node:
    """Root of the sum of squares of each row."""
    return reuse(b.width(streams, _square(source)))


def _stream(b: Builder, source: Node) -> Node:
    """One of the streams that lie side by side."""
    return view(source, 4 * b.architecture.embedding_length)


def _square(source: Node) -> Node:
    return reuse(source)


def _layer(
    b: Builder, layer: LayerShape, current: Node, per_layer: Node | None, *, sparse: bool
) -> Node:
    width = b.architecture.embedding_length
    predictions = _predict(b, current)
    active = _stream(b, predictions)
    source = norm(active)
    low = b.width(width, b.width(_LAUREL_RANK, source))
    laurel = combine(norm(low), source)
    attended = combine(norm(_attention(b, layer, source)), active)
    middle = reuse(combine(attended, laurel))
    fed = norm(_feed_forward(b, layer, norm(middle), sparse=sparse))
    corrected = _correct(b, predictions, combine(fed, middle))
    gate = b.width(b.architecture.per_layer_embedding_length, reuse(_stream(b, corrected)))
    gated = reuse(gate)
    if per_layer:
        gated = reuse(gated, view(per_layer))
    first = norm(b.width(width, gated))
    slice_first = _stream(b, corrected)
    rest = b.width((_STREAMS - 1) * width, view(corrected), first)
    return b.width(_STREAMS * width, slice_first, rest)


def _attention(b: Builder, layer: LayerShape, source: Node) -> Node:
    query = reuse(heads(b.width(layer.query_width, source)), b.positions)
    if not layer.owns_cache:
        return b.attention(layer, query, None, None)
    key = reuse(heads(b.width(layer.key_width, source)), b.positions)
    value = reuse(view(b.width(layer.value_width, source)))
    return b.attention(layer, query, key, value)


def _feed_forward(b: Builder, layer: LayerShape, source: Node, *, sparse: bool) -> Node:
    width = layer.feed_forward_length
    up, gate = b.width(width, source), b.width(width, source)
    if sparse:
        gate = _largest(b, gate)
    return b.width(b.architecture.embedding_length, combine(up, reuse(gate)))


def _largest(b: Builder, source: Node) -> Node:
    """``gaussian_topk``: what lies below mean and deviation becomes zero."""
    mean = b.width(1, source)
    spread = reuse(reuse(b.width(1, _square(reuse(source, mean)))))
    cutoff = combine(mean, reuse(spread))
    return reuse(reuse(source, cutoff))


def _modalities(b: Builder, source: Node) -> Node:
    return reuse(b.width(_STREAMS, reuse(norm(source))))


def _predict(b: Builder, current: Node) -> Node:
    width = _STREAMS * b.architecture.embedding_length
    modalities = _modalities(b, _stream(b, current))
    coefficients = view(b.width(_STREAMS * _STREAMS, modalities))
    turned = b.width(width, view(current))
    predictions = b.width(width, view(b.width(width, turned, coefficients)))
    return combine(predictions, current)


def _correct(b: Builder, predictions: Node, activated: Node) -> Node:
    width = b.architecture.embedding_length
    modalities = _modalities(b, activated)
    innovation = combine(activated, _stream(b, predictions))
    coefficients = reuse(b.width(_STREAMS, modalities))
    turned = b.width(_STREAMS, view(coefficients))
    repeated = b.width(_STREAMS * width, innovation)
    return combine(reuse(repeated, turned), predictions)


def _model_tensors(a: MemoryArchitecture) -> Sequence[NamedShape]:
    width = a.embedding_length
    names = "altup_proj.weight", "altup_unembd_proj.weight"
    return [(name, (width, width, _STREAMS - 1)) for name in names]


def _layer_tensors(a: MemoryArchitecture) -> Sequence[NamedShape]:
    width = a.embedding_length
    return (
        ("altup_correct_coef.weight", (_STREAMS, _STREAMS)),
        ("altup_correct_scale.weight", (width,)),
        ("altup_predict_coef.weight", (_STREAMS, _STREAMS**2)),
        ("altup_router.weight", (width, _STREAMS)),
        ("altup_router_norm.weight", (width,)),
        ("laurel_l.weight", (width, _LAUREL_RANK)),
        ("laurel_r.weight", (_LAUREL_RANK, width)),
        ("laurel_post_norm.weight", (width,)),
    )


def _header_keys(a: MemoryArchitecture) -> Mapping[str, Any]:
    return {
        "attention.shared_kv_layers": a.shared_kv_layers,
        "embedding_length_per_layer_input": a.per_layer_embedding_length,
        "altup.active_idx": 0,
        "altup.num_inputs": _STREAMS,
        "activation_sparsity_scale": [0.0] * len(a.layers),
    }


# Defaults: ``Gemma3nTextConfig`` of Transformers. Image buffers: see ``memory/projector.py``.
FAMILY = FamilyRules(
    title="Gemma 3n",
    period=5,
    pattern="stated",
    own_caches=20,  # src/models/gemma3n.cpp has it as a constant
    keeps_unused_kv=True,
    copies_tied_table=True,
    graph=_graph,
    special_layers=_SPARSE_LAYERS,
    config=ConfigRules(
        defaults={
            "vocab_size": 262400,
            "hidden_size": 2048,
            "hidden_size_per_layer_input": 256,
            "intermediate_size": 16384,
            "num_hidden_layers": 35,
            "num_attention_heads": 8,
            "num_key_value_heads": 2,
            "head_dim": 256,
            "max_position_embeddings": 32768,
            "sliding_window": 512,
            "num_kv_shared_layers": 15,
        },
        vocabulary=262144,
    ),
    model_tensors=_model_tensors,
    layer_tensors=_layer_tensors,
    header_keys=_header_keys,
    image_buffers={("gemma3nv", 2048, 768, None): 583_953_408},
    # llama.cpp has no audio encoder for it (clip_init, tools/mtmd/clip.cpp).
    audio_left_out=("gemma3na",),
)
