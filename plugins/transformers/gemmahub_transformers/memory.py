"""What PyTorch takes of a machine's memory for a text model. Pure arithmetic.

A context is filled as this plugin fills it: the prompt in steps, the last one ending it. Sources,
huggingface/transformers 5.24.0:

- ``cache_utils.py``: ``DynamicLayer`` holds the cells that were used, and is copied with each step;
  ``DynamicSlidingWindowLayer`` keeps ``window - 1`` cells as a part of what the step before made,
  which stays in memory as a whole.
- ``models/gemma3/modeling_gemma3.py``: what a layer makes, one after the other; norms in single
  precision.
- ``integrations/sdpa_attention.py``, ``masking_utils.py``: with a mask, keys and values are
  repeated for each head; a mask is made where a step does not begin the text, or a window is full.

Checked with PyTorch's own allocations on small models on a CPU (tests/test_memory.py). On GPUs the
same is calculated, and nothing was measured.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub_transformers.devices import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory import LayerShape
    from gemmahub_transformers.header import CheckpointHeader
    from gemmahub_transformers.settings import TorchSettings

_SINGLE: Final = 4  # bytes of a number in single precision


@dataclass(frozen=True, slots=True)
class TorchMemory:
    """Bytes by part, when the context is full; together the most that PyTorch has allocated.

    ``kv_cache_bytes`` is the most that the caches hold; ``compute_bytes`` what a step takes beside
    weights and caches; ``output_bytes`` the logits of a token and what is made of
    them.
    """

    weights_bytes: int
    kv_global_bytes: int
    kv_window_bytes: int
    cells_global: int
    cells_window: int
    compute_bytes: int
    output_bytes: int

    @property
    def kv_cache_bytes(self) -> int:
        """Both kinds of caches."""
        return self.kv_global_bytes + self.kv_window_bytes


@dataclass(frozen=True, slots=True)
class _Step:
    """A computation of ``count`` tokens after ``used`` ones, with numbers of ``item`` bytes.

    ``threads`` are those of the CPU's kernel, 0 on a GPU.
    """

    used: int
    count: int
    window: int
    item: int
    fused: bool
    threads: int

    def cells(self, kind: str, *, after: bool) -> int:
        """Cells of a layer's cache before or after this step."""
        if kind == "global" or not self.window:
            return self.used + (self.count if after else 0)
        kept = min(self.used, self.window - 1)
        if after:
            return kept + self.count
        return kept if not self.used else min(self.used, kept + self.count)

    def masked(self, kind: str) -> bool:
        """Whether attention is given a mask."""
        if not self.fused:
            return True
        if self.count == 1:
            return False
        return bool(self.used) or (kind == "window" and self.count > self.window)


def plan(header: CheckpointHeader, chosen: TorchSettings) -> TorchMemory:
    """The memory of a model whose context is filled by one prompt."""
    context, step = chosen.context, chosen.settings.ubatch
    known, item = header.known, chosen.item_bytes
    # Of steps of one size the last takes the most: its caches are the largest.
    whole, rest = divmod(context, step)
    ends = {(whole - 1) * step: step} if whole else {}
    ends |= {whole * step: rest} if rest else {}
    steps = [
        _Step(used, n, known.sliding_window, item, chosen.fused, _threads(chosen))
        for used, n in ends.items()
    ]
    total = max(_held(header, one) + _step_peak(header, one) for one in steps)
    cells = {kind: max(one.cells(kind, after=True) for one in steps)
             for kind in ("global", "window")}  # fmt: skip
    sizes = {kind: cells[kind] * item * _row(known.layers, kind) for kind in cells}
    return TorchMemory(
        weights_bytes=header.weights_bytes(item),
        kv_global_bytes=sizes["global"],
        kv_window_bytes=sizes["window"],
        cells_global=cells["global"] if sizes["global"] else 0,
        cells_window=cells["window"] if sizes["window"] else 0,
        compute_bytes=max(0, total - sum(sizes.values())),
        output_bytes=output_bytes(header, item),
    )


def _row(layers: Sequence[LayerShape], kind: str) -> int:
    """Numbers that all caches of a kind hold of one position."""
    return sum(layer.key_width + layer.value_width for layer in layers if layer.kind == kind)


def _threads(chosen: TorchSettings) -> int:
    if chosen.device != HOST:
        return 0
    return chosen.settings.threads or os.cpu_count() or 1


def output_bytes(header: CheckpointHeader, item: int) -> int:
    """Logits of a token, and these in single precision."""
    return header.vocabulary * (item + _SINGLE)


