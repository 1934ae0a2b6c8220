"""From a variant and a probed machine to what the memory model wants to know of them.

Reads at most a file's header.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.tensors import tensors_by_layer
from gemmahub.errors import GemmahubError
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.reader import BUILT_IN_FORMATS
from gemmahub.formats.source import LocalFile
from gemmahub.hardware.compute import cpu_flops, device_flops
from gemmahub.memory import (
    EngineRules,
    ImageMemory,
    MachineMemory,
    image_buffer_bytes,
    known_build,
    plan_memory,
    unknown_build,
    unpack,
    weights_by_layer,
)
from gemmahub.memory.builds import LIBRARY_RULES
from gemmahub.memory.machine import DeviceMemory
from gemmahub.planning.devices import device_sets
from gemmahub.recommend.prompt import OperationRates
from gemmahub.recommend.records import DevicePlace
from gemmahub.recommend.speed import Bandwidths, traffic_of
from gemmahub.registry.artifacts import read_summary
from gemmahub.text import one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gemmahub.catalog.records import Architecture, Catalog, CatalogVariant, Model, StoredTypes
    from gemmahub.hardware import records as hardware
    from gemmahub.memory import MemoryModel, MemorySettings
    from gemmahub.memory.machine import DeviceKind
    from gemmahub.registry.variants import Variant

_KINDS: Final[dict[str, DeviceKind]] = {
    "cuda": "cuda",
    "gpu": "cuda",
    "amd": "rocm",
    "rocm": "rocm",
    "intel": "vulkan",
    "vulkan": "vulkan",
    "metal": "metal",
    "rpc": "rpc",
}
"""By the engine's interface, else by the first part of a device's name."""


def catalogued(variant: Variant, catalog: Catalog) -> tuple[Model, CatalogVariant] | None:
    """The catalogue's entry of a variant, if it has one."""
    name, _, variant_name = variant.reference.partition(":")
    model, known = catalog.model(name), catalog.variant(name, variant_name)
    return (model, known) if model is not None and known is not None else None


def model_of(variant: Variant, catalog: Catalog) -> MemoryModel:
    """What memory depends on: from the file, here or on the hub, else from the catalogue.

    Raises: GemmahubError when the format or the architecture is not known well enough.
    """
    if variant.served is not None:
        raise GemmahubError(
            f"the memory use of {variant.reference} is unknown: its server, "
            f"{variant.served.place or variant.served.backend}, does not report it",
            "gemmahub ps shows what servers report about their memory",
        )
    if variant.artifacts and not variant.memory and variant.format not in BUILT_IN_FORMATS:
        raise GemmahubError(
            f"the memory use of a {one_line(variant.format, 40)} model is unknown",
            "an engine that runs it may report it: see gemmahub plugins",
        )
    if variant.artifacts or variant.memory:
        return unpack(variant.memory or read_summary(variant.artifacts[0].path).memory)
    entry = catalogued(variant, catalog)
    if entry is None or entry[1].types is None:
        raise GemmahubError(
            f"the tensor types of {variant.reference} are unknown",
            f"read its header: {command_line('inspect', variant.reference, remote=True)}",
        )
    return catalogued_memory(entry[0].architecture, entry[1].types)


@functools.cache
def catalogued_memory(model: Architecture, types: StoredTypes) -> MemoryModel:
    """What memory depends on, of a file that is not here: derived from the model's architecture
    and the types of its tensors."""
    architecture = memory_architecture(model)
    if types.vocabulary:
        architecture = replace(architecture, vocabulary=types.vocabulary)
    tensors = tensors_by_layer(model, types)
    return architecture, weights_by_layer(tensors.model, tensors.layers)


def images_of(variant: Variant, catalog: Catalog) -> ImageMemory | None:
    """What images take besides; None for a variant of which no projector is known.

    A projector that lies beside the model counts with its file, else the catalogue's. The buffer
    depends on the shapes of the projector only: they are read from the file's header, and where
    that says too little the catalogue's figure holds.
    """
    entry = catalogued(variant, catalog)
    known = image_memory(entry[1]) if entry else None
    buffer = known.buffer_bytes if known else None
    for artifact in variant.artifacts:
        if artifact.projector is not None and artifact.projector.is_file():
            found = artifact.projector.stat()
            own = _buffer_of(artifact.projector, found.st_size, found.st_mtime_ns)
            return ImageMemory(found.st_size, buffer if own is None else own)
    return known


def image_memory(variant: CatalogVariant) -> ImageMemory | None:
    """What images take with the projector that the catalogue names, None where it has none."""
    file = variant.projector
    return ImageMemory(file.bytes, file.image_buffer_bytes) if file else None


