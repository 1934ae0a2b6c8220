"""Machines that are not here: from sizes (``--memory 24GiB --ram 64GiB``) or a known name."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gemmahub.errors import UsageError
from gemmahub.hardware.cpu import unknown_cpu
from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.records import Device, Figure, Kind, Machine, SystemMemory, kept_by_system
from gemmahub.hardware.unified import working_set
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_GIB: Final = 1 << 30
_SIZE: Final = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?\s*([a-z]*)", re.IGNORECASE)
_DECIMAL: Final = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_BINARY: Final = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_LEAST: Final = 64 << 20
_MOST: Final = 64 << 40
_SIMULATED: Final = "simulated"
_ALONE: Final = "assumes that nothing else uses it"
_HINT: Final = "Write a size such as 24GiB (2^30 bytes), 24g (the same) or 24GB (10^9 bytes)."


def parse_size(text: str) -> int:
    """Bytes of a size that a person wrote.

    ``GiB``, ``Gi``, ``G`` and ``g`` are 2^30 bytes (so are cards sold: a 24 GB card has 24 GiB),
    ``GB`` is 10^9; likewise K, M and T. Case does not matter, fractions are allowed.

    Raises: UsageError when it is no size, or not between 64 MiB and 64 TiB.
    """
    shown = one_line(text, 40)
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        if re.match(r"\s*-\s*[0-9]", text):
            raise UsageError(f"a size cannot be negative: {shown}", _HINT)
        raise UsageError(f"not a size: {shown or 'an empty text'}", _HINT)
    whole, fraction, unit = match[1], match[2] or "", match[3].casefold()
    factor = unit_bytes(unit)
    if factor is None:
        reason = "has no unit" if not unit else f"has an unknown unit: {one_line(match[3], 20)}"
        raise UsageError(f"the size {shown} {reason}", _HINT)
    size = int(whole + fraction) * factor // int("1" + "0" * len(fraction))
    if size == 0:
        raise UsageError(f"a size cannot be zero: {shown}", _HINT)
    if not _LEAST <= size <= _MOST:
        word = "small" if size < _LEAST else "large"
        raise UsageError(f"the size {shown} is too {word} for a machine", _HINT)
    return size


def unit_bytes(unit: str) -> int | None:
    """Bytes of one unit in small letters (``gib``, ``g``, ``gb``), None for a text that is no unit;
    a bare number has none."""
    if unit in _DECIMAL:
        return _DECIMAL[unit]
    return _BINARY.get(unit[:1]) if unit[1:] in ("", "i", "ib") else None


@dataclass(frozen=True, slots=True)
class Preset:
    """A known machine: ``memory`` and ``ram`` in GiB; a unified machine has ``ram`` alone.

    ``device`` is the name under which data sheets know the GPU, ``board`` that of a machine whose
    processor reads memory at a published rate.
    """

    name: str
    title: str
    ram: int
    device: str = ""
    memory: int | None = None
    kind: Kind = Kind.DISCRETE
    vendor: str = ""
    performance_cores: int | None = None
    board: str = ""


_UNIFIED: Final = Kind.UNIFIED
PRESETS: Final = (
    Preset("rtx-4060-laptop", "Laptop with an RTX 4060, 8 GB", 16, "GeForce RTX 4060 Laptop GPU", 8,
           vendor="NVIDIA"),
    Preset("rtx-3060", "PC with an RTX 3060, 12 GB", 32, "GeForce RTX 3060", 12, vendor="NVIDIA"),
    Preset("rtx-3090", "PC with an RTX 3090, 24 GB", 64, "GeForce RTX 3090", 24, vendor="NVIDIA"),
    Preset("rtx-4090", "PC with an RTX 4090, 24 GB", 64, "GeForce RTX 4090", 24, vendor="NVIDIA"),
    Preset("rtx-5090", "PC with an RTX 5090, 32 GB", 64, "GeForce RTX 5090", 32, vendor="NVIDIA"),
    Preset("rx-7900-xtx", "PC with an RX 7900 XTX, 24 GB", 64, "Radeon RX 7900 XTX", 24,
           vendor="AMD"),
    Preset("arc-a770", "PC with an Arc A770, 16 GB", 32, "Arc A770", 16, vendor="Intel"),
    Preset("m1-8gb", "Mac with M1, 8 GB", 8, "Apple M1", None, _UNIFIED, "Apple"),
    Preset("m2-16gb", "Mac with M2, 16 GB", 16, "Apple M2", None, _UNIFIED, "Apple"),
    Preset("m3-max-64gb", "Mac with M3 Max (16 cores), 64 GB", 64, "Apple M3 Max", None, _UNIFIED,
           "Apple", 12),
    Preset("m4-pro-24gb", "Mac with M4 Pro, 24 GB", 24, "Apple M4 Pro", None, _UNIFIED, "Apple"),
    Preset("m4-max-128gb", "Mac with M4 Max (16 cores), 128 GB", 128, "Apple M4 Max", None,
           _UNIFIED, "Apple", 12),
    # As much as Linux shows of 128 GB.
    Preset("dgx-spark", "NVIDIA DGX Spark (GB10), 128 GB", 119, "GB10", None, _UNIFIED, "NVIDIA"),
    Preset("strix-halo", "PC with a Ryzen AI Max+ 395, 128 GB", 124, "Strix Halo", None,
           _UNIFIED, "AMD"),
    Preset("cpu-16gb", "PC without a usable GPU, 16 GB", 16),
    Preset("raspberry-pi-5-8gb", "Raspberry Pi 5, 8 GB", 8, board="Raspberry Pi 5"),
)  # fmt: skip


def preset_machine(name: str) -> Machine:
    """A known machine by its name.

    Raises: UsageError when there is no such name.
    """
    for preset in PRESETS:
        if preset.name == name.casefold():
            return _machine_of(preset)
    names = nearest(name, [preset.name for preset in PRESETS]) or [p.name for p in PRESETS]
    raise UsageError(f"no known machine {one_line(name, 60)}", f"Known: {', '.join(names)}")


def simulate_machine(
    memory: int | None = None, ram: int | None = None, base: Machine | None = None
) -> Machine:
    """A machine with one GPU of ``memory`` bytes and ``ram`` bytes of system memory.

    What is not given comes from ``base``, the machine that is here, or is not known. Without
    ``memory`` the GPUs of ``base`` stay, without ``base`` there are none.
    """
    devices: tuple[Device, ...] = base.devices if base is not None else ()
    cpu = base.cpu if base is not None else unknown_cpu("simulated")
    if memory is not None:
        if any(device.kind is Kind.UNIFIED for device in devices):
            # A machine whose GPU has its own memory does not have the fast one that both share.
            cpu = replace(cpu, bandwidth=_USUAL_BANDWIDTH)
        # Whether the GPU of that size would be like the one that is here is not ours to guess.
        bandwidth = Figure.unknown("a simulated GPU has no model", unit="B/s")
        devices = (simulated_gpu("gpu:0", "simulated GPU", "", memory, bandwidth),)
    system = base.memory if base is not None else SystemMemory(*[Figure.unknown("not given")] * 4)
    if ram is not None:
        system = _memory(ram)
        devices = tuple(_resized(devices, system.total))
    return Machine(
        name=None,
        system=_SIMULATED,
        cpu=cpu,
        memory=system,
        devices=devices,
        disks=base.disks if base is not None else (),
        simulated=True,
        engine=base.engine if base is not None else None,
    )


def gpu_machine(
    devices: tuple[Device, ...], ram: int, doubt: str = "", base: Machine | None = None
) -> Machine:
    """A PC or a server with these devices and ``ram`` bytes of system memory, of which its system
    keeps a part; ``doubt`` says what is not sure about ``ram``. All else is that of ``base``."""
    found = simulate_machine(ram=ram, base=base)
    memory = _with_system(found.memory)
    if doubt:
        total, free = (each.doubted(doubt) for each in (memory.total, memory.available))
        memory = replace(memory, total=total, available=free)
    cpu = found.cpu if base is not None else replace(found.cpu, bandwidth=_USUAL_BANDWIDTH)
    resized = devices if base is None else found.devices
    return replace(found, memory=memory, devices=resized, cpu=cpu)


def other_machine(memory: str | None, ram: str | None, base: Machine) -> Machine:
    """``base`` with the sizes that a person wrote instead; ``base`` itself where none was given.

    Raises: UsageError for what is no size.
    """
    if not memory and not ram:
        return base
    return simulate_machine(
        parse_size(memory) if memory else None, parse_size(ram) if ram else None, base
    )


def _resized(devices: tuple[Device, ...], ram: Figure) -> Iterator[Device]:
    """Devices beside another amount of system memory; what an integrated GPU may map of it is
    not known, so it is left out."""
    for device in devices:
        if device.kind is Kind.DISCRETE:
            yield device
        elif device.kind is Kind.UNIFIED:
            total = working_set(ram) if device.vendor == "Apple" else ram
            yield replace(device, total=total, free=total.doubted(_ALONE))


def _memory(ram: int) -> SystemMemory:
    none = Figure(0, _SIMULATED)
    return SystemMemory(Figure(ram, _SIMULATED), Figure(ram, _SIMULATED, _ALONE), none, none)


def simulated_gpu(id_: str, name: str, vendor: str, memory: int, bandwidth: Figure) -> Device:
    """A GPU with so many bytes of its own, all of them free."""
    return Device(
        id=id_,
        name=name,
        vendor=vendor,
        kind=Kind.DISCRETE,
        total=Figure(memory, _SIMULATED),
        free=Figure(memory, _SIMULATED, _ALONE),
        used_by_others=Figure(0, _SIMULATED, _ALONE),
        bandwidth=bandwidth,
    )


def _with_system(memory: SystemMemory) -> SystemMemory:
    """The memory of a known machine, of which its system and a desktop keep a part."""
    total = memory.total.value or 0
    kept = kept_by_system(total)
    doubt = f"assumes that the system uses {kept / _GIB:.1f} GiB, and no other program runs"
    return replace(memory, available=Figure(total - kept, _SIMULATED, doubt))


_USUAL_BANDWIDTH: Final = Figure(
    50 * 10**9,
    "assumed",
    "two channels of DDR5 as a copy sees them; one module alone has half",
    "B/s",
)
"""Of the system memory of a known machine whose GPU has its own: 51 GB/s are two channels of
DDR4-3200, 77 to 90 of DDR5-4800 to 5600, less what a copy loses."""


def _machine_of(preset: Preset) -> Machine:
    ram = preset.ram * _GIB
    machine = simulate_machine(ram=ram)
    machine = replace(machine, memory=_with_system(machine.memory))
    size = ram if preset.memory is None else preset.memory * _GIB
    rate = published_bandwidth(preset.device or preset.board, size, preset.performance_cores)
    unknown = Figure.unknown("not in the table of data sheets", unit="B/s")
    cpu = replace(machine.cpu, bandwidth=_USUAL_BANDWIDTH)
    devices: tuple[Device, ...] = ()
    if preset.device:
        prefix = {"NVIDIA": "cuda", "Apple": "metal"}.get(preset.vendor, preset.vendor.casefold())
        device = simulated_gpu(f"{prefix}:0", preset.device, preset.vendor, size, rate or unknown)
        devices = (device,)
    if preset.kind is Kind.UNIFIED:
        devices = tuple(_resized((replace(device, kind=preset.kind),), machine.memory.total))
    if preset.kind is Kind.UNIFIED or preset.board:
        cpu = replace(cpu, model=preset.device or preset.board, bandwidth=rate or unknown)
    return replace(machine, name=preset.title, cpu=cpu, devices=devices)
