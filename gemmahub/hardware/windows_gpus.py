"""AMD and Intel GPUs on Windows, as their drivers write them into the registry.

NVIDIA's GPUs are asked through NVML. Written from the documents and tested with recorded answers,
not on Windows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.records import Device, Figure, Kind, assumed_free
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.hardware.device_probe import Seen
    from gemmahub.hardware.records import SystemMemory

_MAKERS: Final = {"1002": ("amd", "AMD"), "8086": ("intel", "Intel")}
_SOURCE: Final = "registry HardwareInformation.qwMemorySize"
# Integrated by name: of Intel all but the cards with a number (Arc B390 and B370 are none), of AMD
# those without a number (Radeon Graphics) and the numbers of APUs (780M, 8060S).
_CARD_OF_INTEL: Final = re.compile(
    r"\b(Arc (Pro )?(?!B3[0-9]0)[AB][0-9]{2,3}|Data Center GPU)", re.IGNORECASE
)
_APU_OF_AMD: Final = re.compile(r"Radeon (Graphics$|[0-9]{3,4}[MS]\b)", re.IGNORECASE)
_HALF: Final = "half of the system's memory, which Windows lends at most"
_UNKNOWN: Final = "the driver does not write it to the registry"


def probe_windows(seen: Seen) -> tuple[Device, ...]:
    """The GPUs of AMD and Intel, each maker's numbered from 0."""
    found: list[Device] = []
    for adapter in seen.host.display_adapters():
        match = re.match(r"pci\\ven_([0-9a-f]{4})&", str(adapter.get("MatchingDeviceId")).lower())
        prefix, maker = _MAKERS.get(match[1] if match else "", ("", ""))
        if prefix:
            number = sum(device.vendor == maker for device in found)
            found.append(_device(seen, adapter, f"{prefix}:{number}", maker))
    return tuple(found)


def _device(seen: Seen, adapter: Mapping[str, Any], id_: str, maker: str) -> Device:
    name = one_line(str(adapter.get("DriverDesc") or f"{maker} GPU"), 100)
    size = adapter.get("HardwareInformation.qwMemorySize")
    known = isinstance(size, int) and size > 0
    total = Figure(size, _SOURCE) if known else Figure.unknown(_UNKNOWN, _SOURCE)
    integrated = _is_integrated(name, maker)
    rate = published_bandwidth(name, memory=total.value)
    if rate is None and integrated:
        rate = seen.cpu.bandwidth.doubted("the system's memory")
    device = Device(
        id=id_,
        name=name,
        vendor=maker,
        kind=Kind.INTEGRATED if integrated else Kind.DISCRETE,
        total=total,
        free=assumed_free(total, "gemmahub does not ask Windows for it"),
        used_by_others=Figure.unknown("gemmahub does not ask Windows for it"),
        bandwidth=rate or Figure.unknown("not in the table of data sheets", unit="B/s"),
        driver=one_line(str(adapter.get("DriverVersion") or ""), 60) or None,
    )
    return _lent(device, seen.memory) if integrated else device


def _is_integrated(name: str, maker: str) -> bool:
    plain = " ".join(re.sub(r"\((TM|R)\)", " ", name).split())
    if maker == "Intel":
        return _CARD_OF_INTEL.search(plain) is None
    return _APU_OF_AMD.search(plain) is not None


def _lent(device: Device, memory: SystemMemory) -> Device:
    """With the half of the system's memory that Windows lends to a GPU at most."""
    total, free = memory.usable.doubted(_HALF), memory.available.doubted(_HALF)
    if total.value is not None:
        total = replace(total, value=total.value // 2)
        if free.value is not None and free.value > (total.value or 0):
            free = total
    if device.vendor == "Intel" or device.total.value is None:  # what it has of its own is a trifle
        return replace(device, total=total, free=free)
    return replace(device, shared_total=total, shared_free=free)
