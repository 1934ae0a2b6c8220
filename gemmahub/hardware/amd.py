"""AMD GPUs through the sysfs files of the amdgpu driver.

Sources: the kernel's Documentation/gpu/amdgpu/driver-misc.rst (``mem_info_*``, in bytes), the KFD
topology (gfx target), libdrm's ``amdgpu.ids`` (names by device and revision).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.drm import Card, cards_of, driver_version
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.records import Device, Figure, Kind, Problem, SystemMemory
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.hardware.host import Host

PROBE: Final = "amd"
_VENDOR: Final = 0x1002
_IDS: Final = "usr/share/libdrm/amdgpu.ids"
_KFD: Final = "sys/class/kfd/kfd/topology/nodes"
_SMALL_CARVE_OUT: Final = 1 << 30

# Integrated GPUs by PCI device id; the name is AMD's code name.
_INTEGRATED: Final = {
    0x15DD: "Raven Ridge", 0x15D8: "Picasso", 0x1636: "Renoir", 0x164C: "Lucienne",
    0x1638: "Cezanne", 0x163F: "Van Gogh", 0x164D: "Rembrandt", 0x1681: "Rembrandt",
    0x164E: "Raphael", 0x1506: "Mendocino", 0x15BF: "Phoenix", 0x15C8: "Phoenix",
    0x1900: "Hawk Point", 0x1901: "Hawk Point", 0x150E: "Strix Point", 0x1586: "Strix Halo",
}  # fmt: skip

# Cards that an older amdgpu.ids does not know, by PCI device id and revision.
_CARDS: Final = {
    (0x744C, 0xC8): "AMD Radeon RX 7900 XTX", (0x744C, 0xCC): "AMD Radeon RX 7900 XT",
    (0x744C, 0xCE): "AMD Radeon RX 7900 GRE", (0x747E, 0xC8): "AMD Radeon RX 7800 XT",
    (0x747E, 0xFF): "AMD Radeon RX 7700 XT", (0x7480, 0xC0): "AMD Radeon RX 7600 XT",
    (0x7480, 0xCF): "AMD Radeon RX 7600", (0x7550, 0xC0): "AMD Radeon RX 9070 XT",
    (0x7550, 0xC3): "AMD Radeon RX 9070", (0x7590, 0xC0): "AMD Radeon RX 9060 XT",
    (0x73BF, 0xC0): "AMD Radeon RX 6900 XT", (0x73BF, 0xC1): "AMD Radeon RX 6800 XT",
    (0x73BF, 0xC3): "AMD Radeon RX 6800", (0x73DF, 0xC1): "AMD Radeon RX 6700 XT",
    (0x73FF, 0xC1): "AMD Radeon RX 6600 XT", (0x73FF, 0xC7): "AMD Radeon RX 6600",
}  # fmt: skip


def probe_amd(host: Host, memory: SystemMemory, problems: list[Problem]) -> tuple[Device, ...]:
    """All AMD GPUs that the amdgpu driver runs."""
    files = host.files
    cards = list(cards_of(files, _VENDOR, PROBE, problems))
    targets = _gfx_targets(files) if cards else {}
    found: list[Device] = []
    for card in cards:
        if card.driver not in (None, "amdgpu"):
            reason = f"{card.label}: the driver {card.driver} tells no memory sizes"
            problems.append(Problem(PROBE, reason))
        found.append(_device(files, card, f"amd:{len(found)}", memory, targets, problems))
    return tuple(found)


def _device(
    files: SystemFiles,
    card: Card,
    id_: str,
    memory: SystemMemory,
    targets: dict[str, str],
    problems: list[Problem],
) -> Device:
    vram = _pool(files, card, "vram", problems)
    gtt = _pool(files, card, "gtt", problems)
    kind, notes = _kind(card, vram[0].value)
    name = _name(files, card)
    figure = published_bandwidth(name, memory=vram[0].value)
    if figure is None:
        figure = published_bandwidth(_INTEGRATED.get(card.device_id))
    return Device(
        id=id_,
        name=name,
        vendor="AMD",
        kind=kind,
        total=vram[0],
        free=vram[1],
        used_by_others=vram[2],
        bandwidth=figure or Figure.unknown("not in the table of data sheets", unit="B/s"),
        shared_total=gtt[0],
        shared_free=_bounded(gtt[1], memory),
        compute_capability=targets.get(card.slot or ""),
        driver=driver_version(files, card.driver or "amdgpu"),
        notes=notes,
    )


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
    total, used = values
    reason = "amdgpu does not tell"
    return (
        Figure(total, f"sysfs {names[0]}", "" if total is not None else reason),
        Figure(max(0, total - used), f"sysfs {names[0]} - {names[1]}")
        if total is not None and used is not None
        else Figure.unknown(reason),
        Figure(used, f"sysfs {names[1]}", "may include this program's own engines")
        if used is not None
        else Figure.unknown(reason),
    )


def _bounded(mapped: Figure, memory: SystemMemory) -> Figure:
    """Memory that the driver would map, as far as the system has it."""
    here = memory.available
    if mapped.value is None or here.value is None or here.value >= mapped.value:
        return mapped
    return here.doubted("less than the driver would map (GTT)")


def _kind(card: Card, vram: int | None) -> tuple[Kind, tuple[str, ...]]:
    if card.device_id in _INTEGRATED:
        note = f"{_INTEGRATED[card.device_id]}: VRAM is carved out of the system's memory"
        return Kind.INTEGRATED, (note, _gtt_note())
    if vram is not None and vram <= _SMALL_CARVE_OUT:
        return Kind.INTEGRATED, ("taken for integrated: it has 1 GiB of VRAM or less", _gtt_note())
    return Kind.DISCRETE, ()


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
    return known or f"AMD GPU {_VENDOR:04x}:{card.device_id:04x}"


def _gfx_targets(files: SystemFiles) -> dict[str, str]:
    """The compiler's name of each GPU (``gfx1100``) by PCI slot, from the KFD topology."""
    found: dict[str, str] = {}
    try:
        nodes = files.names(_KFD, "[0-9]+")
        texts = [files.text(f"{_KFD}/{node}/properties") or "" for node in nodes]
    except Unreadable:
        return found
    for text in texts:
        values = {key: int(value) for key, value in re.findall(r"^(\w+) ([0-9]+)$", text, re.M)}
        version, place = values.get("gfx_target_version"), values.get("location_id")
        if version and place is not None:
            slot = (
                f"{values.get('domain', 0):04x}:{place >> 8:02x}:{place >> 3 & 31:02x}.{place & 7}"
            )
            major, rest = divmod(version, 10_000)
            found[slot] = f"gfx{major}{rest // 100:x}{rest % 100:x}"
    return found
