"""Names of a checkpoint's arrays as the ``gemma`` library has them once it is loaded.

Google's own checkpoints are flat (``transformer/layer_0/attn/q_einsum.w``) or stacked (the layers
of one kind of attention in one array); those that the library writes are nested
(``layer_0.attn.q_einsum.w``). Source: ``gemma/gm/ckpts/_checkpoint.py`` and ``_compat.py`` of
google-deepmind/gemma 4.0.1.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError
from gemmahub.formats.reader import MOST_TENSORS
from gemmahub.formats.tensor import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub_jax.checkpoint import StoredArray

_ROOTS: Final = (("transformer.", ""), ("SigLiPFromPatches_0.", "vision_encoder."))
_TRAINER: Final = frozenset({"collections", "opt_state", "params", "step"})
"""What a checkpoint of Kauldron's trainer has at its top."""
_MLP_WEIGHT: Final = re.compile(r"(\.mlp\.(?:gating_einsum|linear))\.w$")
_STACKED: Final = re.compile(r"^(.*?)stacked_layers\.attention_type_(\d+)(.*)$")
_QUANTIZED: Final = re.compile(r"^(.*)\.kernel$")
_MOST_KINDS: Final = 64


def tensors_of(arrays: Sequence[StoredArray]) -> tuple[Tensor, ...]:
    """All weights, unstacked; an integer kernel and its scale are one tensor.

    Of a trainer's checkpoint only the parameters are taken, not the optimizer's state.

    Raises: FormatError for more layers than any model has.
    """
    named = {_name(array.name): array.array for array in arrays}
    if {name.partition(".")[0] for name in named} <= _TRAINER and len(named) > 1:
        own = {name: array for name, array in named.items() if name.startswith("params.")}
        named = {_rooted(name.removeprefix("params.")): array for name, array in own.items()}
    found = [
        Tensor(name, array.type_name, array.shape, array.size, array.nbytes)
        for name, array in named.items()
    ]
    return tuple(_with_scales(_unstacked(found)))


def is_quantized(tensors: Iterable[Tensor]) -> bool:
    """Whether the weights are integers with scales, which the library wraps its model for."""
    return any("._IntEinsum_" in tensor.name for tensor in tensors)


def _name(name: str) -> str:
    return _MLP_WEIGHT.sub(r"\1", _rooted(name.replace("/", ".")))


def _rooted(name: str) -> str:
    for root, instead in _ROOTS:
        if name.startswith(root):
            return instead + name.removeprefix(root)
    return name


def _unstacked(tensors: list[Tensor]) -> list[Tensor]:
    """With one tensor for each layer: number ``i`` of kind ``k`` is layer ``i x kinds + k``."""
    stacked = [(tensor, _STACKED.match(tensor.name)) for tensor in tensors]
    kinds = 1 + max((int(match[2]) for _, match in stacked if match), default=-1)
    if kinds > _MOST_KINDS:
        raise FormatError(f"the checkpoint has {kinds:,} kinds of layers", "choose another folder")
    found = []
    for tensor, match in stacked:
        if match is None or not tensor.shape:
            found.append(tensor)
            continue
        count, *shape = tensor.shape
        if len(found) + count > MOST_TENSORS:
            raise FormatError(f"the checkpoint has {count:,} layers", "choose another folder")
        each = None if tensor.bytes is None else tensor.bytes // max(1, count)
        for number in range(count):
            layer = number * kinds + int(match[2])
            name = f"{match[1]}layer_{layer}{match[3]}"
            found.append(Tensor(name, tensor.type, tuple(shape), prod(shape), each))
    return found


def _with_scales(tensors: list[Tensor]) -> list[Tensor]:
    """A kernel of integers takes up the scale beside it: together they are its weights."""
    by_name = {tensor.name: tensor for tensor in tensors}
    scales: set[str] = set()
    found = []
    for tensor in tensors:
        match = _QUANTIZED.match(tensor.name)
        scale = by_name.get(f"{match[1]}.scale") if match else None
        if scale is None or not tensor.type.startswith("INT"):
            found.append(tensor)
            continue
        scales.add(scale.name)
        both = None
        if tensor.bytes is not None and scale.bytes is not None:
            both = tensor.bytes + scale.bytes
        found.append(replace(tensor, bytes=both))
    return [tensor for tensor in found if tensor.name not in scales]
