"""From a variant and a machine to a plan: what goes into the memory model, and what comes out.

Reads at most a file's header. The arithmetic is :mod:`gemmahub.memory`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.catalog.tensors import variant_tensors
from gemmahub.errors import GemmahubError
from gemmahub.memory import (
    Machine,
    MemoryPlan,
    UnknownArchitecture,
    from_catalog,
    from_gguf,
    largest_context,
    plan_memory,
    weights_of,
)
from gemmahub.memory.machine import Device
from gemmahub.memory.plan import headroom

if TYPE_CHECKING:
    from gemmahub.catalog.records import Catalog
    from gemmahub.engines.contract import DeviceUse, DryLoad
    from gemmahub.hardware import records as hardware
    from gemmahub.memory import MemoryArchitecture, MemorySettings, Placed, Weights
    from gemmahub.memory.machine import DeviceKind
    from gemmahub.variants import Variant

_KINDS: Final[dict[str, DeviceKind]] = {
    "cuda": "cuda",
    "gpu": "cuda",
    "amd": "rocm",
    "intel": "vulkan",
    "metal": "metal",
}


_HOST: Final = "CPU"


@dataclass(frozen=True, slots=True)
class Plan:
    """A variant on a machine: what it takes, and the largest context that fits with these settings.

    ``dry`` is the engine's own answer where it was asked.
    """

    variant: Variant
    memory: MemoryPlan
    largest_context: int
    trained_context: int
    dry: DryLoad | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not counted, or counted with doubt."""
        found = list(self.memory.notes)
        asked = self.memory.settings.context
        if 0 < self.trained_context < asked:
            found.append(
                f"{asked:,} tokens are more than the {self.trained_context:,} that the model was "
                "trained for: its answers get worse there"
            )
        if "image" in self.variant.capabilities:
            found.append("the image projector is not counted: text only")
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """The contract's object of ``gemmahub plan --json``."""
        found = self.memory.as_json()
        if self.dry is not None:
            found["basis"], found["engine"] = "dry load", self.dry.engine
            for part in ("kv_cache_bytes", "kv_cache_global_bytes", "kv_cache_window_bytes"):
                found["memory"][part] = getattr(self.dry, part)
        return {
            "reference": self.variant.reference,
            "precision": self.variant.precision.as_json(),
            **found,
            "largest_context": self.largest_context,
            "notes": list(self.notes),
        }


def make_plan(
    variant: Variant,
    model: tuple[MemoryArchitecture, Weights],
    settings: MemorySettings,
    machine: Machine,
) -> Plan:
    """The plan by formula."""
    architecture, weights = model
    return Plan(
        variant=variant,
        memory=plan_memory(architecture, weights, settings, machine),
        largest_context=largest_context(architecture, weights, settings, machine),
        trained_context=architecture.context_length,
    )


def model_of(variant: Variant, catalog: Catalog) -> tuple[MemoryArchitecture, Weights]:
    """What memory depends on: from the file where it is here, else from the catalogue.

    Raises: GemmahubError when the format or the architecture is not known well enough.
    """
    if variant.artifacts:
        return _from_file(variant)
    name, _, variant_name = variant.reference.partition(":")
    model, known = catalog.model(name), catalog.variant(name, variant_name)
    if model is None or known is None or known.types is None:
        raise GemmahubError(
            f"which types {variant.reference} is made of is not known",
            "get the file; its header says it",
        )
    tensors = variant_tensors(model.architecture, known.types)
    return from_catalog(model.architecture), weights_of(tensors)


def _from_file(variant: Variant) -> tuple[MemoryArchitecture, Weights]:
    from gemmahub.formats.detect import open_model

    if variant.format != "gguf":
        raise GemmahubError(
            f"the memory of {variant.format} models is not modelled yet", "plan a GGUF file instead"
        )
    file = open_model(variant.artifacts[0].path)
    architecture = from_gguf(file.metadata, file.tensors)
    if isinstance(architecture, UnknownArchitecture):
        raise GemmahubError(
            f"what a {architecture.name or 'nameless'} model takes is not known: "
            f"{architecture.reason}",
            "gemmahub models Gemma 3, 3n and 4, and models with a plain cache",
        )
    return architecture, weights_of(file.tensors)


def machine_of(machine: hardware.Machine) -> Machine:
    """The probed machine as the memory model wants it; a device of unknown memory is left out.

    Raises: GemmahubError when the system's memory is not known.
    """
    devices = tuple(
        Device(
            name=device.id,
            kind=_KINDS.get(device.id.split(":")[0], "vulkan"),
            capacity_bytes=device.capacity.value or 0,
            free_bytes=device.available.value or 0,
            unified=device.takes_system_memory,
        )
        for device in machine.devices
        if device.available.value is not None
    )
    usable, available = machine.memory.usable.value, machine.memory.available.value
    if available is None:
        raise GemmahubError(
            "how much memory is free is not known on this machine", "say it: --ram 16GiB"
        )
    return Machine(devices, usable or available, available)


def with_dry_load(plan: Plan, dry: DryLoad, machine: Machine) -> Plan:
    """The same plan with what the engine says it would allocate, in place of the formulas.

    Raises: GemmahubError when the engine spreads the model over other devices than the plan does.
    """
    *accelerators, host = plan.memory.places
    used = [place for place in accelerators if place.total_bytes]
    others = [use for use in dry.devices if use.device != _HOST]
    if len(used) != len(others):
        raise GemmahubError(
            f"the engine uses {len(others)} accelerators and the plan {len(used)}",
            "plan without --exact, or say --gpu-layers 0",
        )
    uses = dict(zip((place.device for place in used), others, strict=True))
    own = next((use for use in dry.devices if use.device == _HOST), None)
    places = [_as_used(p, uses.get(p.device)) for p in accelerators] + [_as_used(host, own)]
    memory = replace(plan.memory, places=tuple(places), headroom_bytes=headroom(machine, places))
    return replace(plan, memory=memory, dry=dry)


def _as_used(place: Placed, use: DeviceUse | None) -> Placed:
    if use is None:
        return place
    return replace(
        place,
        weights_bytes=use.weights_bytes,
        kv_cache_bytes=use.kv_cache_bytes,
        compute_bytes=use.compute_bytes,
        output_bytes=use.output_bytes,
    )
