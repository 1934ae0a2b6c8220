"""Whether the widths that a header claims are those of its tensors.

llama.cpp loads a tensor of another shape for none of these models (``create_tensor`` in
``src/models/gemma*.cpp`` of ggml-org/llama.cpp@0c1e57098). A tensor that a file does not have says
nothing here: some layers need none of a kind, and some files hold a part of a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.memory.families import find
from gemmahub.memory.ranges import OutOfRange
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gemmahub.formats.tensor import Tensor
    from gemmahub.memory.architecture import LayerShape, MemoryArchitecture


def check_widths(architecture: MemoryArchitecture, tensors: Mapping[str, Tensor]) -> None:
    """Raises :class:`OutOfRange` for a width or a number of experts that no tensor has.

    For known families: of others it is not known here which parts they store in one tensor.
    """
    _check("token_embd.weight", (architecture.embedding_length,), tensors)
    family = find(architecture.name)
    fused = family is not None and family.fused
    for number, layer in enumerate(architecture.layers):
        for name, shape in _shapes(architecture, layer, fused=fused):
            _check(f"blk.{number}.{name}.weight", shape, tensors)
    if architecture.experts and not any("_exps." in name for name in tensors) and tensors:
        raise OutOfRange(f"no tensor holds any of its {architecture.experts:,} experts")


def _shapes(
    a: MemoryArchitecture, layer: LayerShape, *, fused: bool
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a layer's tensors, without those that have no width of their own."""
    width = a.embedding_length
    if fused:
        yield "attn_qkv", (width, layer.query_width + layer.key_width + layer.value_width)
        yield "ffn_up", (width, 2 * layer.feed_forward_length)
        return
    yield "attn_q", (width, layer.query_width)
    yield "attn_k", (width, layer.key_width)
    yield "attn_v", (width, layer.value_width)
    yield "ffn_up", (width, layer.feed_forward_length)
    if a.experts:
        yield "ffn_gate_inp", (width, a.experts)
        yield "ffn_gate_up_exps", (width, 2 * a.expert_feed_forward_length, a.experts)
        yield "ffn_up_exps", (width, a.expert_feed_forward_length, a.experts)
        yield "ffn_down_exps", (a.expert_feed_forward_length, width, a.experts)


def _check(name: str, expected: tuple[int, ...], tensors: Mapping[str, Tensor]) -> None:
    tensor = tensors.get(name)
    if tensor is not None and tensor.shape[: len(expected)] != expected:
        found = " x ".join(f"{size:,}" for size in tensor.shape)
        claimed = " x ".join(f"{size:,}" for size in expected)
        raise OutOfRange(f"{one_line(name)} is {found}, but the header states {claimed}")
