"""GPUs without memory of their own: Apple silicon and NVIDIA Jetson boards."""

from __future__ import annotations

import re
from typing import Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.files import Unreadable
from gemmahub.hardware.host import Host, sysctl
from gemmahub.hardware.records import Cpu, Device, Figure, Kind, Problem, SystemMemory
from gemmahub.text import one_line

_GIB: Final = 1 << 30
_JETSON_MODEL: Final = "proc/device-tree/model"
_JETSON_RELEASE: Final = "etc/nv_tegra_release"
_JETSON_FAMILIES: Final[dict[str, tuple[str, str | None]]] = {
    "agx thor": ("Jetson AGX Thor", None),  # CUDA 12 and 13 name its capability differently
    "agx orin": ("Jetson AGX Orin", "8.7"),
    "orin nx": ("Jetson Orin NX", "8.7"),
    "orin nano": ("Jetson Orin Nano", "8.7"),
}
_WORKING_SET: Final = "Metal's recommendedMaxWorkingSetSize"
_WORKING_SET_DOUBT: Final = (
    "estimate: 2/3 of the memory, 3/4 above 36 GiB; recent macOS allows more"
    " (11.84 of 16 GiB, 107.5 of 128 GiB have been seen)"
)


# --- Apple -------------------------------------------------------------------------------------


def working_set(memory: Figure) -> Figure:
    """What Metal lets programs use of the memory, at the least.

    ``recommendedMaxWorkingSetSize`` as llama.cpp's logs show it: 5461 MiB of 8 GiB, 10922 of 16,
    21845 of 32 (two thirds), 49152 of 64, 73728 of 96 (three quarters). Later systems give more:
    11.84 GiB of 16 (llmfit #754), 107.52 of 128 (ds4 #893). The lesser value is a safe promise.
    """
    if memory.value is None:
        return Figure.unknown("the size of the memory is not known", _WORKING_SET)
    thirds = memory.value <= 36 * _GIB
    size = memory.value * 2 // 3 if thirds else memory.value * 3 // 4
    return Figure(size, f"{memory.source} and {_WORKING_SET}", _WORKING_SET_DOUBT)


def probe_apple(
    host: Host, cpu: Cpu, memory: SystemMemory, problems: list[Problem]
) -> tuple[Device, ...]:
    """The GPU of an Apple chip; an Intel Mac has none that is worth planning for."""
    if not (cpu.model or "").startswith("Apple"):
        problems.append(Problem("apple", "no Apple chip; GPUs of Intel Macs are not probed"))
        return ()
    values = sysctl(host, "iogpu.wired_limit_mb", "kern.osproductversion")
    total = _wired_limit(values.get("iogpu.wired_limit_mb", ""), memory)
    free = memory.available
    if free.value is not None and total.value is not None and total.value < free.value:
        free = Figure(total.value, total.source, total.doubt)
    version = one_line(values.get("kern.osproductversion", ""), 40)
    return (
        Device(
            id="metal:0",
            name=cpu.model or "Apple GPU",
            vendor="Apple",
            kind=Kind.UNIFIED,
            total=total,
            free=free.doubted("macOS gives up caches and compresses memory on demand"),
            used_by_others=Figure.unknown("macOS does not separate it from other memory"),
            bandwidth=cpu.bandwidth,
            driver=f"Metal of macOS {version}" if version else "Metal",
            notes=("unified memory: the GPU and the rest of the system share it",),
        ),
    )


def _wired_limit(text: str, memory: SystemMemory) -> Figure:
    """What the GPU may wire: the limit that was set, else Metal's usual share."""
    if text.isdigit() and int(text) > 0:
        return Figure(int(text) << 20, "sysctl iogpu.wired_limit_mb")
    return working_set(memory.total)


# --- Jetson ------------------------------------------------------------------------------------


def jetson_model(host: Host) -> str | None:
    """The board's name when this is an NVIDIA Jetson, else None."""
    if host.system != "linux":
        return None
    try:
        model = host.files.text(_JETSON_MODEL)
    except Unreadable:
        return None
    tegra = model is not None and re.search(r"NVIDIA.*(Jetson|Orin|Xavier|Thor)", model)
    return one_line(model, 100) if model and tegra else None


def jetson_bandwidth(family: str, memory: int | None) -> Figure | None:
    """Published bandwidth of a board of which only the chip is known (``Orin``): the memory tells
    which module it is, and where two have as much, the slower one counts."""
    if family != "Orin":
        return published_bandwidth(f"Jetson AGX {family}")
    if memory is None:
        return None
    module = "AGX Orin" if memory > 20 * _GIB else "Orin NX" if memory > 10 * _GIB else "Orin Nano"
    figure = published_bandwidth(f"Jetson {module}", memory=memory)
    return None if figure is None else figure.doubted("the module is taken from its memory")


def probe_jetson(host: Host, model: str, memory: SystemMemory) -> tuple[Device, ...]:
    """The GPU of a Jetson board. NVML is not asked: it knows most of these boards poorly."""
    family, capability = next(
        (known for words, known in _JETSON_FAMILIES.items() if words in model.casefold()),
        (None, None),
    )
    return (
        Device(
            id="cuda:0",
            name=model,
            vendor="NVIDIA",
            kind=Kind.UNIFIED,
            total=memory.usable,
            free=memory.available,
            used_by_others=Figure.unknown("the board does not separate it from other memory"),
            bandwidth=published_bandwidth(family, memory=memory.total.value)
            or Figure.unknown("not in the table of data sheets", unit="B/s"),
            compute_capability=capability,
            driver=_tegra_release(host),
            notes=("unified memory: the GPU and the rest of the system share it",),
        ),
    )


def _tegra_release(host: Host) -> str | None:
    """``L4T R36.4`` from a line such as ``# R36 (release), REVISION: 4.0, ...``."""
    try:
        text = host.files.text(_JETSON_RELEASE) or ""
    except Unreadable:
        return None
    match = re.search(r"# (R[0-9]+) \(release\), REVISION: ([0-9.]+)", text)
    return f"L4T {match[1]}.{match[2]}" if match else None
