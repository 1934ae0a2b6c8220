"""Which type llama.cpp's quantiser gives to each tensor of a K-quant mix such as Q4_K_M.

The part of :mod:`gemmahub.precision.quantizer` that published files of Gemma need, layer by layer:
layers that are alike share their tensors. A test holds both against each other. An importance
matrix changes the types of one of the mixes below, Q4_0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.precision.quantizer import fitting_type

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Mix:
    """``base`` for most matrices; ``raised`` for the sensitive ones among attn_v and ffn_down.

    ``early`` mixes raise the first layers only, the others a third of all layers and both ends;
    without ``values`` attn_v is not raised.
    """

    base: str
    raised: str
    early: bool = False
    values: bool = True


MIXES: Final[dict[str, _Mix]] = {
    "Q4_K_S": _Mix("Q4_K", "Q5_K", early=True),
    "Q4_K_M": _Mix("Q4_K", "Q6_K"),
    "Q5_K_S": _Mix("Q5_K", "Q5_K"),
    "Q5_K_M": _Mix("Q5_K", "Q6_K"),
    "Q6_K": _Mix("Q6_K", "Q6_K"),
    "Q4_0 with imatrix": _Mix("Q4_0", "Q4_1", early=True, values=False),
}

# Tables of one row a token; the mixes above store them like the output matrix that they also are.
_EMBEDDINGS: Final = ("token_embd.weight", "per_layer_token_embd.weight")

# Small matrices that the quantiser copies as it finds them; those converted to F32 stay F32.
_COPIED: Final = ("altup", "laurel", "per_layer_model_proj", "ffn_gate_inp")
_COPIED_F32: Final = ("ffn_gate_inp", "altup_correct_coef", "altup_predict_coef")

_VALUES: Final = "attn_v.weight"


def copied_type(name: str, shape: Shape, kept: str) -> str | None:
    """The type of a tensor that is never quantised; None if the quantiser may choose one.

    ``kept`` is the type of the 16-bit file that was quantised. The F32 exceptions are those of
    llama.cpp's converter (``conversion/base.py``).
    """
    if len(shape) < 2 or name.endswith("_norm.weight") or not name.endswith(".weight"):
        return "F32"
    if any(part in name for part in _COPIED_F32):
        return "F32"
    return kept if any(part in name for part in _COPIED) else None


Raised = tuple[bool, bool]
"""Whether attn_v, and whether ffn_down, of a layer gets the better type."""

NOT: Final[Raised] = (False, False)


def raised_layers(mix: str, layers: int, value_layers: Sequence[int]) -> list[Raised]:
    """Which layers get the better type; ``value_layers`` are those that have an attn_v, in order.

    The quantiser counts attn_v tensors in layer order: with Gemma 4, whose global layers have
    none, the count is not the layer number. ffn_down goes by layer.
    """
    rule = MIXES[mix]
    rank = {layer: i for i, layer in enumerate(value_layers)}
    count = len(value_layers)
    return [
        (
            rule.values
            and layer in rank
            and (rank[layer] < 4 if rule.early else _needs_more_bits(rank[layer], count)),
            layer < layers // 8 if rule.early else _needs_more_bits(layer, layers),
        )
        for layer in range(layers)
    ]


def mix_type(mix: str, name: str, shape: Shape, kept: str, raised: Raised) -> str:
    """The type of one tensor, in a layer that is ``raised`` or not."""
    copied = copied_type(name, shape, kept)
    if copied is not None:
        return copied
    rule = MIXES[mix]
    wanted = rule.base
    if name in _EMBEDDINGS:
        wanted = "Q8_0" if shape[0] % 256 else "Q6_K"
    elif (name.endswith(_VALUES) and raised[0]) or (".ffn_down" in name and raised[1]):
        wanted = rule.raised
    return fitting_type(wanted, shape[0])


def _needs_more_bits(position: int, count: int) -> bool:
    """The first and the last eighth, and every third in between."""
    eighth = count // 8
    return position < eighth or position >= 7 * count // 8 or (position - eighth) % 3 == 2
