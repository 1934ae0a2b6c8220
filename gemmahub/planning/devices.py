"""Which devices of a machine an engine can use together for one model: pure, of a probed machine.

What engines do by themselves is llama.cpp's rule (``llama_prepare_model_devices``,
``src/llama.cpp`` of ggml-org/llama.cpp@0c1e57098): all discrete GPUs, an integrated one only where
there is no discrete one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.records import REMOTE, Device, Figure, Kind
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import EngineDevice
    from gemmahub.hardware.records import Machine

_FULL: Final = 1 << 30
"""A device with less free than llama.cpp's own margin (``--fit-target``) holds no model."""

_FASTER: Final = 2
"""An integrated GPU whose memory is so many times as fast as the processor sees it counts beside
a discrete one (Strix Halo beside a small card)."""

_MOST_ALONE: Final = 4

_MAKERS: Final = ("NVIDIA", "AMD", "Intel", "Apple")
_DRIVES: Final = {
    "cuda": ("NVIDIA",), "rocm": ("AMD",), "metal": ("Apple",), "sycl": ("Intel",),
    "vulkan": ("NVIDIA", "AMD", "Intel"),
}  # fmt: skip
"""Whose devices an engine's interface can use."""

DeviceSet = tuple[Device, ...]


def device_sets(machine: Machine) -> tuple[DeviceSet, ...]:
    """The sets of devices worth planning for, at least one, each in the order of the machine; an
    empty one is the processor alone. The first is what counts where only one can: the most memory.

    Devices of several makers are in one set only where the engine drives them through one interface
    (Vulkan); parts of one GPU that a process cannot use together never are. Full ones are left out.
    Of each interface's devices there are the fastest, the fastest two, four, and so on to all, and
    those of another size alone; so sixteen make no 65,536 sets. Devices of workers on other
    machines were asked for: they are part of each set, unless the machine is simulated.
    """
    order = [device.id for device in machine.devices]
    workers = tuple(device for device in machine.devices if device.api == REMOTE)
    if workers:
        machine = replace(machine, devices=machine.devices[len(workers) :])
    groups = [found for group in _groups(_usable(machine)) for found in _subsets(group, order)]
    if workers:
        own = [found for found in groups if found[0].kind is not Kind.INTEGRATED]
        # Of a machine that is only described nobody asked for all: one of them may be enough.
        groups = [(*workers, *found) for found in own] or [workers]
        groups += own if machine.simulated else []
    groups.sort(key=lambda devices: (-_free(devices), [device.id for device in devices]))
    if all(device.kind is Kind.INTEGRATED for devices in groups for device in devices):
        # The processor reads the same memory; where it is as fast, it is the simpler way.
        return (*groups, ())
    return tuple(groups)


def with_workers(machine: Machine, devices: Sequence[EngineDevice]) -> Machine:
    """The machine with the devices of workers on other machines, before its own as llama.cpp has
    them. How fast they are is not known: the network is in between."""
    found = tuple(_remote(number, device) for number, device in enumerate(devices))
    return replace(machine, devices=(*found, *machine.devices))


def workers_of(machine: Machine) -> tuple[str, ...]:
    """The workers on other machines whose devices it has, ``HOST:PORT``."""
    return tuple(dict.fromkeys(d.name for d in machine.devices if d.api == REMOTE))


def machine_remarks(machine: Machine) -> tuple[str, ...]:
    """What machine a plan is for that is not here, and whose devices its workers are."""
    if not machine.simulated or machine.name is None:
        return ()
    found = [f"planned for {one_line(machine.name, 120)}, which is not this machine"]
    for worker in workers_of(machine):
        devices = [device for device in machine.devices if device.name == worker]
        ids = ", ".join(device.id for device in devices)
        cards = ", ".join(dict.fromkeys(note for device in devices for note in device.notes))
        found.append(f"{ids}: {one_line(worker, 100)} ({one_line(cards, 100)})")
    return tuple(found)


def without_workers(machine: Machine) -> Machine:
    """The machine with its own devices only."""
    own = tuple(device for device in machine.devices if device.api != REMOTE)
    return replace(machine, devices=own)


def _remote(number: int, device: EngineDevice) -> Device:
    said = f"{device.name}, as the engine reports it"
    free = device.total_bytes if device.free_bytes is None else device.free_bytes
    return Device(
        id=f"{REMOTE}:{number}",
        name=one_line(device.description, 100),
        vendor="",
        kind=Kind.DISCRETE,
        total=Figure(device.total_bytes, said),
        free=Figure(free, said),
        api=REMOTE,
    )


