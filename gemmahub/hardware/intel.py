"""Intel GPUs through the sysfs files of the xe and i915 drivers.

``xe`` tells the size of local memory as ``device/tile*/physical_vram_size_bytes``, ``i915`` as
``lmem_total_bytes`` of the card. Neither tells an unprivileged process what is free (``xe`` does
so in debugfs, for root).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.drm import Card, cards_of, driver_version
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.records import Device, Figure, Kind, Problem, SystemMemory

if TYPE_CHECKING:
    from gemmahub.hardware.host import Host

PROBE: Final = "intel"
_VENDOR: Final = 0x8086
_GIB: Final = 1 << 30

# Cards by PCI device id with their memory in GiB where all cards of that id have the same.
_CARDS: Final[dict[int, tuple[str, int | None]]] = {
    0x56A0: ("Intel Arc A770 Graphics", None),
    0x56A1: ("Intel Arc A750 Graphics", 8),
    0x56A2: ("Intel Arc A580 Graphics", 8),
    0x56A5: ("Intel Arc A380 Graphics", 6),
    0xE20B: ("Intel Arc B580 Graphics", 12),
    0xE20C: ("Intel Arc B570 Graphics", 10),
}


def probe_intel(host: Host, memory: SystemMemory, problems: list[Problem]) -> tuple[Device, ...]:
    """All Intel GPUs, discrete and integrated."""
    cards = cards_of(host.files, _VENDOR, PROBE, problems)
    return tuple(
        _device(host.files, card, f"intel:{index}", memory, problems)
        for index, card in enumerate(cards)
    )


def _device(
    files: SystemFiles, card: Card, id_: str, memory: SystemMemory, problems: list[Problem]
) -> Device:
    name, gib = _CARDS.get(card.device_id, (None, None))
    try:
        total = _local_memory(files, card)
    except Unreadable as error:
        problems.append(Problem(PROBE, str(error)))
        total = None
    # Intel's integrated GPU has been device 2 of the first bus in all processors that have one.
    integrated = total is None and name is None and (card.slot or "").endswith(":00:02.0")
    figure = published_bandwidth(name, memory=None if total is None else total.value)
    driver = card.driver or "unknown driver"
    device = Device(
        id=id_,
        name=name or f"Intel GPU {_VENDOR:04x}:{card.device_id:04x}",
        vendor="Intel",
        kind=Kind.INTEGRATED if integrated else Kind.DISCRETE,
        total=total or _listed(gib, driver),
        free=_free(files, card),
        used_by_others=Figure.unknown(f"{driver} tells nobody but root"),
        bandwidth=figure or Figure.unknown("not in the table of data sheets", unit="B/s"),
        driver=driver_version(files, driver),
    )
    return _shared(device, memory) if integrated else device


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


def _listed(gib: int | None, driver: str) -> Figure:
    if gib is None:
        return Figure.unknown(f"{driver} does not tell the size of local memory")
    return Figure(gib * _GIB, "Intel ARK", "by the card's id; the driver does not tell")


def _free(files: SystemFiles, card: Card) -> Figure:
    try:
        size = files.integer(f"{card.folder}/lmem_avail_bytes")
    except Unreadable:
        size = None
    if size is None:
        return Figure.unknown(f"{card.driver or 'the driver'} tells nobody but root")
    return Figure(size, "sysfs lmem_avail_bytes")


def _shared(device: Device, memory: SystemMemory) -> Device:
    doubt = "the system's memory; how much of it the driver maps is not known"
    return Device(
        id=device.id,
        name=device.name,
        vendor=device.vendor,
        kind=Kind.INTEGRATED,
        total=memory.usable.doubted(doubt),
        free=memory.available.doubted(doubt),
        used_by_others=device.used_by_others,
        bandwidth=device.bandwidth,
        driver=device.driver,
    )
