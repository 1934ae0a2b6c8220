"""The model that a checkpoint's arrays are: layers, heads and widths, from names and shapes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import LoadFailed
from gemmahub.text import one_line
from gemmahub_jax.families import architecture_of
from gemmahub_jax.naming import is_quantized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.formats.tensor import Tensor

_LAYER: Final = re.compile(r"^layer_(\d{1,4})\.(.+)$")
_INTEGER: Final = re.compile(r"\._IntEinsum_(0|gating_einsum|linear)\.kernel$")
_OTHER_TOWERS: Final = re.compile(r"^vision_encoder\.|^embedder\.mm_")
"""What the text model leaves out."""
_EMBEDDING: Final = "embedder.input_embedding"
_KNOWN: Final = frozenset(
    {
        "attn.q_einsum.w",
        "attn.kv_einsum.w",
        "attn.qkv_einsum.w",
        "attn.attn_vec_einsum.w",
        "attn._query_norm.scale",
        "attn._key_norm.scale",
        "mlp.gating_einsum",
        "mlp.linear",
        "pre_attention_norm.scale",
        "post_attention_norm.scale",
        "pre_ffw_norm.scale",
        "post_ffw_norm.scale",
    }
)
_HINT: Final = "run this model with llama.cpp or MLX; gemmahub list shows the installed models"


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A text model. Lengths in numbers; ``architecture`` as llama.cpp calls it.

    ``transposed``: gates have their inputs last. ``quantized``: weights are integers, of the type
    ``dtype_weights``; ``dtype`` is that of the embedding and so of the cache. ``weights_bytes`` are
    those of the text model, ``left_out_bytes`` those of the vision tower and its projection, which
    the library reads, too, and then drops.
    """

    architecture: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    transposed: bool
    post_norms: bool
    query_norm: bool
    dtype: str
    dtype_weights: str
    quantized: bool
    weights_bytes: int
    left_out_bytes: int
    parameters: int

    @property
    def has_vision(self) -> bool:
        """Whether the checkpoint has a vision tower."""
        return self.left_out_bytes > 0


def shape_of(tensors: Sequence[Tensor]) -> ModelShape:
    """The text model of a checkpoint.

    Raises: LoadFailed where it is another kind of model, or its arrays do not fit together.
    """
    text = {_plain(t.name): t for t in tensors if not _OTHER_TOWERS.search(t.name)}
    left = [tensor for tensor in tensors if _OTHER_TOWERS.search(tensor.name)]
    embedding = text.get(_EMBEDDING)
    layers = {int(match[1]) for name in text if (match := _LAYER.match(name))}
    if embedding is None or len(embedding.shape) != 2 or layers != set(range(len(layers))):
        raise LoadFailed("the checkpoint is not a complete Gemma model", _HINT)
    _check_known(text)
    first = {m[2]: t for name, t in text.items() if (m := _LAYER.match(name)) and m[1] == "0"}
    vocabulary, width = embedding.shape
    heads, kv_heads, head = _heads(first, width)
    gates = _shape(first, "mlp.gating_einsum", 3)
    transposed = gates[2] == width
    post_norms = "post_attention_norm.scale" in first
    query_norm = "attn._query_norm.scale" in first
    architecture = architecture_of(post_norms=post_norms, query_norm=query_norm)
    if not architecture:
        raise LoadFailed("the checkpoint has norms of no known Gemma family", _HINT)
    weights = [tensor for tensor in text.values() if tensor.name != _EMBEDDING]
    return ModelShape(
        architecture=architecture,
        layers=len(layers),
        width=width,
        feed_forward=gates[1] if transposed else gates[2],
        heads=heads,
        kv_heads=kv_heads,
        head=head,
        vocabulary=vocabulary,
        transposed=transposed,
        post_norms=post_norms,
        query_norm=query_norm,
        dtype=embedding.type,
        dtype_weights=max(weights, key=lambda tensor: tensor.parameters).type,
        quantized=is_quantized(tensors),
        weights_bytes=sum(map(_bytes, text.values())),
        left_out_bytes=sum(map(_bytes, left)),
        parameters=sum(tensor.parameters for tensor in text.values()),
    )


def _plain(name: str) -> str:
    """The name of a weight that is not quantized."""
    match = _INTEGER.search(name)
    if match is None:
        return name
    return name[: match.start()] + (".w" if match[1] == "0" else f".{match[1]}")


def _check_known(text: dict[str, Tensor]) -> None:
    for name in text:
        match = _LAYER.match(name)
        if (match and match[2] in _KNOWN) or name in (_EMBEDDING, "final_norm.scale"):
            continue
        raise LoadFailed(
            f"the checkpoint has {one_line(name, 80)}, which is of a family that gemmahub-jax does "
            "not run: it runs Gemma 1, 2 and 3",
            _HINT,
        )


def _heads(first: dict[str, Tensor], width: int) -> tuple[int, int, int]:
    """Query heads, key heads, and the length of one."""
    if "attn.qkv_einsum.w" in first:
        _, heads, inputs, head = _shape(first, "attn.qkv_einsum.w", 4)
        kv_heads = heads
    else:
        heads, inputs, head = _shape(first, "attn.q_einsum.w", 3)
        _, kv_heads, _, _ = _shape(first, "attn.kv_einsum.w", 4)
    if inputs != width or not heads or not kv_heads or heads % kv_heads or not head:
        raise LoadFailed("the checkpoint's attention does not fit its embedding", _HINT)
    return heads, kv_heads, head


def _shape(first: dict[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    tensor = first.get(name)
    if tensor is None or len(tensor.shape) != dimensions:
        raise LoadFailed(f"the checkpoint's first layer has no {name} as Gemma has it", _HINT)
    return tensor.shape


def _bytes(tensor: Tensor) -> int:
    if tensor.bytes is None:
        raise LoadFailed(
            f"{one_line(tensor.name, 80)} has the type {one_line(tensor.type, 40)}, of "
            "unknown size",
            _HINT,
        )
    return tensor.bytes
