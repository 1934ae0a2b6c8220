"""How long reading a prompt takes: bound by arithmetic, as decoding is by memory.

Each token costs two operations a weight that it meets, and attention four for each query number and
position before it (of a sliding window, as many as that has). Layers that lie in system memory are
copied to an accelerator for each step (``ggml_backend_cuda_device_offload_op``); without one the
processor computes. The figures are in :mod:`~gemmahub.recommend.speed_figures`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gemmahub.recommend.speed_figures import (
    ATTENTION,
    COPY_HIGH,
    COPY_LOW,
    COPY_RATE,
    MIXTURE_PROMPTS,
    OVERHEAD,
    PLACES,
    PROMPTS,
    UNKNOWN_PLACE,
    UNKNOWN_PROMPTS,
)

if TYPE_CHECKING:
    from gemmahub.memory import MemoryArchitecture, MemoryPlan
    from gemmahub.memory.architecture import LayerShape
    from gemmahub.recommend.speed import Bandwidths, MemoryTraffic

SHORT: Final = 1000
"""Tokens of a prompt that people think of: a page or two."""


@dataclass(frozen=True, slots=True)
class OperationRates:
    """FP32 operations a second of each accelerator in the plan's order, and of the processor; None
    (or no entry): unknown, so it is estimated from the memory's bandwidth."""

    devices: tuple[int | None, ...] = ()
    host: int | None = None


UNKNOWN_RATES: Final = OperationRates()


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds until the first token of an answer, with its band."""

    low: float
    likely: float
    high: float


def wait_for(
    tokens: int,
    architecture: MemoryArchitecture,
    plan: MemoryPlan,
    traffic: MemoryTraffic,
    bandwidths: Bandwidths,
    compute: OperationRates,
) -> Wait | None:
    """How long reading ``tokens`` takes with a plan, until the first token of the answer.

    None where neither the rate of a place that computes nor its bandwidth is known.
    """
    weights, attention = prompt_operations(architecture, tokens)
    steps = -(-tokens // plan.settings.tokens_a_step)
    copied = steps * traffic.copied / COPY_RATE
    fast, likely, slow = copied / COPY_HIGH, copied, copied / COPY_LOW
    for name, part, rate, bandwidth in _places(traffic, bandwidths, compute):
        figures = PROMPTS.get(name, UNKNOWN_PROMPTS)
        overhead = OVERHEAD[traffic.kind] * PLACES.get(name, UNKNOWN_PLACE).overhead
        # Attention is computed where the cache lies.
        at_cache = (name == "cpu") if plan.settings.cache_in_memory else part
        work = part * weights + at_cache * attention
        if not work:
            continue
        operations = (rate or (bandwidth or 0) * figures.per_byte) * figures.share
        if not operations:
            return None
        seconds = work / operations + part * steps * overhead
        likely += seconds
        fast += seconds / figures.high
        slow += seconds / figures.low
    return Wait(fast, likely, slow)


def _places(
    traffic: MemoryTraffic, bandwidths: Bandwidths, compute: OperationRates
) -> list[tuple[str, float, int | None, int | None]]:
    """Interface, share of the layers, operations and bandwidth of each place, the host's last,
    which computes layers where no accelerator has any."""
    whole = sum(traffic.layers)
    known = compute.devices or (None,) * len(traffic.layers)
    parts = [part / (whole or 1.0) for part in traffic.layers]
    return [
        *zip(traffic.interfaces, parts, known, bandwidths.devices, strict=True),
        ("cpu", 0.0 if whole else 1.0, compute.host, bandwidths.host),
    ]


@lru_cache(maxsize=256)
def prompt_operations(architecture: MemoryArchitecture, tokens: int) -> tuple[float, float]:
    """Operations that reading ``tokens`` takes, with weights and for attention, in such as a dense
    layer's: those of attention and of mixtures are slower, so they count for more."""
    counts = Counter(architecture.layers)
    width, extra = architecture.embedding_length, architecture.per_layer_embedding_length
    weights = sum(count * _weights(architecture, layer) for layer, count in counts.items())
    weights += extra * width * len(architecture.layers)  # makes the embeddings of all layers
    if architecture.experts:
        weights = round(weights / MIXTURE_PROMPTS)
    attention = 0.0
    for layer, count in counts.items():
        window = architecture.sliding_window if layer.attention == "window" else 0
        numbers = layer.query_width + layer.heads * layer.value_length
        attention += count * numbers * _positions(tokens, window or tokens)
    return 2.0 * tokens * weights, 2 * attention / ATTENTION


def _weights(architecture: MemoryArchitecture, layer: LayerShape) -> int:
    """How many weights of a layer a token meets, in matrices."""
    numbers = layer.query_width + layer.heads * layer.value_length + 3 * layer.feed_forward_length
    if layer.owns_cache:
        numbers += layer.key_width + (layer.value_width if layer.has_value_weights else 0)
    numbers += 3 * architecture.experts_used * architecture.expert_feed_forward_length
    numbers += 2 * architecture.per_layer_embedding_length
    return architecture.embedding_length * numbers


def _positions(tokens: int, window: int) -> float:
    """The positions that all tokens look at together: one, two ... and ``window`` at most."""
    full = min(tokens, window)
    return full * (full + 1) / 2 + (tokens - full) * full
