"""The tensors of a text GGUF of a Gemma, derived from its architecture.

Names and shapes are those that llama.cpp loads (``src/models/gemma*.cpp`` of
ggml-org/llama.cpp@0c1e57098); those of one family alone are in ``memory/families/``. Shapes are in
GGUF order: the first dimension is the contiguous one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from gemmahub.catalog.kquant_mix import (
    NOT,
    Raised,
    copied_type,
    mix_type,
    raised_layers,
)
from gemmahub.catalog.memory import memory_architecture
from gemmahub.formats.ggml_types import GGML_TYPES_BY_NAME
from gemmahub.formats.tensor import Tensor
from gemmahub.memory.families import find
from gemmahub.precision.quantizer import fitting_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.catalog.records import Architecture, StoredTypes
    from gemmahub.memory import LayerShape, MemoryArchitecture
    from gemmahub.memory.family import FamilyRules

Shape = tuple[int, ...]
NamedShape = tuple[str, Shape]


@dataclass(frozen=True, slots=True)
class VariantTensors:
    """The tensors of a file: those of no layer, and those of each layer.

    Layers that are alike share one tuple, with the names of the first of them: what is summed over
    a model need look at a few layers only.
    """

    model: tuple[Tensor, ...]
    layers: tuple[tuple[Tensor, ...], ...]

    def counted(self) -> Iterator[tuple[Tensor, int]]:
        """Each different tensor, and how many of it there are."""
        yield from ((tensor, 1) for tensor in self.model)
        alike = Counter(map(id, self.layers))
        for layer in {id(layer): layer for layer in self.layers}.values():
            yield from ((tensor, alike[id(layer)]) for tensor in layer)


def tensors_by_layer(architecture: Architecture, types: StoredTypes) -> VariantTensors:
    """The tensors of a file that is described by ``types``, with their bytes, layer by layer."""
    a, unused = memory_architecture(architecture), types.unused_kv
    raised = [NOT] * len(a.layers)
    if types.mix:
        have_value = (i for i, layer in enumerate(a.layers) if _has_value(a, layer, unused))
        raised = raised_layers(types.mix, len(a.layers), tuple(have_value))
    model = tuple(
        _tensor(name, shape, types, NOT)
        for name, shape in _model_tensors(architecture, types.vocabulary or a.vocabulary)
    )
    known: dict[tuple[LayerShape, Raised], tuple[Tensor, ...]] = {}
    layers = []
    for number, kind in enumerate(zip(a.layers, raised, strict=True)):
        if kind not in known:
            shapes = _layer_tensors(a, kind[0], unused)
            known[kind] = tuple(
                _tensor(f"blk.{number}.{name}", shape, types, kind[1]) for name, shape in shapes
            )
        layers.append(known[kind])
    return VariantTensors(model, tuple(layers))


def variant_tensors(architecture: Architecture, types: StoredTypes) -> list[Tensor]:
    """The tensors of a file that is described by ``types``, each with its own name."""
    found = tensors_by_layer(architecture, types)
    tensors = list(found.model)
    for number, layer in enumerate(found.layers):
        for tensor in layer:
            name = tensor.name.split(".", 2)[2]
            tensors.append(replace(tensor, name=f"blk.{number}.{name}"))
    return tensors


def _tensor(name: str, shape: Shape, types: StoredTypes, raised: Raised) -> Tensor:
    chosen = {
        "token_embd.weight": types.embedding,
        "per_layer_token_embd.weight": types.per_layer_embedding,
    }.get(name)
    if chosen is None:
        chosen = (
            mix_type(types.mix, name, shape, types.kept, raised)
            if types.mix
            else copied_type(name, shape, types.kept)
            or fitting_type(types.default or "F32", shape[0])
        )
    kind = GGML_TYPES_BY_NAME[chosen]
    return Tensor(name, kind.name, shape, prod(shape), kind.bytes_for(shape))


def _model_tensors(architecture: Architecture, rows: int) -> Iterator[NamedShape]:
    a = memory_architecture(architecture)
    width, per_layer = a.embedding_length, a.per_layer_embedding_length
    yield "token_embd.weight", (width, rows)
    if per_layer:
        # The per-layer table never has more rows than the tokenizer has words.
        yield "per_layer_token_embd.weight", (per_layer * len(a.layers), a.vocabulary)
        yield "per_layer_model_proj.weight", (width, per_layer * len(a.layers))
        yield "per_layer_proj_norm.weight", (per_layer,)
    yield from _rules(a).model_tensors(a)
    yield "output_norm.weight", (width,)


def _rules(a: MemoryArchitecture) -> FamilyRules:
    found = find(a.name)
    assert found is not None  # the catalogue is read with known families only
    return found


def _has_key(a: MemoryArchitecture, layer: LayerShape, unused_kv: bool) -> bool:
    return layer.owns_cache or unused_kv or _rules(a).keeps_unused_kv


def _has_value(a: MemoryArchitecture, layer: LayerShape, unused_kv: bool) -> bool:
    return layer.has_value_weights and _has_key(a, layer, unused_kv)


def _layer_tensors(
    a: MemoryArchitecture, layer: LayerShape, unused_kv: bool
) -> Iterator[NamedShape]:
    """Names as behind ``blk.N.``."""
    yield from _attention(a, layer, unused_kv)
    yield from _feed_forward(a, layer)
    yield from _experts(a)
    yield from _per_layer_input(a)
    yield from _rules(a).layer_tensors(a)


def _attention(a: MemoryArchitecture, layer: LayerShape, unused_kv: bool) -> Iterator[NamedShape]:
    width, head = a.embedding_length, layer.key_length
    yield "attn_norm.weight", (width,)
    yield "attn_q.weight", (width, layer.query_width)
    yield "attn_q_norm.weight", (head,)
    if _has_key(a, layer, unused_kv):
        yield "attn_k.weight", (width, layer.key_width)
        yield "attn_k_norm.weight", (head,)
        if _has_value(a, layer, unused_kv):
            yield "attn_v.weight", (width, layer.value_width)
    yield "attn_output.weight", (layer.query_width, width)
    yield "post_attention_norm.weight", (width,)


def _feed_forward(a: MemoryArchitecture, layer: LayerShape) -> Iterator[NamedShape]:
    width, hidden = a.embedding_length, layer.feed_forward_length
    yield "ffn_norm.weight", (width,)
    yield "ffn_gate.weight", (width, hidden)
    yield "ffn_up.weight", (width, hidden)
    yield "ffn_down.weight", (hidden, width)
    yield "post_ffw_norm.weight", (width,)


def _experts(a: MemoryArchitecture) -> Iterator[NamedShape]:
    if not a.experts:
        return
    width, hidden = a.embedding_length, a.expert_feed_forward_length
    yield "ffn_gate_inp.weight", (width, a.experts)
    yield "ffn_gate_inp.scale", (width,)
    yield "pre_ffw_norm_2.weight", (width,)
    yield "post_ffw_norm_1.weight", (width,)
    yield "post_ffw_norm_2.weight", (width,)
    yield "ffn_gate_up_exps.weight", (width, 2 * hidden, a.experts)
    yield "ffn_down_exps.weight", (hidden, width, a.experts)
    yield "ffn_down_exps.scale", (a.experts,)


def _per_layer_input(a: MemoryArchitecture) -> Iterator[NamedShape]:
    width, per_layer = a.embedding_length, a.per_layer_embedding_length
    if per_layer:
        yield "inp_gate.weight", (width, per_layer)
        yield "proj.weight", (per_layer, width)
        yield "post_norm.weight", (width,)