def default_devices(machine: Machine) -> DeviceSet:
    """What an engine takes that is told nothing, full devices among them."""
    there = [device for device in machine.devices if _is_known(device) or device.api == REMOTE]
    own = [device for device in there if device.kind is not Kind.INTEGRATED]
    return tuple(own or there)


def usable_by(machine: Machine, engine: str, devices: Sequence[EngineDevice]) -> Machine:
    """The machine as an engine sees it that can use these devices: the others are unusable, and
    these have its interface, and addresses where it says some.

    Devices that only a plugin knows are left as they are: another engine may be for them.
    """
    addresses = any(found.hardware_id for found in devices)
    here = machine.engine and replace(machine.engine, knows_addresses=addresses)
    return replace(
        machine,
        engine=here,
        devices=tuple(
            device
            if device.unusable or device.vendor not in _MAKERS
            else replace(device, api=found.api)
            if (found := _found_among(device, devices)) is not None
            else replace(device, unusable=unused_by(engine))
            for device in machine.devices
        ),
    )


def unused_by(engine: str) -> str:
    """Why a device is not used that is there, and that a right build of the engine could use."""
    return f"the installed {engine} cannot use it"


def _found_among(device: Device, devices: Sequence[EngineDevice]) -> EngineDevice | None:
    """By its address or UUID where both sides know one, else by what the interface drives."""
    own = {text.casefold() for text in (device.pci, device.uuid) if text}
    for found in devices:
        if found.hardware_id and own:
            if found.hardware_id.casefold() in own:
                return found
        elif device.vendor in _DRIVES.get(found.api, ()):
            return found
    return None


def told(machine: Machine, devices: Sequence[str]) -> tuple[str, ...] | None:
    """What an engine has to be told so that it uses the devices of these ids and no others: their
    addresses, or ids where it knows no addresses; none for the processor alone. None where it uses
    them untold.
    """
    default = default_devices(machine)
    if {device.id for device in default} == set(devices):
        return None
    by_id = {device.id: device for device in machine.devices}
    addresses = machine.engine is None or machine.engine.knows_addresses
    return tuple((by_id[id_].pci if addresses else "") or id_ for id_ in devices)


def _usable(machine: Machine) -> list[Device]:
    known = [d for d in machine.devices if _is_known(d) and (d.available.value or 0) >= _FULL]
    if all(device.kind is Kind.INTEGRATED for device in known):
        return known
    return [
        device
        for device in known
        if device.kind is not Kind.INTEGRATED or _is_fast(device, machine.cpu.bandwidth.value)
    ]


def _is_known(device: Device) -> bool:
    return device.available.value is not None and not device.unusable


def _is_fast(device: Device, system: int | None) -> bool:
    own = device.bandwidth.value
    return own is not None and own >= _FASTER * (system or own)


def _groups(devices: Iterable[Device]) -> list[list[Device]]:
    """Devices that one process drives through one interface, the fastest first."""
    groups: dict[tuple[str, bool, str], list[Device]] = {}
    for device in devices:
        interface = device.api or device.id.partition(":")[0]
        part = device.id if "/" in device.id else ""  # CUDA uses one MIG slice in a process
        key = interface, device.kind is Kind.INTEGRATED, part
        groups.setdefault(key, []).append(device)
    return [sorted(group, key=_speed_first) for group in groups.values()]


def _speed_first(device: Device) -> tuple[int, int]:
    return -(device.bandwidth.value or 0), -(device.available.value or 0)


def _subsets(group: Sequence[Device], order: Sequence[str]) -> list[DeviceSet]:
    """``group`` has the fastest first; the sets have the ``order`` of the machine again."""
    count, sizes = 1, set()
    while count < len(group):
        sizes.add(count)
        count *= 2
    sets = {frozenset(group[:size]) for size in (*sizes, len(group))}
    # Of equal ones the first.
    alone = {
        (device.name, (device.available.value or 0) // _FULL): device for device in reversed(group)
    }
    by_room = sorted(alone.values(), key=lambda device: -(device.available.value or 0))
    sets |= {frozenset((device,)) for device in by_room[:_MOST_ALONE]}
    return [tuple(sorted(chosen, key=lambda device: order.index(device.id))) for chosen in sets]


def _free(devices: DeviceSet) -> int:
    return sum(device.available.value or 0 for device in devices)
