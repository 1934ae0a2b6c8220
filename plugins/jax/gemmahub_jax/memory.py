"""What JAX takes of a machine's memory for a model in the gemma library. Pure arithmetic; 4.0.1.

Sources in google-deepmind/gemma 4.0.1:

- ``gm/nn/_config.py`` ``init_cache``: every layer has keys and values for the whole cache length,
  those with a sliding window, too, in the type of the embedding, and a position for each cell.
- ``gm/text/_sampler_loop.py`` ``_sample_step``: a step takes a state and returns another one, and
  neither is given away: two caches are there at once.
- ``gm/text/_prefill.py``: a prompt is computed in one piece, padded to one of a few lengths, in a
  cache of its own of that length, which is then copied into a new cache.
- ``gm/nn/_modules.py`` ``Attention``: all scores of a layer at once, without a fused kernel.

XLA's own figures (``compiled.memory_analysis()`` on a CPU) show what a computation takes besides:
for 16-bit and integer weights copies of all of them in single precision, made at once, since its
matrix products have no 16-bit form on a CPU. On GPUs and TPUs nothing was measured; the formula
leaves these copies out there. ``tests/test_memory.py`` holds it against XLA's figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gemmahub_jax.shapes import ModelShape

SHORTEST_PROMPT: Final = 64
"""Tokens to which the shortest prompts are padded."""
_SINGLE: Final = 4  # bytes of a number in single precision
_ITEMS: Final = {"F32": 4, "BF16": 2, "F16": 2}
_HIDDEN_COPIES: Final = 4  # of the hidden state in single precision: residual, norm, and their sums
_GATES: Final = 4  # both gates, their product, and one of them in single precision
_MASKS: Final = 2  # a byte for each token and cell: what came before, and the window


@dataclass(frozen=True, slots=True)
class JaxMemory:
    """Bytes by part, when the context is full.

    ``kv_cache_bytes`` is one cache; ``compute_bytes`` the second one and what a computation takes;
    ``output_bytes`` the logits of a token.
    """

    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    output_bytes: int
    cells: int


def prompt_lengths(context: int) -> tuple[int, ...]:
    """The lengths to which prompts are padded: 64, 128, ... and the context."""
    found, length = [], SHORTEST_PROMPT
    while length < context:
        found.append(length)
        length *= 2
    return (*found, context)


def plan(shape: ModelShape, context: int, *, host: bool) -> JaxMemory:
    """The memory for prompts and answers that fill a context of so many tokens; ``host``: on a CPU.

    The peak is that of the longest prompt or of a step, whichever takes more; loading a checkpoint
    with a vision tower holds that for a moment, too.
    """
    cells = context + 1
    cache = cache_bytes(shape, cells)
    own = cache_bytes(shape, context)  # of the prompt, before and after
    prompt = max(
        2 * own + computation_bytes(shape, context, context, host=host),
        2 * own + cache,
    )
    step = cache + computation_bytes(shape, 1, cells, host=host)
    output = shape.vocabulary * (item_bytes(shape) + _SINGLE)
    compute = max(prompt, step, shape.left_out_bytes - cache)
    return JaxMemory(shape.weights_bytes, cache, compute, output, cells)


def cache_bytes(shape: ModelShape, cells: int) -> int:
    """Keys, values and positions of all layers; the library's ``init_cache``, to the byte."""
    numbers = 2 * shape.kv_heads * shape.head * cells
    return shape.layers * (numbers * item_bytes(shape) + 4 * cells + 4)


def computation_bytes(shape: ModelShape, tokens: int, cells: int, *, host: bool) -> int:
    """What a computation of so many tokens takes besides weights, caches and results."""
    item = item_bytes(shape)
    hidden = tokens * shape.width * _SINGLE * _HIDDEN_COPIES
    keys = 2 * cells * shape.kv_heads * shape.head * _SINGLE if host else 0
    scores = shape.heads * tokens * cells * (item + _SINGLE)
    masks = _MASKS * tokens * cells
    gates = _GATES * tokens * shape.feed_forward * item
    return max(_copies(shape) if host else 0, scores + masks, gates) + hidden + keys


def item_bytes(shape: ModelShape) -> int:
    """Bytes of a number that the model computes with."""
    return _ITEMS[shape.dtype]


def _copies(shape: ModelShape) -> int:
    """All weights in single precision; of those that are, the ones that are turned round."""
    return shape.parameters * _SINGLE
