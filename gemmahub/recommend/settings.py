"""The settings that suit a candidate best on a machine: context, cache type, offload."""

from __future__ import annotations

from dataclasses import replace
from math import log2
from typing import TYPE_CHECKING, Final

from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.memory import MemorySettings, layers_that_fit, plan_memory
from gemmahub.recommend.goals import LEAST_CONTEXT, RESERVE
from gemmahub.recommend.prompt import SHORT, wait_for
from gemmahub.recommend.quality import quality_of
from gemmahub.recommend.records import ScoredPlan
from gemmahub.recommend.speed import Speed, estimate, reached, traffic_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.memory import ImageMemory, MachineMemory, MemoryPlan
    from gemmahub.recommend.goals import Goal, Requirements
    from gemmahub.recommend.records import Candidate, DevicePlace
    from gemmahub.recommend.speed import Measurement


def with_reserve(machine: MachineMemory) -> MachineMemory:
    """The machine without the memory that a recommended plan leaves free."""
    devices = tuple(
        replace(device, free_bytes=max(0, device.free_bytes - RESERVE))
        for device in machine.devices
    )
    return replace(
        machine, devices=devices, host_free_bytes=max(0, machine.host_free_bytes - RESERVE)
    )


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

    def least(self, candidate: Candidate) -> MemorySettings:
        """The settings that take the least memory of those that are tried."""
        cache = USUAL_CACHE_TYPES[-1]
        return MemorySettings(self.contexts(candidate)[-1], cache, cache)

    def shortage(self, candidate: Candidate) -> int:
        """Bytes by which the least settings are too large for this machine."""
        return -self.plan(candidate, self.least(candidate), self.room).headroom_bytes

    def on_accelerators(self, candidate: Candidate) -> ScoredPlan | None:
        """All layers on accelerators, or on the host where there are none."""
        return self._best(candidate, None)

    def offloaded(self, candidate: Candidate) -> ScoredPlan | None:
        """As many layers on accelerators as have room; with none, all on the host."""
        layers = layers_that_fit(
            candidate.architecture, candidate.weights, self.least(candidate), self.room
        )
        # Fewer layers leave room for the cache of those that stay.
        for count in dict.fromkeys((layers, layers * 3 // 4, layers // 2, 0)):
            found = self._best(candidate, count)
            if found is not None:
                return found
        return None

    def _best(self, candidate: Candidate, gpu_layers: int | None) -> ScoredPlan | None:
        if candidate.weights.bytes > self._all_room():
            return None
        plans = self._plans(candidate, gpu_layers)
        return max((self._weighed(candidate, plan) for plan in plans), key=_points, default=None)

    def _all_room(self) -> int:
        return self.room.host_free_bytes + sum(d.free_bytes for d in self.room.devices)

    def _plans(self, candidate: Candidate, gpu_layers: int | None) -> Iterator[MemoryPlan]:
        """For each cache type the plan with the largest context that fits."""
        longest = 0
        for cache in USUAL_CACHE_TYPES:
            for context in self.contexts(candidate):
                if context <= longest:  # a better cache already reaches it
                    break
                settings = MemorySettings(context, cache, cache, gpu_layers=gpu_layers)
                if self.plan(candidate, settings, self.room).fits:
                    longest = context
                    yield self.plan(candidate, settings, self.machine)
                    break

    def _weighed(self, candidate: Candidate, plan: MemoryPlan) -> ScoredPlan:
        quality = quality_of(candidate.model, candidate.label, candidate.training)
        traffic = traffic_of(candidate.architecture, candidate.weights, plan, self.machine)
        speed = estimate(traffic, self.bandwidths, reached(traffic, self.measurements))
        if candidate.measured:
            measured = candidate.measured
            speed = Speed(measured, measured, measured, "measured on this machine")
        # A speed that is not known counts as the slowest that is possible.
        rate = speed.likely if speed else traffic.speed(self.worst).low
        points = quality.points(plan.settings.cache_type_k) - _penalty(
            plan.settings.context, rate, self.wanted.goal
        )
        if candidate.model is not None and not candidate.model.instruction_tuned:
            points -= BASE_MODEL_POINTS
        waits = (
            wait_for(tokens, candidate.architecture, plan, traffic, self.bandwidths, self.compute)
            for tokens in (SHORT, plan.settings.context)
        )
        return ScoredPlan(candidate, plan, quality, speed, traffic, points, *waits)


BASE_MODEL_POINTS: Final = 30.0
"""What a base model costs: it continues a text, and was not trained to answer. A judgement."""


def _points(plan: ScoredPlan) -> float:
    return plan.points


def _penalty(context: int, rate: float, goal: Goal) -> float:
    """Points for less context and fewer tokens a second than wanted."""
    points = goal.context_points * max(0.0, log2(goal.context / context))
    return points + goal.speed_points * max(0.0, log2(goal.speed / rate)) ** 2
