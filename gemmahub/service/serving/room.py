"""How much context each of several models gets, so that all of them fit, or each for itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from gemmahub.memory import MemorySettings, layers_that_fit, plan_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gemmahub.memory import ImageMemory, MachineMemory, MemoryModel, MemoryPlan

CONTEXT: Final = 32_768
"""Tokens of context that are tried first: what coding agents begin with."""
LEAST_CONTEXT: Final = 4096
_BATCH: Final = 512


@dataclass(frozen=True, slots=True)
class Wish:
    """How models are to be loaded. ``context`` in tokens for each client at once, None for as much
    as fits up to ``CONTEXT``; ``parallel`` counts the clients that a model answers at once."""

    context: int | None = None
    parallel: int = 1
    cache_type: str = "f16"

    def settings(self, context: int) -> MemorySettings:
        """The settings of a plan with so much context for each client."""
        return MemorySettings(
            context * self.parallel,
            self.cache_type,
            self.cache_type,
            parallel=self.parallel,
            outputs_max=self.parallel,
        )


class Sizes(Protocol):
    """How much memory a model takes."""

    def plan(self, context: int, wish: Wish, room: MachineMemory) -> MemoryPlan:
        """With so much context."""
        ...

    def again(self, plan: MemoryPlan, room: MachineMemory) -> MemoryPlan:
        """With the settings of a plan in another room."""
        ...


@dataclass(frozen=True, slots=True)
class Sized:
    """What memory depends on: a model with its adapters, the images that it takes, if it does, what
    drafts for it, and how it computes."""

    model: MemoryModel
    images: ImageMemory | None = None
    drafter: MemoryModel | None = None
    ubatch: int = _BATCH
    flash_attention: bool = True

    def plan(self, context: int, wish: Wish, room: MachineMemory) -> MemoryPlan:
        """What it takes with so much context, on accelerators as far as there is room on them."""
        architecture, weights = self.model
        trained = architecture.context_length or context
        settings = MemorySettings(
            min(context, trained) * wish.parallel,
            wish.cache_type,
            wish.cache_type,
            flash_attention=self.flash_attention,
            ubatch=self.ubatch,
            batch=self.ubatch,
            parallel=wish.parallel,
            outputs_max=wish.parallel,
            drafter=self.drafter,
        )
        plan = plan_memory(architecture, weights, settings, room, images=self.images)
        if plan.fits or not room.devices:
            return plan
        layers = layers_that_fit(architecture, weights, settings, room, images=self.images)
        return self.again(replace(plan, settings=replace(settings, gpu_layers=layers)), room)

    def again(self, plan: MemoryPlan, room: MachineMemory) -> MemoryPlan:
        """The same settings in another room."""
        architecture, weights = self.model
        return plan_memory(architecture, weights, plan.settings, room, images=self.images)


def together(
    models: Mapping[str, Sizes], wish: Wish, room: MachineMemory
) -> dict[str, MemoryPlan] | None:
    """The plans of all models with the most context with which all fit at once, None if none."""
    for context in contexts(wish):
        left = room
        found: dict[str, MemoryPlan] = {}
        for name, model in models.items():
            plan = found[name] = model.plan(context, wish, left)
            if not plan.fits:
                break
            left = without(left, [plan])
        else:
            return found
    return None


def alone(model: Sizes, wish: Wish, room: MachineMemory) -> MemoryPlan:
    """The plan of one model with the most context that fits; where none fits, with the least."""
    plans = [model.plan(context, wish, room) for context in contexts(wish)]
    return next((plan for plan in plans if plan.fits), plans[-1])


def without(room: MachineMemory, plans: Iterable[MemoryPlan]) -> MachineMemory:
    """What is free beside what these plans take."""
    for plan in plans:
        taken = {place.device: place.total_bytes for place in plan.places}
        host = plan.places[-1].total_bytes
        devices = []
        for device in room.devices:
            size = taken.get(device.name, 0)
            host += device.taken_from_host(size)
            devices.append(replace(device, free_bytes=max(0, device.free_bytes - size)))
        left = max(0, room.host_free_bytes - host)
        room = replace(room, devices=tuple(devices), host_free_bytes=left)
    return room


def smaller(room: MachineMemory, now: MachineMemory, back: Iterable[MemoryPlan]) -> MachineMemory:
    """The smaller of two rooms, place by place: one by the books, and one as it is measured now,
    to which the plans ``back`` give back what they hold. Mapped weights count as free already."""
    plans = list(back)
    held = {
        place.device: sum(p.places[n].total_bytes for p in plans)
        for n, place in enumerate(plans[0].places if plans else ())
    }
    host = sum(plan.places[-1].total_bytes - plan.mapped_bytes for plan in plans)
    free = {device.name: device.free_bytes + held.get(device.name, 0) for device in now.devices}
    devices = tuple(
        replace(d, free_bytes=min(d.free_bytes, free.get(d.name, d.free_bytes)))
        for d in room.devices
    )
    left = min(room.host_free_bytes, now.host_free_bytes + host)
    return replace(room, devices=devices, host_free_bytes=left)


def contexts(wish: Wish) -> Sequence[int]:
    """What is tried, the most first."""
    if wish.context is not None:
        return [wish.context]
    found = [CONTEXT]
    while found[-1] > LEAST_CONTEXT:
        found.append(found[-1] // 2)
    return found
