"""The settings that suit a candidate best on a machine: context, cache type, offload."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.memory import MemorySettings, experts_that_stay, layers_that_fit, plan_memory
from gemmahub.recommend.goals import LEAST_CONTEXT, RESERVE, RESERVE_WITHOUT_GPU
from gemmahub.recommend.prompt import SHORT, wait_for
from gemmahub.recommend.quality import quality_of
from gemmahub.recommend.records import ScoredPlan
from gemmahub.recommend.score import score_of
from gemmahub.recommend.speed import FILLED, Speed, estimate, reached, traffic_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gemmahub.memory import ImageMemory, MachineMemory, MemoryPlan
    from gemmahub.recommend.goals import Requirements
    from gemmahub.recommend.quality import Quality
    from gemmahub.recommend.records import Candidate, DevicePlace, Worth
    from gemmahub.recommend.speed import Measurement, MemoryTraffic


def with_reserve(machine: MachineMemory) -> MachineMemory:
    """The machine without the memory that a recommended plan leaves free."""
    kept = host_reserve(machine)
    devices = tuple(
        replace(device, free_bytes=max(0, device.free_bytes - RESERVE))
        for device in machine.devices
    )
    return replace(machine, devices=devices, host_free_bytes=max(0, machine.host_free_bytes - kept))


def host_reserve(machine: MachineMemory) -> int:
    """Bytes of system memory that a recommended plan leaves free."""
    return RESERVE if machine.devices else RESERVE_WITHOUT_GPU


class Chooser:
    """Finds settings for candidates in one place. ``room`` is the machine without the reserve,
    ``disk`` the bytes that are free for new files, None where that is not known."""

    def __init__(self, place: DevicePlace, wanted: Requirements, disk: int | None = None) -> None:
        self.place = place
        self.disk = disk
        self.machine = place.machine
        self.room = with_reserve(place.machine)
        self.wanted = wanted
        self.bandwidths = place.bandwidths
        self.compute = place.compute
        self.worst = place.bandwidths.at_worst(place.machine)
        self.measurements: tuple[Measurement, ...] = ()
        self._qualities: dict[str, Quality] = {}

    def plan(
        self, candidate: Candidate, settings: MemorySettings, room: MachineMemory
    ) -> MemoryPlan:
        """The plan of a candidate."""
        return plan_memory(
            candidate.architecture,
            candidate.weights,
            settings,
            room,
            images=self.images(candidate),
        )

    def traffic(self, candidate: Candidate, plan: MemoryPlan, filled: int) -> MemoryTraffic:
        """What a token costs with so many positions in the cache."""
        return traffic_of(candidate.architecture, candidate.weights, plan, self.machine, filled)

    def images(self, candidate: Candidate) -> ImageMemory | None:
        """What images take, where the use is for them."""
        return candidate.images if self.wanted.goal.image else None

    def contexts(self, candidate: Candidate) -> list[int]:
        """What is tried, the wanted context first; a demanded one alone."""
        if self.wanted.context is not None:
            return [self.wanted.context]
        trained = candidate.architecture.context_length or LEAST_CONTEXT
        most = min(trained, self.wanted.goal.context)
        found = []
        while most > LEAST_CONTEXT:
            found.append(most)
            most //= 2
        return [*found, min(trained, LEAST_CONTEXT)]

    def quality(self, candidate: Candidate) -> Quality:
        """What the candidate can do at its precision."""
        if candidate.reference not in self._qualities:
            found = quality_of(
                candidate.model, candidate.label, candidate.training, measured=candidate.loss
            )
            self._qualities[candidate.reference] = found
        return self._qualities[candidate.reference]

    def most_points(
        self, candidate: Candidate, context: int | None = None, cache: str = USUAL_CACHE_TYPES[0]
    ) -> float:
        """What it is worth with such a cache at the highest speed that is possible here, with all
        of the context unless another is given."""
        return score_of(
            candidate,
            self.quality(candidate),
            cache_type=cache,
            context=context or self.contexts(candidate)[0],
            rate=self._fastest(candidate),
            reading=None,
            goal=self.wanted.goal,
        ).total

    def _fastest(self, candidate: Candidate) -> float:
        """Tokens a second that nothing exceeds: what accelerators have no room for is read from
        system memory, at its bandwidth."""
        weights, architecture = candidate.weights, candidate.architecture
        rate = self.bandwidths.host
        known = self.measurements or candidate.measured  # they may exceed any estimate
        apart = sum(weights.layers) - sum(device.free_bytes for device in self.machine.devices)
        if known or not rate or apart <= 0:
            return inf
        used = architecture.experts_used / architecture.experts if architecture.experts else 1.0
        return rate / (apart * used)

    def has_all(self, plan: ScoredPlan) -> bool:
        """Whether a plan has the wanted context and a cache that loses nothing."""
        wanted = self.contexts(plan.candidate)[0], USUAL_CACHE_TYPES[0]
        return (plan.settings.context, plan.settings.cache_type_k) == wanted

    def least(self, candidate: Candidate) -> MemorySettings:
        """The settings that take the least memory of those that are tried."""
        cache = USUAL_CACHE_TYPES[-1]
        return MemorySettings(self.contexts(candidate)[-1], cache, cache)

    def shortage(self, candidate: Candidate) -> int:
        """Bytes by which the least settings are too large for this machine."""
        return -self.plan(candidate, self.least(candidate), self.room).headroom_bytes

    def on_accelerators(self, candidate: Candidate) -> ScoredPlan | None:
        """All on accelerators, or on the host where there are none; None where it does not fit."""
        return self._best(candidate, self._whole(candidate))

    def in_parts(self, candidate: Candidate, known: Worth) -> ScoredPlan | None:
        """A part on the accelerators and the rest in system memory: the experts of a mixture, whole
        layers, or the cache, whatever is worth the most; with the wanted context and a smaller
        cache for it, and with the least context. None where nothing that fits is worth more than
        ``known``."""
        best = None
        if candidate.weights.bytes > self._all_room():
            return None
        contexts = self.contexts(candidate)
        usual, smaller = USUAL_CACHE_TYPES[:2]
        tried = dict.fromkeys(((contexts[0], usual), (contexts[0], smaller), (contexts[-1], usual)))
        for context, cache in tried:
            most = self.most_points(candidate, context, cache)
            if (self._storable(candidate), True, most) <= known:
                continue
            for settings in self._placements(candidate, MemorySettings(context, cache, cache)):
                if self.plan(candidate, settings, self.room).fits:
                    plan = self._weighed(candidate, self.plan(candidate, settings, self.machine))
                    if plan.worth > known:
                        best, known = plan, plan.worth
        return best

    def _best(self, candidate: Candidate, plans: Iterable[MemoryPlan]) -> ScoredPlan | None:
        if candidate.weights.bytes > self._all_room():
            return None
        return max((self._weighed(candidate, plan) for plan in plans), key=_worth, default=None)

    def _all_room(self) -> int:
        return self.room.host_free_bytes + sum(d.free_bytes for d in self.room.devices)

    def _whole(self, candidate: Candidate) -> Iterator[MemoryPlan]:
        """For each cache type the plan with the largest context that fits."""
        longest = 0
        for cache in USUAL_CACHE_TYPES:
            for context in self.contexts(candidate):
                if context <= longest:  # a better cache already reaches it
                    break
                settings = MemorySettings(context, cache, cache)
                if self.plan(candidate, settings, self.room).fits:
                    longest = context
                    yield self.plan(candidate, settings, self.machine)
                    break

    def _placements(
        self, candidate: Candidate, settings: MemorySettings
    ) -> Iterator[MemorySettings]:
        """As much on the accelerators as has room, in each way."""
        model = candidate.architecture, candidate.weights, settings, self.room
        images = self.images(candidate)
        if any(candidate.weights.experts):
            kept = experts_that_stay(*model, images=images)
            if kept is not None:
                yield replace(settings, experts_in_memory=kept)
        on_gpu = layers_that_fit(*model, images=images)
        if on_gpu <= len(candidate.architecture.layers):
            yield replace(settings, gpu_layers=on_gpu)
        yield replace(settings, cache_in_memory=True)

    def _weighed(self, candidate: Candidate, plan: MemoryPlan) -> ScoredPlan:
        quality = self.quality(candidate)
        traffic = self.traffic(candidate, plan, FILLED)
        speed = estimate(traffic, self.bandwidths, reached(traffic, self.measurements))
        if candidate.measured:
            measured = candidate.measured.at(min(FILLED, plan.settings.context))
            speed = Speed(measured, measured, measured, candidate.measured.basis)
        # A speed that is not known counts as the slowest that is possible.
        rate = speed.likely if speed else traffic.speed(self.worst).low
        first, whole = (
            wait_for(tokens, candidate.architecture, plan, traffic, self.bandwidths, self.compute)
            for tokens in (SHORT, plan.settings.context)
        )
        score = score_of(
            candidate,
            quality,
            cache_type=plan.settings.cache_type_k,
            context=plan.settings.context,
            rate=rate,
            reading=whole,
            goal=self.wanted.goal,
        )
        usable = rate >= self.wanted.goal.usable
        return ScoredPlan(
            candidate,
            plan,
            quality,
            speed,
            traffic,
            score,
            usable,
            self._storable(candidate),
            first,
            whole,
        )

    def _storable(self, candidate: Candidate) -> bool:
        known = self.disk is not None and not candidate.installed
        return not known or candidate.weights.bytes <= (self.disk or 0)


def _worth(plan: ScoredPlan) -> Worth:
    return plan.worth
