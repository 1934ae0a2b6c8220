"""How fast a model would answer: bytes over the bandwidth that is reached, and a fixed time.

Decoding a token reads every weight once (of a mixture of experts the chosen ones), and the keys and
values of all positions before it. Places are read one after the other, so their times add up; a
fixed time for each token and each change of place is added. Embedding tables are looked up, not
read. The figures are in :mod:`~gemmahub.recommend.speed_figures`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from statistics import median
from typing import TYPE_CHECKING, Final

from gemmahub.memory.kv_cache import cache_cells
from gemmahub.memory.weight_sums import HOST
from gemmahub.memory.weights import layer_devices
from gemmahub.recommend.speed_figures import (
    HOP,
    OVERHEAD,
    PLACES,
    SLOWEST_SWEEP,
    SLOWEST_SYSTEM,
    UNKNOWN_PLACE,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.memory import DeviceMemory, MachineMemory, MemoryArchitecture, MemoryPlan, Weights
    from gemmahub.recommend.speed_figures import ModelKind, PlaceFigures

FILLED: Final = 4096
"""Positions in the cache for which the speed is estimated, where nothing else is said."""

MEASURED_DOUBT: Final = 0.25
"""Error of an estimate that was scaled by this machine's own measurements. An ESTIMATE."""

ALIKE: Final = 4
"""How many times larger or smaller a model may be for its measured speed to tell of another's."""


@dataclass(frozen=True, slots=True)
class Bandwidths:
    """Bytes a second of each accelerator in the plan's order and of host memory; None: unknown.
    The sources say where the figures are from: of the first accelerator, and of the host."""

    devices: tuple[int | None, ...]
    host: int | None
    source: str = "the memory's bandwidth"
    host_source: str = "the system memory's bandwidth"

    def at_worst(self, machine: MachineMemory) -> Bandwidths:
        """The same, with the slowest that is possible where one is not known."""
        host = self.host or SLOWEST_SYSTEM
        devices = tuple(
            rate
            or (host if device.unified else int(device.capacity_bytes / SLOWEST_SWEEP))
            or SLOWEST_SYSTEM
            for device, rate in zip(machine.devices, self.devices, strict=True)
        )
        return replace(self, devices=devices, host=host)


@dataclass(frozen=True, slots=True)
class Speed:
    """Decode speed in tokens a second, with its band, and where it comes from."""

    low: float
    likely: float
    high: float
    basis: str


@dataclass(frozen=True, slots=True)
class MemoryTraffic:
    """What one token costs: bytes that are read on each accelerator and on the host, the layers
    that are computed on each accelerator as a share of all, and changes of place (``hops``).
    ``interfaces`` are the accelerators' keys in ``speed_figures.PLACES``; ``copied`` the bytes of
    layers in system memory that go to an accelerator for each step of a prompt."""

    devices: tuple[int, ...]
    host: int
    kind: ModelKind
    interfaces: tuple[str, ...]
    layers: tuple[float, ...]
    hops: int
    copied: int

    @property
    def bytes(self) -> int:
        """All places together."""
        return sum(self.devices) + self.host

    def speed(self, bandwidths: Bandwidths) -> Speed:
        """The speed with these bandwidths, and what its band rests on: the place that takes the
        most of the time. All 0 where the bandwidth of a place in use is unknown."""
        times = self._times(bandwidths)
        low = sum(seconds / figures.low for seconds, figures in times)
        likely = sum(seconds for seconds, _ in times)
        high = sum(seconds / figures.high for seconds, figures in times)
        most = max(times, key=lambda time: time[0])[1]
        return Speed(1 / low, 1 / likely, 1 / high, most.evidence)

    def _times(self, bandwidths: Bandwidths) -> list[tuple[float, PlaceFigures]]:
        """Seconds of each place, infinite where its bandwidth is unknown, and of the hops."""
        rates = (*bandwidths.devices, bandwidths.host)
        places = [PLACES.get(name, UNKNOWN_PLACE) for name in (*self.interfaces, "cpu")]
        found = []
        for read, rate, share, figures in zip(
            (*self.devices, self.host), rates, (*self.layers, 0.0), places, strict=True
        ):
            seconds = read / (rate * figures.share) if rate else inf if read else 0.0
            found.append((seconds + share * OVERHEAD[self.kind] * figures.overhead, figures))
        # A model of no bytes takes some time, too.
        return [*found, (max(self.hops * HOP, 1e-9), places[0])]


