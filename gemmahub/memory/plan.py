"""A plan: where the parts of a model come to lie on a machine, and whether they fit.

Weights, cache and compute buffers follow :mod:`~gemmahub.memory.weights`,
:mod:`~gemmahub.memory.kv_cache` and :mod:`~gemmahub.memory.compute`. Caches lie with their layers.
Compute buffers of places that share a step are those of :mod:`~gemmahub.memory.step_buffers`; the
overhead of a driver is an estimate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gemmahub.memory.builds import LIBRARY_BUILD, EngineBuild
from gemmahub.memory.compute import ACCELERATOR_DOUBT, ComputeBuffers, compute_buffers
from gemmahub.memory.families import drafts_for, embeds
from gemmahub.memory.kv_cache import KVCache, kv_cache, layer_cache_bytes, saved_bytes
from gemmahub.memory.machine import CONTEXT_OVERHEAD
from gemmahub.memory.places import DevicePlan
from gemmahub.memory.settings import DRAFTED_TOKENS
from gemmahub.memory.step_buffers import StepBuffers
from gemmahub.memory.weight_sums import HOST
from gemmahub.memory.weights import WeightPlacement, layer_devices, place_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.machine import DeviceMemory, MachineMemory
    from gemmahub.memory.projector import ImageMemory
    from gemmahub.memory.settings import MemorySettings, Placement
    from gemmahub.memory.weight_sums import Weights


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Settings and the memory they take. ``gpu_layers`` counts the output as one layer more.

    ``places`` are the accelerators in the engine's order and then the host. ``repack_bytes`` are
    what a CPU may hold besides, at most; mapped weights can be dropped for them. ``error`` is the
    relative error of the compute buffers. ``notes`` say what was not measured.
    """

    settings: MemorySettings
    gpu_layers: int
    kv_cache: KVCache
    compute: ComputeBuffers
    places: tuple[DevicePlan, ...]
    headroom_bytes: int
    mapped_bytes: int
    repack_bytes: int
    error: float
    notes: tuple[str, ...]
    build: EngineBuild = LIBRARY_BUILD

    basis = "formula"

    @property
    def engine(self) -> str:
        """The build that the formula was checked on."""
        return self.build.name

    @property
    def placement(self) -> Placement:
        """What of it lies on the accelerators."""
        return self.settings.placement

    @property
    def fits(self) -> bool:
        """Whether every place has room for what comes to lie there."""
        return self.headroom_bytes >= 0

    @property
    def total_bytes(self) -> int:
        """All places together."""
        return sum(place.total_bytes for place in self.places)

    def as_json(self) -> dict[str, Any]:
        """The contract's keys from ``settings`` to ``headroom_bytes``."""

        def total(part: str) -> int:
            return sum(getattr(place, part) for place in self.places)

        memory: dict[str, Any] = {
            "weights_bytes": total("weights_bytes"),
            "kv_cache_bytes": self.kv_cache.bytes,
            "kv_cache_global_bytes": self.kv_cache.global_bytes,
            "kv_cache_window_bytes": self.kv_cache.window_bytes,
        }
        for part in ("compute", "output", "projector", "drafter", "overhead", "saved", "total"):
            memory[f"{part}_bytes"] = total(f"{part}_bytes")
        memory["mapped_bytes"] = self.mapped_bytes
        memory["repack_bytes"] = self.repack_bytes
        memory["devices"] = [
            {
                "device": place.device,
                "total_bytes": place.total_bytes,
                "capacity_bytes": place.capacity_bytes,
                "free_bytes": place.free_bytes,
            }
            for place in self.places
        ]
        return {
            "settings": self.settings.as_json(self.gpu_layers),
            "placement": {
                "experts_in_memory": self.settings.experts_in_memory,
                "cache_in_memory": self.settings.cache_in_memory,
                "flags": list(self.settings.flags),
            },
            "memory": memory,
            "basis": self.basis,
            "engine": self.engine,
            "fits": self.fits,
            "headroom_bytes": self.headroom_bytes,
        }


def plan_memory(
    architecture: MemoryArchitecture,
    weights: Weights,
    settings: MemorySettings,
    machine: MachineMemory,
    *,
    images: ImageMemory | None = None,
) -> MemoryPlan:
    """The plan for these settings, whether it fits or not.

    ``images`` are counted where they are given. With 0 layers on accelerators nothing is counted
    there: the engine must then be told not to use them.
    """
    if embeds(architecture.name):
        settings = settings.for_whole_texts
    if settings.drafter is not None:
        return _with_drafter(
            plan_memory(architecture, weights, settings.checking_drafts, machine, images=images),
            architecture,
            settings,
            machine,
        )
    layers = len(architecture.layers)
    wanted = settings.gpu_layers
    gpu_layers = min(layers + 1, layers + 1 if wanted is None else max(0, wanted))
    gpu_layers = gpu_layers if machine.devices else 0
    shares = settings.shares([d.free_bytes for d in machine.devices])
    placement = layer_devices(layers, gpu_layers, shares)
    placed = place_weights(
        weights,
        placement,
        machine.devices,
        architecture=architecture.name,
        mmap=settings.mmap,
        experts_in_memory=settings.experts_in_memory,
    )
    compute = compute_buffers(architecture, settings, machine.rules.build)
    cache = kv_cache(architecture, settings)
    caches = _caches(architecture, settings, cache, placement, len(machine.devices))
    image = images.known_bytes if images else 0
    steps = StepBuffers(architecture, weights, placement, settings, compute)
    places = [
        _accelerator(
            device,
            placed.devices[i],
            caches[i],
            steps.on_accelerator(i),
            image if i == 0 else 0,
            used=i in placement,
        )
        for i, device in enumerate(machine.devices)
    ]
    places.append(
        DevicePlan(
            device="cpu",
            weights_bytes=placed.host,
            kv_cache_bytes=caches[HOST],
            compute_bytes=steps.on_host,
            output_bytes=compute.output_bytes,
            projector_bytes=0 if gpu_layers else image,
            overhead_bytes=0,
            capacity_bytes=machine.host_capacity_bytes,
            free_bytes=machine.host_free_bytes,
            saved_bytes=saved_bytes(architecture, settings, cache, machine.rules),
        )
    )
    return MemoryPlan(
        settings=settings,
        gpu_layers=gpu_layers,
        kv_cache=cache,
        compute=compute,
        places=tuple(places),
        headroom_bytes=headroom(machine, places),
        mapped_bytes=placed.host if placed.mapped else 0,
        repack_bytes=placed.repack,
        error=max(compute.error, ACCELERATOR_DOUBT if gpu_layers else 0.0),
        notes=_notes(compute, placed, gpu_layers),
        build=machine.rules.build,
    )


