"""What gemma.cpp takes of a machine's memory, by formula. Nothing of it was measured.

Sources, google/gemma.cpp@e76e29ce (September 2025): gemma/kv_cache.cc and gemma/activations.h. The
cache has a row for each token with keys and values of all layers, in single precision, and windows
take no less. Later versions store it in BF16, once as it is computed and once for the attention:
as many bytes (gemma/kv_cache.cc@0224dcbd). Rows are padded to an odd number of cache lines, which
is not counted. Weights are mapped or read as they are stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gemmahub_gemmacpp.config import ModelConfig

F32: Final = 4
BF16: Final = 2
DEFAULT_CONTEXT: Final = 8192
"""``InferenceArgs.seq_len``."""
MOST_BATCH: Final = 512
"""``MMStorage::kMaxM``: the most tokens of a step."""


@dataclass(frozen=True, slots=True)
class GemmaCppMemory:
    """Bytes by part for a context of so many tokens."""

    context: int
    weights_bytes: int
    kv_global_bytes: int
    kv_window_bytes: int
    compute_bytes: int
    output_bytes: int


def context_of(config: ModelConfig, wanted: int | None) -> int:
    """The context that the program gives: at most what the model was trained for."""
    return min(wanted or DEFAULT_CONTEXT, config.max_seq_len or DEFAULT_CONTEXT)


def plan(config: ModelConfig, weights_bytes: int, context: int, batch: int) -> GemmaCppMemory:
    """The memory for ``context`` tokens, of which ``batch`` are read in one step."""
    batch = min(batch, MOST_BATCH)
    widths = {True: 0, False: 0}
    for layer in config.layers:
        widths[0 < layer.window < config.max_seq_len] += layer.cache_width
    return GemmaCppMemory(
        context,
        weights_bytes,
        kv_global_bytes=context * widths[False] * F32,
        kv_window_bytes=context * widths[True] * F32,
        compute_bytes=batch * _row_bytes(config, context),
        output_bytes=batch * config.vocab_size * F32,
    )


def _row_bytes(config: ModelConfig, context: int) -> int:
    """Of one token in a step, without the logits: the members of ``Activations`` and
    ``AttentionActivations``, which are sized by the first layer."""
    if not config.layers:
        return 0
    first, dim = config.layers[0], config.model_dim
    heads = first.heads * first.qkv_dim
    in_full = 2 * dim + 2 * first.ff_hidden_dim + 2 * heads + first.heads * context
    in_half = 3 * dim
    return in_full * F32 + in_half * BF16
