"""A plan of an engine's answers alone, for formats whose memory the core does not model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.asking import BackendCalls
from gemmahub.errors import LoadFailed, UsageError
from gemmahub.formats.ggml_types import CACHE_TYPES
from gemmahub.memory import ComputeBuffers, DeviceMemory, DevicePlan, KVCache, MemoryPlan
from gemmahub.memory.kv_cache import PADDING, Cells
from gemmahub.memory.limits import UNLIMITED_CONTEXT, last_that_fits
from gemmahub.memory.machine import CONTEXT_OVERHEAD
from gemmahub.memory.plan import headroom
from gemmahub.planning.contexts import ContextTotal, context_lengths
from gemmahub.planning.dry_load import ENGINE_PARTS, HOST, accelerators, settings_for
from gemmahub.planning.plan import Plan
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.contract import Artifact, Cluster, DeviceUse, DryLoad
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.memory import MachineMemory, MemorySettings
    from gemmahub.planning.header import Header
    from gemmahub.registry.variants import Variant

_ESTIMATED: Final = "driver overhead is estimated"


def engine_plan(
    variant: Variant,
    settings: MemorySettings,
    machine: MachineMemory,
    offer: BackendOffer,
    header: Header,
    cluster: Cluster | None = None,
) -> Plan:
    """The plan for a model of which the engine alone knows what it takes; on a ``cluster`` where
    one is named, whose GPUs are the machine's devices in that order.

    Other contexts are asked about, too, and the largest that fits is looked for by interpolation:
    about ten dry loads in one worker process. An engine that has accelerators which the machine
    has not is asked without them.

    Raises: UsageError for settings that the backend does not have; BackendError when it refuses.
    """
    with BackendCalls(offer) as calls:
        engine = _Engine(calls, offer, header.artifact, settings, machine, cluster)
        dry = engine.begin()
        memory = _memory(dry, settings, machine, variant)
        trained = variant.architecture.get("context_length") or 0
        largest = engine.largest_context(trained)
        name = _cache_type(memory.settings)
        totals = engine.totals(context_lengths(settings.context, trained), name)
    return Plan(
        variant=variant,
        memory=memory,
        largest_context=largest,
        trained_context=trained,
        contexts=totals,
        largest_contexts=((name, largest),),
        dry=dry,
        contexts_by_engine=True,
        remarks=(
            *([header.remark] if header.remark else []),
            *engine.remarks,
            *(one_line(note, 300) for note in dry.notes),
        ),
    )


class _Engine:
    """One engine, asked about one model in many contexts; each answer is kept."""

    def __init__(
        self,
        calls: BackendCalls,
        offer: BackendOffer,
        artifact: Artifact,
        settings: MemorySettings,
        machine: MachineMemory,
        cluster: Cluster | None = None,
    ) -> None:
        self._calls = calls
        self._artifact = artifact
        self._machine = machine
        self._asked = settings
        wanted = settings.gpu_layers if machine.devices else 0
        self._settings = replace(settings_for(settings, wanted, offer), cluster=cluster)
        self._answers: dict[int, DryLoad | None] = {}
        self.remarks: list[str] = []

    def begin(self) -> DryLoad:
        """The answer for the context that was asked for. Raises: BackendError."""
        dry = self._ask(self._asked.context)
        used, there = len(accelerators(dry)), len(self._machine.devices)
        if used > there:
            self._settings = replace(self._settings, gpu_layers=0)
            dry = self._ask(self._asked.context)
            self.remarks.append(
                f"the engine was asked without accelerators: it uses {used}, but the planned "
                f"machine has {there}"
            )
        elif there and not used and self._settings.gpu_layers != 0:
            self.remarks.append(
                "the engine uses no accelerator here: everything is in system memory"
            )
        self._answers[self._asked.context] = dry
        return dry

    def largest_context(self, trained: int) -> int:
        """The largest context that fits in steps of 256, at most the trained one; 0 for none."""
        top = max(1, (trained or UNLIMITED_CONTEXT) // PADDING)
        at, here = self._room(top * PADDING), self._room(self._asked.context)
        far = top * PADDING - self._asked.context
        slope = (here - at) * PADDING // far if far else 0
        return PADDING * last_that_fits(
            lambda steps: self._room(steps * PADDING), top, at, slope, stride=1
        )

    def totals(self, contexts: list[int], cache_type: str) -> tuple[ContextTotal, ...]:
        """What contexts take; one that the engine refuses is left out."""
        found = []
        for context in contexts:
            if (dry := self._answer(context)) is not None:
                places = _places(dry, self._machine)
                total = sum(place.total_bytes for place in places)
                left = headroom(self._machine, places)
                found.append(ContextTotal(context, cache_type, total, left))
        return tuple(found)

    def _room(self, context: int) -> int:
        """Bytes that stay free; -1 for a context that the engine refuses."""
        dry = self._answer(context)
        return -1 if dry is None else headroom(self._machine, _places(dry, self._machine))

    def _answer(self, context: int) -> DryLoad | None:
        if context not in self._answers:
            try:
                self._answers[context] = self._ask(context)
            except LoadFailed:
                self._answers[context] = None
        return self._answers[context]

    def _ask(self, context: int) -> DryLoad:
        dry = self._calls.dry_load(self._artifact, replace(self._settings, context=context))
        if not dry.devices:
            raise LoadFailed(
                f"{one_line(dry.engine, 80)} does not report where its memory would be",
                "a newer version of its plugin may do so",
            )
        return dry


def _memory(
    dry: DryLoad, asked: MemorySettings, machine: MachineMemory, variant: Variant
) -> MemoryPlan:
    used = accelerators(dry)
    layers = dry.settings.gpu_layers
    if not used:
        layers = 0
    elif layers is None or layers < 0:
        layers = int(variant.architecture.get("layers") or 0) + 1  # all, and the output
    places = _places(dry, machine)
    return MemoryPlan(
        settings=_in_effect(asked, dry),
        gpu_layers=layers,
        kv_cache=KVCache(
            Cells(dry.cells_global, dry.cells_window, 1),
            dry.kv_cache_global_bytes,
            dry.kv_cache_window_bytes,
        ),
        compute=ComputeBuffers(dry.compute_bytes, 0, dry.output_bytes, "engine", 0.0),
        places=tuple(places),
        headroom_bytes=headroom(machine, places),
        mapped_bytes=0,
        repack_bytes=0,
        error=0.0,
        notes=(_ESTIMATED,) if any(use.overhead_bytes is None for use in used) else (),
    )


def _in_effect(asked: MemorySettings, dry: DryLoad) -> MemorySettings:
    """The settings as the engine has them, as far as a plan has words for them."""
    types = {
        name: kind
        for name in ("cache_type_k", "cache_type_v")
        if (kind := getattr(dry.settings, name)) in CACHE_TYPES
    }
    chosen = replace(asked, context=dry.context, ubatch=dry.settings.ubatch)
    try:
        return replace(chosen, flash_attention=dry.flash_attention, **types)
    except UsageError:  # what llama.cpp does not combine, others may
        return chosen


def _cache_type(settings: MemorySettings) -> str:
    keys, values = settings.cache_type_k, settings.cache_type_v
    return keys if keys == values else f"{keys}/{values}"


def _places(dry: DryLoad, machine: MachineMemory) -> list[DevicePlan]:
    """Accelerators are matched by their order, as the engine counts them."""
    used = accelerators(dry)
    host = DeviceMemory("cpu", "cpu", machine.host_capacity_bytes, machine.host_free_bytes)
    found = [_placed(device, used[n : n + 1]) for n, device in enumerate(machine.devices)]
    return [*found, _placed(host, [use for use in dry.devices if use.device == HOST])]


def _overhead(device: DeviceMemory, uses: Sequence[DeviceUse]) -> int:
    """As the engine says it; where it does not, the estimate for the driver."""
    said = [use.overhead_bytes for use in uses if use.overhead_bytes is not None]
    return sum(said) if said else CONTEXT_OVERHEAD[device.kind] if uses else 0


def _placed(device: DeviceMemory, uses: Sequence[DeviceUse]) -> DevicePlan:
    parts = {part: sum(getattr(use, part) for use in uses) for part in ENGINE_PARTS}
    return DevicePlan(
        device.name,
        **parts,
        projector_bytes=0,
        overhead_bytes=_overhead(device, uses),
        capacity_bytes=device.capacity_bytes,
        free_bytes=device.free_bytes,
    )