def _with_drafter(
    alone: MemoryPlan,
    architecture: MemoryArchitecture,
    settings: MemorySettings,
    machine: MachineMemory,
) -> MemoryPlan:
    """The plan of a model, and of the one that drafts for it: as a whole on the accelerators, where
    the model uses any, in what is free beside it (``common_speculative_init_result`` of llama.cpp's
    ``common/speculative.cpp``)."""
    assert settings.drafter is not None
    left = replace(
        machine,
        rules=replace(machine.rules, prompt_cache_bytes=0),  # there is one for both
        devices=tuple(
            replace(device, free_bytes=max(0, device.free_bytes - place.total_bytes))
            for device, place in zip(machine.devices, alone.places, strict=False)
        ),
    )
    drafts = plan_memory(*settings.drafter, settings.of_drafter(alone.gpu_layers), left)
    places = [
        replace(place, drafter_bytes=own.total_bytes - own.overhead_bytes)
        for place, own in zip(alone.places, drafts.places, strict=True)
    ]
    # The model's own output grows when drafted tokens are checked, and by a row for each token of a
    # batch that a head reads on from.
    rows = 4 * architecture.vocabulary * settings.parallel * DRAFTED_TOKENS
    read = 4 * architecture.embedding_length * settings.batch
    grown = rows + (read if drafts_for(settings.drafter[0].name) else 0)
    places[-1] = replace(places[-1], drafter_bytes=places[-1].drafter_bytes + grown)
    return replace(
        alone,
        settings=settings,
        places=tuple(places),
        headroom_bytes=headroom(machine, places),
        mapped_bytes=alone.mapped_bytes + drafts.mapped_bytes,
        repack_bytes=alone.repack_bytes + drafts.repack_bytes,
        error=max(alone.error, drafts.error),
        notes=tuple(dict.fromkeys((*alone.notes, *drafts.notes))),
    )


def _accelerator(
    device: DeviceMemory, weights: int, cache: int, compute: int, image: int, *, used: bool
) -> DevicePlan:
    return DevicePlan(
        device=device.name,
        weights_bytes=weights,
        kv_cache_bytes=cache,
        compute_bytes=compute,
        output_bytes=0,
        projector_bytes=image if used else 0,
        overhead_bytes=CONTEXT_OVERHEAD[device.kind] if used else 0,
        capacity_bytes=device.capacity_bytes,
        free_bytes=device.free_bytes,
    )


def _caches(
    architecture: MemoryArchitecture,
    settings: MemorySettings,
    cache: KVCache,
    placement: Sequence[int],
    devices: int,
) -> list[int]:
    """Bytes of cache by device, the host's last."""
    sums = [0] * (devices + 1)
    if settings.cache_in_memory or len(set(placement)) == 1:
        sums[HOST if settings.cache_in_memory else placement[0]] = cache.bytes
        return sums
    sizes = layer_cache_bytes(architecture, settings, cache.cells)
    for layer, device in zip(architecture.layers, placement, strict=False):
        sums[device] += sizes[layer]
    return sums


def headroom(machine: MachineMemory, places: Sequence[DevicePlan]) -> int:
    """What is left at the tightest place that is in use; negative where something does not fit."""
    *accelerators, host = places
    left = host.free_bytes - host.total_bytes
    rooms = []
    for device, place in zip(machine.devices, accelerators, strict=True):
        left -= device.taken_from_host(place.total_bytes)
        if place.total_bytes:
            rooms.append(place.free_bytes - place.total_bytes)
    return min([left, *rooms])


def compute_note(compute: ComputeBuffers) -> str:
    """How exact compute buffers are, where they are not the engine's own to the byte; else ""."""
    if compute.basis == "replay" and compute.error:
        return f"compute buffers differ between builds of llama.cpp (±{compute.error:.0%} seen)"
    if compute.basis == "estimate":
        return f"compute buffers of this architecture are estimated (±{compute.error:.0%})"
    return ""


def _notes(compute: ComputeBuffers, placed: WeightPlacement, gpu_layers: int) -> tuple[str, ...]:
    notes = [note for note in (compute_note(compute),) if note]
    if gpu_layers:
        notes.append(
            f"accelerator buffers are assumed to equal the CPU's (±{ACCELERATOR_DOUBT:.0%}), "
            "driver overhead is estimated"
        )
    if placed.repack:
        notes.append("a CPU may keep a second copy of its layers in another order (repack)")
    return tuple(notes)
