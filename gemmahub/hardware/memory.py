"""The system's memory: total, available, swap, and the limit that a container sets.

On macOS and Windows psutil counts it. On Linux the files are read here: psutil knows no limit of a
control group, and its root folder is one for the whole process, so that a recorded tree could not
stand for another machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gemmahub.hardware.cgroup import limited, memory_limits
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.host import Host, ask_psutil
from gemmahub.hardware.memory_holders import (
    compressed_swap,
    with_zfs_cache,
    without_gpu_memory,
)
from gemmahub.hardware.records import Figure, Problem, SystemMemory
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE: Final = "memory"
_MEMINFO: Final = "/proc/meminfo"
_MEMINFO_LINE: Final = re.compile(r"([A-Za-z0-9_()]+):\s+([0-9]{1,15}) kB")
_HUGE_PAGES: Final = re.compile(r"^HugePages_Total:\s+([0-9]{1,12})$", re.MULTILINE)
_CACHE_DOUBT: Final = "the kernel's estimate; includes file cache that can be dropped"
_DOUBTS: Final = {  # of what is available, and of swap
    "darwin": (
        "inactive pages may hold data of other programs that has to be written out first",
        "macOS grows its swap as needed",
    ),
    "win32": ("", "the page file grows as needed"),
}


def unknown_memory(reason: str) -> SystemMemory:
    """Memory of which nothing is known."""
    return SystemMemory(*[Figure.unknown(reason)] * 4)


def probe_memory(host: Host, problems: list[Problem]) -> SystemMemory:
    """Memory of the machine and what this process may use of it."""
    if host.system in _DOUBTS:
        return _of_psutil(host, problems)
    return _linux(host.files, problems)


# --- Linux -------------------------------------------------------------------------------------


def _linux(files: SystemFiles, problems: list[Problem]) -> SystemMemory:
    values = _meminfo(files, problems)
    total = _meminfo_figure(values, "MemTotal", _huge_pages(values))
    available = _meminfo_figure(values, "MemAvailable", _CACHE_DOUBT)
    if available.value is None and "MemFree" in values:
        available = _meminfo_figure(values, "MemFree", "file cache that can be dropped is left out")
    available = with_zfs_cache(files, total, available)
    total, available = without_gpu_memory(files, total, available)
    swap = compressed_swap(files)
    limits = [
        limit
        for limit in memory_limits(files, problems)
        if total.value is None or limit.limit < total.value
    ]
    tightest = min(limits, key=lambda limit: limit.limit, default=None)
    return SystemMemory(
        total=total,
        available=limited(available, limits),
        swap_total=_meminfo_figure(values, "SwapTotal", swap),
        swap_free=_meminfo_figure(values, "SwapFree", swap),
        limit=None if tightest is None else Figure(tightest.limit, tightest.file),
    )


def _meminfo(files: SystemFiles, problems: list[Problem]) -> dict[str, int]:
    """Bytes by name. Of the lines without a unit the number of huge pages counts, as
    ``Hugetlb``, which newer kernels write themselves for pages of all sizes."""
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
    if (pages := _HUGE_PAGES.search(text)) is not None:
        values.setdefault("Hugetlb", int(pages[1]) * values.get("Hugepagesize", 0))
    missing = [name for name in ("MemTotal", "MemAvailable") if name not in values]
    if missing:
        problems.append(Problem(PROBE, f"{_MEMINFO} has no readable line {', '.join(missing)}"))
    if not values.get("MemTotal", 1):
        problems.append(Problem(PROBE, f"{_MEMINFO} says that there is no memory"))
        del values["MemTotal"]
    return values


def _huge_pages(values: Mapping[str, int]) -> str:
    """The doubt of the total where a part of it can only be had as huge pages."""
    size = values.get("Hugetlb", 0)
    return f"{format_gib(size)} of it are set aside as huge pages" if size else ""


def _meminfo_figure(values: Mapping[str, int], name: str, doubt: str = "") -> Figure:
    source = f"{_MEMINFO} {name}"
    if name not in values:
        return Figure.unknown(f"{_MEMINFO} has no readable line {name}", source)
    return Figure(values[name], source, doubt)


# --- macOS and Windows -------------------------------------------------------------------------


def _of_psutil(host: Host, problems: list[Problem]) -> SystemMemory:
    memory = ask_psutil(host, PROBE, problems, "virtual_memory")
    swap = ask_psutil(host, PROBE, problems, "swap_memory")  # can fail alone on Windows
    doubt, swap_doubt = _DOUBTS[host.system]
    return SystemMemory(
        _counted(memory, "virtual_memory", "total"),
        _counted(memory, "virtual_memory", "available", doubt),
        _counted(swap, "swap_memory", "total", swap_doubt),
        _counted(swap, "swap_memory", "free", swap_doubt),
    )


def _counted(counters: Any, function: str, name: str, doubt: str = "") -> Figure:
    source = f"psutil {function} {name}"
    if counters is None:
        return Figure.unknown(f"psutil {function} failed", source)
    return Figure(getattr(counters, name), source, doubt)
