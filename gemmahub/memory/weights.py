"""Where the weights of a GGUF file come to lie.

Sources: ``src/llama-arch.cpp`` (which part of the model a tensor belongs to) and
``src/llama-model.cpp`` (``load_tensors``: which device has which layer) of
ggml-org/llama.cpp@0c1e57098.

- Tables that are looked up (token embedding, per-layer embeddings) stay in host memory, always.
- The output layer counts as layer ``n_layer + 1``; where it is tied to the token embedding and lies
  on an accelerator, the accelerator has a copy of that table.
- The *last* ``gpu_layers`` layers go to accelerators, which share them by their free memory.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError
from gemmahub.formats.foreign_types import unread_by_llamacpp
from gemmahub.memory.families import find
from gemmahub.memory.ranges import MOST_LAYERS
from gemmahub.memory.weight_sums import HOST, Weights
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.formats.tensor import Tensor
    from gemmahub.memory.machine import DeviceMemory

_LAYER: Final = re.compile(r"blk\.([0-9]+)\.")
_DIGITS: Final = 20  # of a layer's number: what has more is beyond all others in any case
_TOKEN_TABLE: Final = "token_embd.weight"
_OUTPUT: Final = "output.weight"
_INPUT: Final = (_TOKEN_TABLE, "per_layer_token_embd.weight", "token_types.weight")
# Without a layer number, but built for layer 0 (LLM_TENSOR_LAYER_REPEATING).
_FIRST_LAYER: Final = ("per_layer_model_proj", "per_layer_proj_norm", "rope_freqs")

_EXPERTS: Final = "_exps."

# Types whose matrices the CPU backend copies into another order while loading
# (ggml/src/ggml-cpu/repack.cpp); which of them a given processor repacks is its own choice.
_REPACKED: Final = frozenset(
    {"Q4_0", "Q4_K", "Q2_K", "Q5_K", "Q6_K", "Q8_0", "IQ4_NL", "MXFP4", "Q1_0"}
)


@dataclass(frozen=True, slots=True)
class WeightPlacement:
    """Bytes of weights in host memory and on each accelerator.

    ``mapped`` says that the host's part is a mapping of the file, which the system can drop and
    read again. ``repack`` is what a CPU may hold besides, at most: copies of the host's layers in
    another order.
    """

    host: int
    devices: tuple[int, ...]
    mapped: bool
    repack: int

    @property
    def bytes(self) -> int:
        """All places together; with a copied tied table more than the file has."""
        return self.host + sum(self.devices)


def weights_of(tensors: Iterable[Tensor]) -> Weights:
    """Sums over the tensors of a text GGUF.

    Raises: FormatError for a tensor whose type has no known size, or of a layer beyond all others.
    """
    model: list[Tensor] = []
    layers: dict[int, list[Tensor]] = {}
    for tensor in tensors:
        found = _LAYER.match(tensor.name)
        if found:
            layers.setdefault(int(found[1][:_DIGITS]), []).append(tensor)
        else:
            model.append(tensor)
    if max(layers, default=0) >= MOST_LAYERS:
        raise FormatError(f"a tensor is of layer {max(layers)}", "download the file again")
    numbers = range(max(layers, default=-1) + 1)
    return weights_by_layer(model, [tuple(layers.get(i, ())) for i in numbers])


def weights_by_layer(model: Iterable[Tensor], layers: Sequence[tuple[Tensor, ...]]) -> Weights:
    """The same from tensors of no layer and those of each; layers may share one tuple.

    Raises: FormatError for a tensor whose type has no known size.
    """
    table = input_ = output = 0
    tied = True
    first: list[Tensor] = []
    for tensor in model:
        size = _size(tensor)
        if tensor.name.startswith(_FIRST_LAYER):
            first.append(tensor)
        elif tensor.name in _INPUT:
            input_ += size
            table = size if tensor.name == _TOKEN_TABLE else table
        else:
            output += size
            tied = tied and tensor.name != _OUTPUT
    known = {id_: _layer_sums(layer) for id_, layer in {id(each): each for each in layers}.items()}
    sums = [known[id(layer)] for layer in layers]
    if first:
        sums[:1] = [_layer_sums((*first, *(layers[0] if layers else ())))]
    return Weights(
        token_table=table,
        input=input_,
        layers=tuple(layer[0] for layer in sums),
        largest=tuple(layer[1] for layer in sums),
        repackable=tuple(layer[2] for layer in sums),
        experts=tuple(layer[3] for layer in sums),
        output=output,
        tied=tied,
    )


def _layer_sums(tensors: Sequence[Tensor]) -> tuple[int, int, int, int]:
    """Bytes of a layer, of its largest tensor, of what may be repacked, and of its experts."""
    sizes = [(tensor, _size(tensor)) for tensor in tensors]
    return (
        sum(size for _, size in sizes),
        max((size for _, size in sizes), default=0),
        sum(size for tensor, size in sizes if tensor.type in _REPACKED),
        sum(size for tensor, size in sizes if _EXPERTS in tensor.name),
    )


def _size(tensor: Tensor) -> int:
    if tensor.bytes is None:
        kind = one_line(tensor.type, 60)
        raise FormatError(
            unread_by_llamacpp(tensor.type)
            or f"tensor {one_line(tensor.name, 80)} has the type {kind}, of unknown size",
            "memory cannot be planned for this file",
        )
    return tensor.bytes


def layer_devices(layers: int, gpu_layers: int, free_bytes: Sequence[float]) -> tuple[int, ...]:
    """The accelerator of each layer and, last, of the output; ``HOST`` for host memory.

    Several accelerators get consecutive layers in proportion to their free memory, or to shares
    that stand in its place (``--tensor-split``).
    """
    total = layers + 1
    if not free_bytes or gpu_layers <= 0:
        return (HOST,) * total
    offloaded = min(gpu_layers, total)
    first = total - offloaded
    # Devices that report no free memory share equally rather than dividing by zero.
    shares = list(free_bytes) if sum(free_bytes) else [1] * len(free_bytes)
    whole = sum(shares)
    splits = [share / whole for share in accumulate(shares)]
    last = len(splits) - 1
    found = (min(bisect_right(splits, i / offloaded), last) for i in range(offloaded))
    return (HOST,) * first + tuple(found)


def place_weights(
    weights: Weights,
    placement: Sequence[int],
    devices: Sequence[DeviceMemory],
    *,
    architecture: str,
    mmap: bool,
    experts_in_memory: int = 0,
) -> WeightPlacement:
    """Bytes by place; ``placement`` is the answer of :func:`layer_devices`, and the experts of the
    first ``experts_in_memory`` layers stay on the host wherever their layer lies."""
    family = find(architecture)
    sums = [0] * len(devices)
    host, repack, layers = weights.input, 0, len(weights.layers)
    parts = zip((*weights.layers, weights.output_layer), placement, strict=True)
    for number, (size, device) in enumerate(parts):
        if device != HOST:
            # Metal reads the mapped file itself, so a tied table needs no copy.
            in_place = number == layers and mmap and devices[device].kind == "metal"
            kept = weights.experts[number] if number < min(experts_in_memory, layers) else 0
            host += kept
            sums[device] += weights.output if in_place else size - kept
        elif number < layers:
            host += size
            repack += weights.repackable[number]
        else:
            # On the host the tied table is read in place.
            host += weights.output
            if weights.tied and not mmap and family is not None and family.copies_tied_table:
                host += weights.token_table
    return WeightPlacement(host, tuple(sums), mmap, repack)
