"""The settings that suit a candidate best on a machine: context, cache type, offload."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.memory import MemorySettings, accelerators_fit, layers_that_fit, plan_memory
from gemmahub.recommend.goals import (
    BASE_MODEL_POINTS,
    LEAST_CONTEXT,
    RESERVE,
    RESERVE_WITHOUT_GPU,
)
from gemmahub.recommend.prompt import SHORT, wait_for
from gemmahub.recommend.quality import quality_of
from gemmahub.recommend.records import ScoredPlan
from gemmahub.recommend.score import score_of
from gemmahub.recommend.speed import Speed, estimate, reached, traffic_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gemmahub.memory import ImageMemory, MachineMemory, MemoryPlan
    from gemmahub.recommend.goals import Requirements
    from gemmahub.recommend.quality import Quality
    from gemmahub.recommend.records import Candidate, DevicePlace
    from gemmahub.recommend.speed import Measurement


def with_reserve(machine: MachineMemory) -> MachineMemory:
    """The machine without the memory that a recommended plan leaves free."""
    host = RESERVE if machine.devices else RESERVE_WITHOUT_GPU
    devices = tuple(
        replace(device, free_bytes=max(0, device.free_bytes - RESERVE))
        for device in machine.devices
    )
    return replace(machine, devices=devices, host_free_bytes=max(0, machine.host_free_bytes - host))


class Chooser:
    """Finds settings for candidates in one place. ``room`` is the machine without the reserve."""

    def __init__(self, place: DevicePlace, wanted: Requirements) -> None:
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
            found = quality_of(candidate.model, candidate.label, candidate.training)
            self._qualities[candidate.reference] = found
        return self._qualities[candidate.reference]

    def most_points(self, candidate: Candidate) -> float:
        """What it is worth with all that is wanted."""
        points = self.quality(candidate).points("f16")
        base = candidate.model is not None and not candidate.model.instruction_tuned
        return points - (BASE_MODEL_POINTS if base else 0.0)

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

    def in_parts(self, candidate: Candidate) -> ScoredPlan | None:
        """A part on the accelerators and the rest in system memory: the experts of a mixture, whole
        layers, or the cache, whatever is worth the most; None where none of it fits."""
        return self._best(candidate, self._parts(candidate)) if self.machine.devices else None

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

    def _parts(self, candidate: Candidate) -> Iterator[MemoryPlan]:
        """As much on the accelerators as has room, in each way; with the wanted context and a
        smaller cache for it, and with the least context."""
        contexts = self.contexts(candidate)
        found: dict[MemorySettings, None] = {}
        for context, cache in ((contexts[0], 0), (contexts[0], 1), (contexts[-1], 0)):
            name = USUAL_CACHE_TYPES[cache]
            for settings in self._placements(candidate, MemorySettings(context, name, name)):
                found[settings] = None
        for settings in found:
            if self.plan(candidate, settings, self.room).fits:
                yield self.plan(candidate, settings, self.machine)

    def _placements(
        self, candidate: Candidate, settings: MemorySettings
    ) -> Iterator[MemorySettings]:
        layers = len(candidate.architecture.layers)
        if any(candidate.weights.experts):
            kept = self._fewest(candidate, settings, layers)
            if kept is not None:
                yield replace(settings, experts_in_memory=kept)
        on_gpu = layers_that_fit(
            candidate.architecture,
            candidate.weights,
            settings,
            self.room,
            images=self.images(candidate),
        )
        if on_gpu <= layers:
            yield replace(settings, gpu_layers=on_gpu)
        yield replace(settings, cache_in_memory=True)

    def _fewest(self, candidate: Candidate, settings: MemorySettings, layers: int) -> int | None:
        """The fewest layers whose experts have to stay in system memory so that the accelerators
        have room for the rest; None where they never have."""

        def fits(count: int) -> bool:
            chosen = replace(settings, experts_in_memory=count)
            return accelerators_fit(self.plan(candidate, chosen, self.room))

        if not fits(layers):
            return None
        return bisect_left(range(1, layers), 1, key=fits) + 1

    def _weighed(self, candidate: Candidate, plan: MemoryPlan) -> ScoredPlan:
        quality = self.quality(candidate)
        traffic = traffic_of(candidate.architecture, candidate.weights, plan, self.machine)
        speed = estimate(traffic, self.bandwidths, reached(traffic, self.measurements))
        if candidate.measured:
            measured = candidate.measured
            speed = Speed(measured, measured, measured, "measured on this machine")
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
        return ScoredPlan(candidate, plan, quality, speed, traffic, score, usable, first, whole)


def _worth(plan: ScoredPlan) -> tuple[bool, float]:
    return plan.worth