@functools.lru_cache(maxsize=64)
def _buffer_of(path: Path, size: int, changed: int) -> int | None:
    """The buffer of a projector file of that size and time of change, None where it is unknown."""
    try:
        with LocalFile(path) as source:
            header = read_gguf(source)
    except (GemmahubError, OSError):
        return None
    return image_buffer_bytes(header.metadata, header.tensors)


def machine_of(machine: hardware.Machine) -> MachineMemory:
    """The probed machine as the memory model wants it, with the devices of it that an engine can
    use together; where there are several such sets, with the one that has the most memory.

    Raises: GemmahubError when the system's memory is not known.
    """
    return memory_of(machine, device_sets(machine)[0])


def places_of(machine: hardware.Machine) -> tuple[DevicePlace, ...]:
    """Each set of devices that is worth planning for, with the bandwidths of its places; the first
    is that of :func:`machine_of`.

    Raises: GemmahubError when the system's memory is not known.
    """
    return tuple(
        DevicePlace(
            memory_of(machine, devices), _bandwidths(machine, devices), _compute(machine, devices)
        )
        for devices in device_sets(machine)
    )


def memory_of(machine: hardware.Machine, devices: Iterable[hardware.Device]) -> MachineMemory:
    """The memory of these devices of a machine, and of its host.

    Raises: GemmahubError when the system's memory is not known.
    """
    memories = tuple(
        DeviceMemory(
            name=device.id,
            kind=_KINDS.get(device.api or device.id.split(":")[0], "other"),
            capacity_bytes=device.capacity.value or 0,
            free_bytes=device.available.value or 0,
            unified=device.takes_system_memory,
            carved_bytes=_carved(device),
        )
        for device in devices
    )
    usable, available = machine.memory.usable.value, machine.memory.available.value
    if available is None:
        raise GemmahubError("the free memory of this machine is unknown", "state it: --ram 16GiB")
    return MachineMemory(memories, usable or available, available, _rules(machine.engine))


def _rules(engine: hardware.EngineHere | None) -> EngineRules:
    if engine is None:
        return LIBRARY_RULES
    build = known_build(engine.commit) or unknown_build(engine.name)
    return EngineRules(build, engine.checkpoints, engine.prompt_cache_bytes)


def _bandwidths(machine: hardware.Machine, devices: Sequence[hardware.Device]) -> Bandwidths:
    host = machine.cpu.bandwidth
    figures = [device.bandwidth for device in devices]
    sources = [_told(figures[0]) if figures else "", _told(host)]
    return Bandwidths(tuple(figure.value for figure in figures), host.value, *sources)


def _told(bandwidth: hardware.Figure) -> str:
    rate = bandwidth.value
    return "" if rate is None else f"{rate / 1e9:.0f} GB/s ({bandwidth.source})"


def _compute(machine: hardware.Machine, devices: Iterable[hardware.Device]) -> OperationRates:
    return OperationRates(tuple(device_flops(device) for device in devices), cpu_flops(machine.cpu))


def _carved(device: hardware.Device) -> int:
    """What is free of an integrated GPU's own memory; of what it can map the host is the owner."""
    own = device.kind == "integrated" and device.shared_free is not None
    return (device.free.value or 0) if own else 0


def known_places_of(machine: hardware.Machine) -> tuple[tuple[MachineMemory, ...], str]:
    """The memory of each place of a machine, or none and why it is not known."""
    try:
        return tuple(place.machine for place in places_of(machine)), ""
    except GemmahubError as error:
        return (), error.message


def place_for(
    machine: hardware.Machine,
    model: MemoryModel,
    settings: MemorySettings,
    images: ImageMemory | None,
) -> MachineMemory:
    """The place for a plan with these settings: where it fits and is the fastest by estimate, at
    equal speed the one with the most memory; where it fits nowhere, that one.

    Raises: GemmahubError when the system's memory is not known.
    """
    places = places_of(machine)
    architecture, weights = model

    def speed(place: DevicePlace) -> float:
        plan = plan_memory(architecture, weights, settings, place.machine, images=images)
        if not plan.fits:
            return 0.0
        traffic = traffic_of(architecture, weights, plan, place.machine)
        return traffic.speed(place.bandwidths.at_worst(place.machine)).likely

    if shares := len(settings.tensor_split):
        # The set of GPUs that the shares are for; where there is none, the plan says so.
        places = tuple(p for p in places if len(p.machine.devices) == shares) or places[:1]
    if len(places) == 1:
        return places[0].machine
    return max(places, key=speed).machine