def traffic_of(
    architecture: MemoryArchitecture,
    weights: Weights,
    plan: MemoryPlan,
    machine: MachineMemory,
    filled: int = FILLED,
) -> MemoryTraffic:
    """What a token costs with ``filled`` positions in the cache, or as many as there are."""
    layers = len(architecture.layers)
    shares = plan.settings.shares([d.free_bytes for d in machine.devices])
    placement = layer_devices(layers, plan.gpu_layers, shares)
    kept = plan.settings.experts_in_memory
    expert_places = [HOST if n < kept else device for n, device in enumerate(placement[:-1])]
    sums = [0] * (len(machine.devices) + 1)  # the host's is the last, which HOST = -1 names
    held = [0] * len(sums)
    chosen = architecture.experts_used / architecture.experts if architecture.experts else 1.0
    for device, place, whole, experts in zip(
        placement, expert_places, weights.layers, weights.experts, strict=False
    ):
        sums[device] += whole - experts
        sums[place] += int(chosen * experts)
        held[device] += whole - experts
        held[place] += experts
    sums[placement[-1]] += weights.output_layer
    cache = _cache_read(architecture, plan, min(filled, plan.settings.context))
    found = [weight + read for weight, read in zip(sums, cache, strict=True)]
    return MemoryTraffic(
        devices=tuple(found[:HOST]),
        host=found[HOST],
        kind=_kind(architecture),
        interfaces=tuple(_interface(device) for device in machine.devices),
        layers=tuple(placement.count(i) / len(placement) for i in range(len(machine.devices))),
        hops=_hops(placement, expert_places, apart=plan.settings.cache_in_memory),
        copied=held[HOST] if plan.gpu_layers else 0,
    )


def _kind(architecture: MemoryArchitecture) -> ModelKind:
    if architecture.experts:
        return "mixture"
    return "per-layer embeddings" if architecture.per_layer_embedding_length else "dense"


def _interface(device: DeviceMemory) -> str:
    unified = device.unified or device.kind == "metal"
    return f"{device.kind} unified" if unified else device.kind


def _hops(placement: Sequence[int], expert_places: Iterable[int], *, apart: bool) -> int:
    """How often the next layer is at another place, and how often a layer's experts are, or with
    the cache ``apart`` on the host its attention: there and back."""
    *layers, _ = placement
    between = sum(one != other for one, other in pairwise(placement))
    experts = sum(one != other for one, other in zip(layers, expert_places, strict=True))
    return between + 2 * experts + 2 * apart * (len(layers) - layers.count(HOST))


def _cache_read(architecture: MemoryArchitecture, plan: MemoryPlan, filled: int) -> list[int]:
    """Bytes of the cache by place, the host's last."""
    cells = cache_cells(architecture, plan.settings)
    window = min(filled, architecture.sliding_window or filled)
    read = 0.0
    if cells.global_:
        read += plan.kv_cache.global_bytes * filled / (cells.global_ * cells.streams)
    if cells.window:
        read += plan.kv_cache.window_bytes * window / (cells.window * cells.streams)
    whole = plan.kv_cache.bytes or 1
    return [int(read * place.kv_cache_bytes / whole) for place in plan.places]


@dataclass(frozen=True, slots=True)
class SeenSpeed:
    """Decode speed that was measured here, in tokens a second: the positions in the cache with the
    speed at each, in order; one of ``FILLED`` where nobody counted them. ``basis`` says by what."""

    points: tuple[tuple[int, float], ...]
    basis: str = "measured on this machine"

    def at(self, filled: int) -> float:
        """The speed with so many positions filled: seconds between two depths lie on a line, and
        beyond the ends they are taken for those of the ends."""
        before = max((p for p in self.points if p[0] <= filled), default=self.points[0])
        after = min((p for p in self.points if p[0] >= filled), default=self.points[-1])
        if before[0] >= after[0]:
            return before[1] if before[0] <= filled else after[1]
        share = (filled - before[0]) / (after[0] - before[0])
        return 1 / ((1 - share) / before[1] + share / after[1])

    @property
    def nearest(self) -> tuple[int, float]:
        """The depth nearest to ``FILLED``, with its speed."""
        return min(self.points, key=lambda point: abs(point[0] - FILLED))


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a measurement showed: bytes read for a token, and how many times as fast it was as the
    likely estimate."""

    bytes: int
    ratio: float


def reached(traffic: MemoryTraffic, measured: Sequence[Measurement]) -> float | None:
    """How many times as fast as estimated this machine was with models of about that size.

    Those that read less than a ``1 / ALIKE`` of the bytes say nothing; nor do those that read so
    many times more.
    """
    ratios = [
        m.ratio for m in measured if traffic.bytes / ALIKE <= m.bytes <= traffic.bytes * ALIKE
    ]
    return median(ratios) if ratios else None


def estimate(traffic: MemoryTraffic, bandwidths: Bandwidths, reached: float | None) -> Speed | None:
    """The speed with these bandwidths, None where one is unknown; ``reached`` is that of
    :func:`reached`, None if nothing alike was measured here."""
    found = traffic.speed(bandwidths)
    if not found.likely:
        return None
    places = any(traffic.devices), bool(traffic.host)
    named = zip(places, (bandwidths.source, bandwidths.host_source), strict=True)
    source = " and ".join(text for used, text in named if used)
    if reached is None:
        return replace(found, basis=f"estimate from {source}; {found.basis}")
    likely = reached * found.likely
    basis = f"estimate from {source}, scaled by this machine's own measurements"
    return Speed(likely * (1 - MEASURED_DOUBT), likely, likely * (1 + MEASURED_DOUBT), basis)
