"""AMD GPUs through the sysfs files of the amdgpu driver.

Sources: the kernel's Documentation/gpu/amdgpu/driver-misc.rst (``mem_info_*``, in bytes), libdrm's
``amdgpu.ids`` (names by device and revision), kgd_pp_interface.h (``gpu_metrics``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.drm import (
    RIGHTS_HINT,
    Card,
    cards_of,
    driver_version,
    hindrance,
    listed_name,
    shows_devices,
)
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.kfd import Compute, compute_nodes
from gemmahub.hardware.records import Device, Figure, Kind, Problem, assumed_free
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.hardware.device_probe import Seen
    from gemmahub.hardware.records import SystemMemory

PROBE: Final = "amd"
_VENDOR: Final = 0x1002
_IDS: Final = "usr/share/libdrm/amdgpu.ids"
_SMALL_CARVE_OUT: Final = 1 << 30
_MI300A: Final = 0x74A0  # its memory is the processor's, too, and all of it is VRAM to the driver
_APU_METRICS: Final = 2  # from this version on the table of sensors is that of an APU

# Integrated GPUs by PCI device id; the name is AMD's code name.
_INTEGRATED: Final = {
    0x15DD: "Raven Ridge", 0x15D8: "Picasso", 0x1636: "Renoir", 0x164C: "Lucienne",
    0x1638: "Cezanne", 0x163F: "Van Gogh", 0x164D: "Rembrandt", 0x1681: "Rembrandt",
    0x164E: "Raphael", 0x1506: "Mendocino", 0x15BF: "Phoenix", 0x15C8: "Phoenix",
    0x1900: "Hawk Point", 0x1901: "Hawk Point", 0x150E: "Strix Point", 0x1586: "Strix Halo",
    0x1114: "Krackan Point", 0x15E7: "Barcelo", 0x13C0: "Granite Ridge",
}  # fmt: skip

# Cards that an older amdgpu.ids does not know, by PCI device id and revision.
_CARDS: Final = {
    (0x744C, 0xC8): "AMD Radeon RX 7900 XTX", (0x744C, 0xCC): "AMD Radeon RX 7900 XT",
    (0x744C, 0xCE): "AMD Radeon RX 7900 GRE", (0x747E, 0xC8): "AMD Radeon RX 7800 XT",
    (0x747E, 0xFF): "AMD Radeon RX 7700 XT", (0x7480, 0xC0): "AMD Radeon RX 7600 XT",
    (0x7480, 0xCF): "AMD Radeon RX 7600", (0x7550, 0xC0): "AMD Radeon RX 9070 XT",
    (0x7550, 0xC3): "AMD Radeon RX 9070", (0x7590, 0xC0): "AMD Radeon RX 9060 XT",
    (0x7551, 0xC0): "AMD Radeon AI PRO R9700",
    (0x74A0, 0x00): "AMD Instinct MI300A", (0x74A1, 0x00): "AMD Instinct MI300X",
    (0x73BF, 0xC0): "AMD Radeon RX 6900 XT", (0x73BF, 0xC1): "AMD Radeon RX 6800 XT",
    (0x73BF, 0xC3): "AMD Radeon RX 6800", (0x73DF, 0xC1): "AMD Radeon RX 6700 XT",
    (0x73FF, 0xC1): "AMD Radeon RX 6600 XT", (0x73FF, 0xC7): "AMD Radeon RX 6600",
}  # fmt: skip


def probe_amd(seen: Seen) -> tuple[Device, ...]:
    """All AMD GPUs that the amdgpu driver runs."""
    files, problems = seen.host.files, seen.problems
    cards = list(cards_of(files, _VENDOR, PROBE, problems))
    nodes = compute_nodes(files) if cards else {}
    found: list[Device] = []
    for card in cards:
        if card.driver not in (None, "amdgpu"):
            reason = f"{card.label}: the driver {card.driver} does not report memory sizes"
            problems.append(Problem(PROBE, reason))
        device = _device(files, card, f"amd:{len(found)}", nodes.get(card.slot or ""), seen)
        found.append(replace(device, unusable=_barred(files, card, device, seen)))
    return tuple(found)


def _barred(files: SystemFiles, card: Card, device: Device, seen: Seen) -> str:
    """Why no engine can open the card; where only ROCm cannot, that is a problem and no more."""
    barred = hindrance(files, card)
    if barred is not None:
        seen.problem(barred.reason, barred.hint)
        return barred.reason
    if shows_devices(files) and device.compute_capability and not files.may_use("dev/kfd"):
        if files.exists("dev/kfd"):
            seen.problem("ROCm cannot use it: no permission to open /dev/kfd", RIGHTS_HINT)
        else:
            reason = "ROCm cannot use it: there is no /dev/kfd here; Vulkan can"
            seen.problem(reason, "start the container with --device /dev/kfd --device /dev/dri")
    return ""


def _device(
    files: SystemFiles, card: Card, id_: str, compute: Compute | None, seen: Seen
) -> Device:
    vram = _pool(files, card, "vram", seen.problems)
    gtt = _pool(files, card, "gtt", seen.problems)
    kind, notes = _kind(files, card, vram[0].value)
    name = _name(files, card)
    device = Device(
        id=id_,
        name=name,
        vendor="AMD",
        kind=kind,
        total=vram[0],
        free=vram[1],
        used_by_others=vram[2],
        bandwidth=_bandwidth(card, name, vram[0].value, kind, compute, seen),
        shared_total=gtt[0],
        shared_free=_bounded(gtt[1], seen.memory),
        compute_capability=compute.target if compute is not None else None,
        driver=driver_version(files, card.driver or "amdgpu"),
        notes=notes,
        pci=card.slot,
    )
    if kind is not Kind.UNIFIED:
        return device
    # One memory: what can be mapped besides is the same bytes again.
    free = _bounded(vram[1], seen.memory)
    return replace(device, free=free, shared_total=None, shared_free=None)


def _bandwidth(
    card: Card, name: str, vram: int | None, kind: Kind, compute: Compute | None, seen: Seen
) -> Figure:
    """Published, by the name or the chip's; else of an integrated GPU the system's, and of a card
    what clock and width give."""
    chip = _INTEGRATED.get(card.device_id)
    published = published_bandwidth(name, memory=vram) or published_bandwidth(chip)
    if published is not None:
        return published
    if kind is Kind.INTEGRATED:
        return seen.cpu.bandwidth.doubted("the system's memory")
    if compute is not None and compute.bandwidth is not None:
        return compute.bandwidth
    return Figure.unknown("not in the table of data sheets", unit="B/s")


def _pool(
    files: SystemFiles, card: Card, pool: str, problems: list[Problem]
) -> tuple[Figure, Figure, Figure]:
    """Total, free and used bytes of VRAM or GTT."""
    values: list[int | None] = []
    names = [f"mem_info_{pool}_{part}" for part in ("total", "used")]
    for name in names:
        try:
            values.append(files.integer(f"{card.device}/{name}"))
        except Unreadable as error:
            problems.append(Problem(PROBE, str(error)))
            values.append(None)
    total, used = values[0] or None, values[1]
    reason = "amdgpu does not report it"
    whole = Figure(total, f"sysfs {names[0]}", "" if total is not None else reason)
    return (
        whole,
        Figure(max(0, total - used), f"sysfs {names[0]} - {names[1]}")
        if total is not None and used is not None
        else assumed_free(whole, "amdgpu does not report what is used"),
        Figure(used, f"sysfs {names[1]}", "may include this program's own engines")
        if used is not None
        else Figure.unknown(reason),
    )


def _bounded(mapped: Figure, memory: SystemMemory) -> Figure:
    """Memory that the driver would map, as far as the system has it."""
    here = memory.available
    if mapped.value is None or here.value is None or here.value >= mapped.value:
        return mapped
    return here.doubted("less than the driver would map")


def _kind(files: SystemFiles, card: Card, vram: int | None) -> tuple[Kind, tuple[str, ...]]:
    if card.device_id == _MI300A:
        note = "unified memory: the GPU and the rest of the system share it"
        return Kind.UNIFIED, (note,)
    if card.device_id in _INTEGRATED or _has_apu_metrics(files, card):
        chip = _INTEGRATED.get(card.device_id, "an APU")
        note = f"{chip}: VRAM is carved out of the system's memory, which does not count it"
        return Kind.INTEGRATED, (note, _gtt_note())
    if vram is not None and vram <= _SMALL_CARVE_OUT:
        return Kind.INTEGRATED, ("taken for integrated: it has 1 GiB of VRAM or less", _gtt_note())
    return Kind.DISCRETE, ()


def _has_apu_metrics(files: SystemFiles, card: Card) -> bool:
    """Whether the driver's sensors are an APU's: the third byte is the version of their table."""
    try:
        head = files.content(f"{card.device}/gpu_metrics") or b""
    except Unreadable:
        return False
    return len(head) > 2 and head[2] >= _APU_METRICS


def _gtt_note() -> str:
    return "engines on Vulkan, and on ROCm since Linux 6.10, can use mapped memory (GTT), too"


def _name(files: SystemFiles, card: Card) -> str:
    try:
        product = files.text(f"{card.device}/product_name")
        if product:
            return one_line(product, 100)
        pattern = rf"^{card.device_id:04X},\s*{card.revision or 0:02X},\s*(.+)$"
        listed = re.search(pattern, files.text(_IDS) or "", re.MULTILINE | re.IGNORECASE)
    except Unreadable:
        listed = None
    if listed is not None:
        return one_line(listed[1], 100)
    known = _CARDS.get((card.device_id, card.revision or 0))
    if known is None and card.device_id in _INTEGRATED:
        known = f"AMD Radeon Graphics ({_INTEGRATED[card.device_id]})"
    known = known or listed_name(files, _VENDOR, card.device_id, "AMD")
    return known or f"AMD GPU {_VENDOR:04x}:{card.device_id:04x}"