def _held(header: CheckpointHeader, step: _Step) -> int:
    """What all caches hold after a step."""
    return sum(_layer_cache(layer, step, after=True) for layer in header.known.layers)


def _layer_cache(layer: LayerShape, step: _Step, *, after: bool) -> int:
    if not layer.owns_cache:
        return 0
    width = layer.key_width + layer.value_width
    return width * step.cells(layer.attention, after=after) * step.item


def _step_peak(header: CheckpointHeader, step: _Step) -> int:
    """The most that a step takes beside the caches as they are after it."""
    layers = header.known.layers
    missing = sum(_layer_cache(layer, step, after=True) for layer in layers) - sum(
        _layer_cache(layer, step, after=False) for layer in layers
    )
    always = _inputs(header, step)
    most = 0
    for layer in layers:
        old = _layer_cache(layer, step, after=False)
        new = _layer_cache(layer, step, after=True)
        # Keys before and after are there at once, then values.
        most = max(most, always - missing + new // 2 + _projections(header, layer, step))
        missing -= new - old
        most = max(most, always - missing + _attention(header, layer, step))
        most = max(most, always - missing + _feed_forward(header, layer, step))
    return most


def _inputs(header: CheckpointHeader, step: _Step) -> int:
    """What lives through all layers: the text's embeddings, a layer's input, masks, rotations."""
    known = header.known
    kinds = {layer.attention: layer for layer in known.layers}
    rotations = sum(2 * layer.key_length for layer in kinds.values())
    own = len(known.layers) * known.per_layer_embedding_length
    rows = (2 if len(known.layers) > 1 else 1) * known.embedding_length + rotations + own
    if header.streams > 1:  # predicted and corrected, each for all of them
        rows += (4 * header.streams + 1) * known.embedding_length
    masks = sum(
        step.cells(kind, after=True) * (1 if step.fused else step.item)
        for kind in kinds
        if step.masked(kind)
    )
    return step.count * (rows * step.item + masks + 16)  # tokens and positions, of 8 bytes each


def _norm(width: int, step: _Step) -> int:
    """A norm of numbers of that width: two results at once, in single precision."""
    return step.count * width * 2 * _SINGLE


def _projections(header: CheckpointHeader, layer: LayerShape, step: _Step) -> int:
    """The hidden state after its norm, with queries, keys and values of the step."""
    rows = header.known.embedding_length + layer.query_width + layer.key_width + layer.value_width
    return step.count * rows * step.item


def _attention(header: CheckpointHeader, layer: LayerShape, step: _Step) -> int:
    """Queries as they are made ready, then attention of them, whichever is more."""
    cells, item = step.cells(layer.attention, after=True), step.item
    queries = step.count * layer.query_width * item
    made = max(3 * queries, _norm(layer.query_width, step))  # rotated by position; normed
    ready = _projections(header, layer, step) + made
    kernel = 2 * queries + step.count * header.known.embedding_length * item
    if layer.heads > layer.kv_heads > 1 and step.masked(layer.attention):
        kernel += layer.heads * (layer.key_length + layer.value_length) * cells * item
    if not step.fused:
        # Scores, and their softmax in single precision; with narrow ones its copy, too.
        # Scores, and their softmax in single precision, which narrow ones are widened for.
        wide = 2 * _SINGLE + (item if item < _SINGLE else 0)
        return max(ready, kernel + layer.heads * step.count * cells * wide)
    if step.masked(layer.attention):
        kernel += step.count * cells * item  # the mask as numbers
    return max(ready, kernel + step.count * layer.heads * _SINGLE + _blocks(layer, step, cells))


def _blocks(layer: LayerShape, step: _Step, cells: int) -> int:
    """What each thread of the CPU's fused kernel computes in.

    Source: pytorch/pytorch 2.15 ``aten/src/ATen/native/cpu/FlashAttentionKernel.cpp`` (blocks of
    32, 64 or 256 queries and up to 512 cells).
    """
    queries = min(step.count, 256 if step.count >= 768 else 64 if step.count >= 192 else 32)
    block = min(cells, 512)
    narrow = step.item * block if step.item < _SINGLE else 0
    return step.threads * queries * ((block + 2 + layer.key_length) * _SINGLE + narrow)


def _feed_forward(header: CheckpointHeader, layer: LayerShape, step: _Step) -> int:
    """Gate, up and their product; of a mixture, those of the chosen experts."""
    known = header.known
    width = max(layer.feed_forward_length, known.experts_used * known.expert_feed_forward_length)
    hidden = step.count * known.embedding_length * step.item
    return 2 * hidden + max(3 * step.count * width * step.item, _norm(known.embedding_length, step))
