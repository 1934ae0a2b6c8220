"""The engine's own answer in place of the formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.asking import BackendCalls
from gemmahub.engines.contract import Settings
from gemmahub.errors import LoadFailed, UsageError
from gemmahub.memory.plan import compute_note, headroom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Backend, DeviceUse, DryLoad
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.memory import DevicePlan, MachineMemory, MemoryPlan, MemorySettings
    from gemmahub.planning.header import Header
    from gemmahub.planning.plan import Plan

HOST: Final = "CPU"
"""The host as engines name it."""

ENGINE_PARTS: Final = (
    "weights_bytes",
    "kv_cache_bytes",
    "compute_bytes",
    "output_bytes",
    "drafter_bytes",
)
"""What an engine says of a device, by the names that a place of a plan has for it."""


def engine_settings(memory: MemoryPlan, offer: BackendOffer) -> Settings:
    """The settings of a plan as the backend takes them.

    Raises: UsageError as :func:`settings_for`.
    """
    return settings_for(memory.settings, memory.gpu_layers, offer)


def settings_for(chosen: MemorySettings, gpu_layers: int | None, offer: BackendOffer) -> Settings:
    """Settings as the backend takes them, with that many layers on accelerators.

    What the contract has no field for goes by the backend's own options, and only where it is not
    the usual: the cache of full size (``swa_full``) and the rows of logits (``outputs_max``).

    Raises: UsageError where the backend has no such option.
    """
    backend = offer.backend
    _check_placement(chosen, backend)
    options: dict[str, Any] = dict(offer.options)
    if chosen.full_swa_cache:
        options["swa_full"] = True
    if chosen.outputs_max != chosen.parallel:  # one for each sequence is the usual
        options["outputs_max"] = chosen.outputs_max
    missing = options.keys() - {option.name for option in backend.options}
    if missing:
        raise UsageError(
            f"{backend.name} has no setting {', '.join(sorted(missing))}",
            "leave out --swa-full and --outputs, or plan by formula",
        )
    return Settings(
        context=chosen.context,
        cache_type_k=chosen.cache_type_k,
        cache_type_v=chosen.cache_type_v,
        flash_attention=chosen.flash_attention,
        ubatch=chosen.ubatch,
        parallel=chosen.parallel,
        gpu_layers=gpu_layers,
        experts_in_memory=chosen.experts_in_memory or None,
        cache_in_memory=chosen.cache_in_memory,
        tensor_split=chosen.tensor_split,
        options=options,
    )


def _check_placement(chosen: MemorySettings, backend: Backend) -> None:
    for name in ("experts_in_memory", "cache_in_memory", "tensor_split"):
        if getattr(chosen, name) and name not in backend.capabilities:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{backend.name} cannot load a model with {flag}",
                f"leave out {flag}, or plan by formula",
            )


def dry_load_plan(plan: Plan, offer: BackendOffer, header: Header, machine: MachineMemory) -> Plan:
    """The same plan with what the engine says it would allocate.

    Where the engine does not use the accelerators of the plan (it has no GPU support, or the
    machine is not this one), it is asked without them: see :func:`with_cpu_dry_load`.

    Raises: UsageError as :func:`engine_settings`; BackendError when the engine refuses.
    """
    settings, artifact = engine_settings(plan.memory, offer), header.artifact
    if header.remark:
        plan = replace(plan, remarks=(*plan.remarks, header.remark))
    planned, reason = len(_used(plan)), ""
    with BackendCalls(offer) as calls:
        try:
            dry = calls.dry_load(artifact, settings)
        except LoadFailed as error:
            if not planned:
                raise
            reason = error.message
        else:
            if len(accelerators(dry)) == planned:
                return with_dry_load(plan, dry, machine)
            reason = f"it uses {len(accelerators(dry))} accelerators, but the plan {planned}"
        dry = calls.dry_load(artifact, replace(settings, gpu_layers=0))
    return with_cpu_dry_load(plan, dry, machine, reason)


def accelerators(dry: DryLoad) -> list[DeviceUse]:
    """The devices besides the host that the engine uses."""
    return [use for use in dry.devices if use.device != HOST]


def _used(plan: Plan) -> list[DevicePlan]:
    return [place for place in plan.memory.places[:-1] if place.total_bytes]


def with_dry_load(plan: Plan, dry: DryLoad, machine: MachineMemory) -> Plan:
    """The plan with the engine's figures; it uses as many accelerators as the plan does."""
    *rest, host = plan.memory.places
    names = (place.device for place in _used(plan))
    uses = dict(zip(names, accelerators(dry), strict=True))
    own = next((use for use in dry.devices if use.device == HOST), None)
    places = [_as_used(p, uses.get(p.device)) for p in rest] + [_as_used(host, own)]
    return _replaced(plan, dry, places, machine)


def with_cpu_dry_load(plan: Plan, dry: DryLoad, machine: MachineMemory, reason: str) -> Plan:
    """The plan with the figures of a dry load without accelerators.

    The engine's KV cache is shared out as the plan's own is; each place that computes gets the
    engine's compute buffer, the host its output buffer. Weights stay where the plan has them.
    """
    planned = plan.memory
    shares = _shared([place.kv_cache_bytes for place in planned.places], dry.kv_cache_bytes)
    whole, places = planned.compute.compute_bytes, []
    for place, cache in zip(planned.places, shares, strict=True):
        # Less than the whole buffer are the inputs of a step, which the host holds in any case.
        more = dry.compute_bytes - whole if place.compute_bytes >= whole else 0
        places.append(
            replace(place, kv_cache_bytes=cache, compute_bytes=place.compute_bytes + more)
        )
    places[-1] = replace(places[-1], output_bytes=dry.output_bytes)
    remark = (
        f"the engine was asked without accelerators ({reason}): KV cache, compute and output "
        "buffers are those of its CPU backend; weights are placed by formula"
    )
    return _replaced(replace(plan, remarks=(*plan.remarks, remark)), dry, places, machine)


def _shared(parts: Sequence[int], total: int) -> list[int]:
    """``total`` in the proportions of ``parts``, to the byte."""
    whole = sum(parts)
    if not whole:
        return [*parts[:-1], total]
    found = [part * total // whole for part in parts]
    found[max(range(len(parts)), key=lambda i: parts[i])] += total - sum(found)
    return found


def _replaced(plan: Plan, dry: DryLoad, places: list[DevicePlan], machine: MachineMemory) -> Plan:
    planned = plan.memory
    doubt = compute_note(planned.compute)  # the engine has said them
    memory = replace(
        planned,
        places=tuple(places),
        headroom_bytes=headroom(machine, places),
        notes=tuple(note for note in planned.notes if note != doubt),
    )
    return replace(plan, memory=memory, dry=dry)


def _as_used(place: DevicePlan, use: DeviceUse | None) -> DevicePlan:
    found: dict[str, Any] = {part: getattr(use, part) for part in ENGINE_PARTS} if use else {}
    return replace(place, **found)
