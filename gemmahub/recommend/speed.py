"""How fast a model would answer: a roofline of memory bandwidth.

Decoding a token reads every weight once (of a mixture of experts the chosen ones), and the keys and
values of all positions before it. So a place needs at least bytes / bandwidth seconds for a token,
and real engines reach a share of that bandwidth. Embedding tables are looked up, not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from gemmahub.memory.kv_cache import cache_cells
from gemmahub.memory.weights import HOST, layer_devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory import MachineMemory, MemoryArchitecture, MemoryPlan, Weights

FILLED: Final = 4096
"""Positions in the cache for which the speed is estimated."""

BAND: Final = (0.30, 0.55, 0.80)
"""Shares of the peak bandwidth that llama.cpp reaches when it decodes: low, likely, high.

M1 Max (400 GB/s), 27B: 58 % with IQ4_NL, 55 % with Q4_1, 44 % with Q3_K_M, and 29 % reported for
an M4 Max with Q4_K_XL (ggml-org/llama.cpp#27525). Tesla P40 (346 GB/s by its data sheet), 7B Q4_0
of 3.56 GiB at 56.8 tokens/s: 63 % (ggml-org/llama.cpp#4766). Gemma 3 270M on two CPU cores: 45 %
of the copy rate (benchmarks/README.md, decode.py).
"""

MEASURED_DOUBT: Final = 0.25
"""Error of an estimate that was scaled by this machine's own measurements. An ESTIMATE."""


ALIKE: Final = 4
"""How many times larger or smaller a model may be for its measured speed to tell of another's."""


@dataclass(frozen=True, slots=True)
class Bandwidths:
    """Bytes a second of each accelerator in the plan's order and of host memory; None: unknown.
    ``source`` says where the figure is from."""

    devices: tuple[int | None, ...]
    host: int | None
    source: str = "the memory's bandwidth"


@dataclass(frozen=True, slots=True)
class Speed:
    """Decode speed in tokens a second, with its band, and where it comes from."""

    low: float
    likely: float
    high: float
    basis: str


def speed_json(speed: Speed | None) -> dict[str, float | None]:
    """The keys of a speed in ``recommend`` and ``compare``."""
    low, likely, high = (speed.low, speed.likely, speed.high) if speed else (None, None, None)
    found = {"": likely, "_low": low, "_high": high}
    return {
        f"tokens_per_second{end}": None if rate is None else round(rate, 2)
        for end, rate in found.items()
    }


@dataclass(frozen=True, slots=True)
class MemoryTraffic:
    """Bytes that are read for one token, on each accelerator and on the host."""

    devices: tuple[int, ...]
    host: int

    @property
    def bytes(self) -> int:
        """All places together."""
        return sum(self.devices) + self.host

    def seconds(self, bandwidths: Bandwidths) -> float | None:
        """The least time for a token; None where the bandwidth of a place in use is unknown."""
        total = 0.0
        rates = (*bandwidths.devices, bandwidths.host)
        for read, rate in zip((*self.devices, self.host), rates, strict=True):
            if read and not rate:
                return None
            total += read / rate if rate else 0.0
        return total


def traffic_of(
    architecture: MemoryArchitecture, weights: Weights, plan: MemoryPlan, machine: MachineMemory
) -> MemoryTraffic:
    """What a token reads, with ``FILLED`` positions in the cache or as many as there are."""
    layers = len(architecture.layers)
    placement = layer_devices(layers, plan.gpu_layers, [d.free_bytes for d in machine.devices])
    sums = [0] * (len(machine.devices) + 1)  # the host's is the last, which HOST = -1 names
    idle = 1 - architecture.experts_used / architecture.experts if architecture.experts else 0.0
    for layer, device in enumerate(placement[:-1]):
        sums[device] += weights.layers[layer] - int(idle * weights.experts[layer])
    sums[placement[-1]] += weights.output_layer
    return _with_cache(architecture, plan, sums)


def _with_cache(
    architecture: MemoryArchitecture, plan: MemoryPlan, sums: Sequence[int]
) -> MemoryTraffic:
    cells = cache_cells(architecture, plan.settings)
    filled = min(FILLED, plan.settings.context)
    window = min(filled, architecture.sliding_window or filled)
    read = 0.0
    if cells.global_:
        read += plan.kv_cache.global_bytes * filled / (cells.global_ * cells.streams)
    if cells.window:
        read += plan.kv_cache.window_bytes * window / (cells.window * cells.streams)
    whole = plan.kv_cache.bytes or 1
    shares = [int(read * place.kv_cache_bytes / whole) for place in plan.places]
    found = [weight + cache for weight, cache in zip(sums, shares, strict=True)]
    return MemoryTraffic(tuple(found[:HOST]), found[HOST])


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a measurement showed: bytes read for a token, and the share of the bandwidth reached."""

    bytes: int
    share: float


def reached(traffic: MemoryTraffic, measured: Sequence[Measurement]) -> float | None:
    """The share of the bandwidth that this machine reached with models of about that size.

    Small models spend more of their time on other things than reading, so those that read less
    than a ``1 / ALIKE`` of the bytes say nothing; nor do those that read so many times more.
    """
    shares = [
        m.share for m in measured if traffic.bytes / ALIKE <= m.bytes <= traffic.bytes * ALIKE
    ]
    return median(shares) if shares else None


def estimate(traffic: MemoryTraffic, bandwidths: Bandwidths, reached: float | None) -> Speed | None:
    """The speed by roofline; ``reached`` is the share of the bandwidth that this machine reached
    when it was measured, None if it never was."""
    seconds = traffic.seconds(bandwidths)
    if not seconds:
        return None
    if reached is not None:
        likely = reached / seconds
        basis = f"estimate from {bandwidths.source}, scaled by this machine's own measurements"
        return Speed(likely * (1 - MEASURED_DOUBT), likely, likely * (1 + MEASURED_DOUBT), basis)
    low, likely, high = (share / seconds for share in BAND)
    basis = f"estimate: {BAND[0]:.0%} to {BAND[2]:.0%} of {bandwidths.source}"
    return Speed(low, likely, high, basis)
