"""Intel GPUs through the sysfs files of the xe and i915 drivers.

``xe`` tells the size of local memory as ``device/tile*/physical_vram_size_bytes``, ``i915`` as
``lmem_total_bytes`` of the card. Neither tells an unprivileged process what is free (``xe`` does
so in debugfs, for root). Names by PCI id: the kernel's include/drm/intel/pciids.h and Mesa's
include/pci_ids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.drm import Card, cards_of, driver_version, hindrance, listed_name
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.records import Device, Figure, Kind, Problem, assumed_free

if TYPE_CHECKING:
    from gemmahub.hardware.device_probe import Seen
    from gemmahub.hardware.records import Cpu, SystemMemory

PROBE: Final = "intel"
_VENDOR: Final = 0x8086
_GIB: Final = 1 << 30

# Cards by PCI device id, and the sizes in GiB with which cards of that id were sold, the usual one
# first.
_CARDS: Final[dict[int, tuple[str, tuple[int, ...]]]] = {
    0x5690: ("Arc A770M", (16,)), 0x5691: ("Arc A730M", (12,)), 0x5692: ("Arc A550M", (8,)),
    0x5693: ("Arc A370M", (4,)), 0x5694: ("Arc A350M", (4,)),
    0x56A0: ("Arc A770", (16, 8)), 0x56A1: ("Arc A750", (8,)),
    0x56A2: ("Arc A580", (8,)), 0x56A5: ("Arc A380", (6,)), 0x56A6: ("Arc A310", (4,)),
    0x56B0: ("Arc Pro A30M", (4,)), 0x56B1: ("Arc Pro A40/A50", (6,)),
    0x56B3: ("Arc Pro A60", (12,)),
    0x56C0: ("Data Center GPU Flex 170", (16,)), 0x56C1: ("Data Center GPU Flex 140", (6,)),
    0xE20B: ("Arc B580", (12,)), 0xE20C: ("Arc B570", (10,)), 0xE211: ("Arc Pro B60", (24,)),
    0xE212: ("Arc Pro B50", (16,)), 0xE223: ("Arc Pro B70", (32,)),
}  # fmt: skip
_LOCAL_MEMORY_BAR: Final = 2
_MAPPED: Final = (3, 4)
_MAPPED_DOUBT: Final = "3/4 of the system's memory, which Mesa's Vulkan driver offers at most"


def probe_intel(seen: Seen) -> tuple[Device, ...]:
    """All Intel GPUs, discrete and integrated."""
    files = seen.host.files
    cards = cards_of(files, _VENDOR, PROBE, seen.problems)
    return tuple(_device(files, card, f"intel:{n}", seen) for n, card in enumerate(cards))


def _device(files: SystemFiles, card: Card, id_: str, seen: Seen) -> Device:
    known, sizes = _CARDS.get(card.device_id, ("", ()))
    name = f"Intel {known} Graphics" if known else None
    name = name or listed_name(files, _VENDOR, card.device_id, "Intel")
    try:
        total = _local_memory(files, card)
    except Unreadable as error:
        seen.problems.append(Problem(PROBE, str(error)))
        total = None
    # Intel's integrated GPU has been device 2 of the first bus in all processors that have one.
    integrated = total is None and not known and (card.slot or "").endswith(":00:02.0")
    driver = card.driver or "unknown driver"
    total = total or _listed(files, card, sizes, driver)
    figure = published_bandwidth(name, memory=total.value)
    barred = hindrance(files, card)
    if barred is not None:
        seen.problem(barred.reason, barred.hint)
    device = Device(
        id=id_,
        name=name or f"Intel GPU {_VENDOR:04x}:{card.device_id:04x}",
        vendor="Intel",
        kind=Kind.DISCRETE,
        total=total,
        free=_free(files, card, total),
        used_by_others=Figure.unknown(f"{driver} reports it to root only"),
        bandwidth=figure or Figure.unknown("not in the table of data sheets", unit="B/s"),
        driver=driver_version(files, driver),
        pci=card.slot,
        unusable="" if barred is None else barred.reason,
    )
    return _integrated(device, seen.cpu, seen.memory) if integrated else device


def _local_memory(files: SystemFiles, card: Card) -> Figure | None:
    tiles = [
        files.integer(f"{card.device}/{tile}/physical_vram_size_bytes")
        for tile in files.names(card.device, "tile[0-9]+")
    ]
    sizes = [size for size in tiles if size]
    if sizes:
        return Figure(sum(sizes), "sysfs tile*/physical_vram_size_bytes", "includes a reserve")
    size = files.integer(f"{card.folder}/lmem_total_bytes")
    return Figure(size, "sysfs lmem_total_bytes") if size else None


def _listed(files: SystemFiles, card: Card, sizes: tuple[int, ...], driver: str) -> Figure:
    """By the card's id. Of several sizes the largest that the window onto it can show counts; where
    that window is small the smallest, and where it cannot be seen the usual one."""
    if not sizes:
        return Figure.unknown(f"{driver} does not report the size of local memory")
    doubt = "by the card's id; the driver does not report it"
    window = _window(files, card)
    shown = [gib for gib in sizes if window is not None and gib * _GIB <= window]
    size = sizes[0] if window is None else max(shown, default=min(sizes))
    if len(sizes) > 1:
        sold = " and ".join(str(gib) for gib in sizes)
        doubt = f"{doubt}; this card was sold with {sold} GiB"
    return Figure(size * _GIB, "Intel ARK", doubt)


def _window(files: SystemFiles, card: Card) -> int | None:
    """Bytes of local memory that the processor can see through the PCI bus; None if unknown."""
    try:
        lines = (files.text(f"{card.device}/resource") or "").splitlines()
        start, end, _ = (int(number, 16) for number in lines[_LOCAL_MEMORY_BAR].split())
    except (Unreadable, ValueError, IndexError):
        return None
    return end - start + 1 if end > start else None


def _free(files: SystemFiles, card: Card, total: Figure) -> Figure:
    try:
        size = files.integer(f"{card.folder}/lmem_avail_bytes")
    except Unreadable:
        size = None
    if size is None:
        why = f"{card.driver or 'the driver'} reports free memory to root only"
        return assumed_free(total, why)
    return Figure(size, "sysfs lmem_avail_bytes")


def _integrated(device: Device, cpu: Cpu, memory: SystemMemory) -> Device:
    """The same GPU with a part of the system's memory, at the system's bandwidth."""
    usable, free = memory.usable, memory.available
    total = usable.doubted(_MAPPED_DOUBT)
    if usable.value is not None:
        part, whole = _MAPPED
        total = replace(total, value=usable.value * part // whole)
        if free.value is not None and total.value is not None and total.value < free.value:
            free = total
    return replace(
        device,
        kind=Kind.INTEGRATED,
        total=total,
        free=free.doubted(_MAPPED_DOUBT) if free is not total else free,
        bandwidth=cpu.bandwidth.doubted("the system's memory"),
    )
