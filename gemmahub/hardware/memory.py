"""The system's memory: total, available, swap, and the limit that a container sets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemmahub.hardware.cgroup import limited, memory_limits
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.host import Host, describe, sysctl
from gemmahub.hardware.records import Figure, Memory, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE: Final = "memory"
_MEMINFO: Final = "/proc/meminfo"
_MEMINFO_LINE: Final = re.compile(r"([A-Za-z0-9_()]+):\s+([0-9]{1,15}) kB")
_SWAP: Final = re.compile(r"total = ([0-9.]+)M\s+used = [0-9.]+M\s+free = ([0-9.]+)M")
_CACHE_DOUBT: Final = "the kernel's estimate; includes file cache that can be dropped"


def unknown_memory(reason: str) -> Memory:
    """Memory of which nothing is known."""
    return Memory(*[Figure.unknown(reason)] * 4)


def probe_memory(host: Host, problems: list[Problem]) -> Memory:
    """Memory of the machine and what this process may use of it."""
    if host.system == "darwin":
        return _macos(host, problems)
    if host.system == "win32":
        return _windows(problems)
    return _linux(host.files, problems)


# --- Linux -------------------------------------------------------------------------------------


def _linux(files: SystemFiles, problems: list[Problem]) -> Memory:
    values = _meminfo(files, problems)
    total = _meminfo_figure(values, "MemTotal")
    available = _meminfo_figure(values, "MemAvailable", _CACHE_DOUBT)
    if available.value is None and "MemFree" in values:
        available = _meminfo_figure(values, "MemFree", "file cache that can be dropped is left out")
    limits = [
        limit
        for limit in memory_limits(files, problems)
        if total.value is None or limit.limit < total.value
    ]
    tightest = min(limits, key=lambda limit: limit.limit, default=None)
    return Memory(
        total=total,
        available=limited(available, limits),
        swap_total=_meminfo_figure(values, "SwapTotal"),
        swap_free=_meminfo_figure(values, "SwapFree"),
        limit=None if tightest is None else Figure(tightest.limit, tightest.file),
    )


def _meminfo(files: SystemFiles, problems: list[Problem]) -> dict[str, int]:
    """Bytes by name; lines without a unit (counts of pages) are not asked for."""
    try:
        text = files.text("proc/meminfo")
    except Unreadable as error:
        problems.append(Problem(PROBE, str(error)))
        return {}
    if text is None:
        problems.append(Problem(PROBE, f"{_MEMINFO} does not exist"))
        return {}
    matches = filter(None, map(_MEMINFO_LINE.fullmatch, map(str.strip, text.splitlines())))
    values = {match[1]: int(match[2]) * 1024 for match in matches}
    missing = [name for name in ("MemTotal", "MemAvailable") if name not in values]
    if missing:
        problems.append(Problem(PROBE, f"{_MEMINFO} has no readable line {', '.join(missing)}"))
    if not values.get("MemTotal", 1):
        problems.append(Problem(PROBE, f"{_MEMINFO} says that there is no memory"))
        del values["MemTotal"]
    return values


def _meminfo_figure(values: Mapping[str, int], name: str, doubt: str = "") -> Figure:
    source = f"{_MEMINFO} {name}"
    if name not in values:
        return Figure.unknown(f"{_MEMINFO} has no readable line {name}", source)
    return Figure(values[name], source, doubt)


# --- macOS -------------------------------------------------------------------------------------


def _macos(host: Host, problems: list[Problem]) -> Memory:
    try:
        values = sysctl(host, "hw.memsize", "vm.swapusage")
        pages = host.command(("/usr/bin/vm_stat",))
    except Exception as error:  # noqa: BLE001 - whatever a command does is a line
        problems.append(Problem(PROBE, describe(error)))
        return unknown_memory(describe(error))
    memsize = values.get("hw.memsize", "")
    if memsize.isdigit():
        total = Figure(int(memsize), "sysctl hw.memsize")
    else:
        problems.append(Problem(PROBE, "sysctl does not say hw.memsize"))
        total = Figure.unknown("sysctl does not say hw.memsize")
    swap = _SWAP.search(values.get("vm.swapusage", ""))
    sizes = (None, None) if swap is None else (_mebibytes(swap[1]), _mebibytes(swap[2]))
    return Memory(
        total,
        _vm_stat_available(pages, problems),
        *(Figure(size, "sysctl vm.swapusage", "macOS grows its swap as needed") for size in sizes),
    )


def _mebibytes(text: str) -> int | None:
    try:
        return int(float(text) * (1 << 20))
    except ValueError:
        return None


def _vm_stat_available(text: str, problems: list[Problem]) -> Figure:
    """Free, speculative and inactive pages: what macOS can give without compressing or swapping."""
    size = re.search(r"page size of ([0-9]+) bytes", text)
    counts = dict(re.findall(r"^Pages ([a-z ]+):\s+([0-9]+)\.$", text, re.MULTILINE))
    if size is None or not {"free", "inactive", "speculative"} <= set(counts):
        problems.append(Problem(PROBE, "vm_stat says nothing that is understood"))
        return Figure.unknown("vm_stat says nothing that is understood")
    pages = sum(int(counts[name]) for name in ("free", "inactive", "speculative"))
    doubt = "inactive pages may hold data of other programs that has to be written out first"
    return Figure(pages * int(size[1]), "vm_stat free + inactive + speculative", doubt)


# --- Windows -----------------------------------------------------------------------------------


def _windows(problems: list[Problem]) -> Memory:
    source = "GlobalMemoryStatusEx"
    try:
        total, available, page_total, page_free = _global_memory_status()
    except Exception as error:  # noqa: BLE001 - ctypes on a system that is not here
        problems.append(Problem(PROBE, f"{source}: {describe(error)}"))
        return unknown_memory(f"{source} failed")
    doubt = "page file alone: commit limit less memory"
    return Memory(
        Figure(total, f"{source} ullTotalPhys"),
        Figure(available, f"{source} ullAvailPhys"),
        Figure(max(0, page_total - total), f"{source} ullTotalPageFile", doubt),
        Figure(max(0, page_free - available), f"{source} ullAvailPageFile", doubt),
    )


def _global_memory_status() -> tuple[int, int, int, int]:
    """Total and available memory, total and available commit, in bytes (Win32 MEMORYSTATUSEX)."""
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in _STATUS_SIZES),
        )

    status = Status(length=ctypes.sizeof(Status))
    library: Any = getattr(ctypes, "windll")  # noqa: B009 - the name exists on Windows only
    if not library.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        raise OSError("the call was refused")
    return status.total, status.available, status.page_total, status.page_available


_STATUS_SIZES: Final = (
    "total", "available", "page_total", "page_available",
    "virtual_total", "virtual_available", "virtual_extended",
)  # fmt: skip
