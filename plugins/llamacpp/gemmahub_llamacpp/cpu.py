"""How many threads llama.cpp should use: the physical cores that this process may use.

Two threads on one core share its vector units, so hyper-threads slow llama.cpp down; and a thread
more than the container's CPU quota makes all the others wait at every barrier.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    _Reader = Callable[[Path], float | None]

PROC: Final = Path("/proc")
SYS: Final = Path("/sys")


def physical_cores() -> int:
    """Physical cores that this process may use, at least 1."""
    if sys.platform == "linux":
        return linux_cores(PROC, SYS, frozenset(os.sched_getaffinity(0)))
    if sys.platform == "darwin":
        return _darwin_cores() or max(1, (os.cpu_count() or 2) // 2)
    # No portable topology elsewhere: most such machines run two threads a core.
    return max(1, (os.cpu_count() or 2) // 2)


def linux_cores(proc: Path, sys_root: Path, allowed: frozenset[int]) -> int:
    """Physical cores among the ``allowed`` logical CPUs, cut down to the cgroup's quota."""
    cores = _cores_of_sysfs(sys_root, allowed) or _cores_of_cpuinfo(proc / "cpuinfo", allowed)
    count = cores or len(allowed) or 1
    quota = cgroup_quota(proc, sys_root)
    return max(1, count if quota is None else min(count, int(quota)))


def _cores_of_sysfs(sys_root: Path, allowed: frozenset[int]) -> int:
    """Distinct groups of sibling threads; 0 when the kernel does not tell for each CPU."""
    groups = set()
    for cpu in allowed:
        topology = sys_root / "devices/system/cpu" / f"cpu{cpu}" / "topology"
        siblings = _read(topology / "core_cpus_list") or _read(topology / "thread_siblings_list")
        if not siblings:
            return 0
        groups.add(siblings)
    return len(groups)


def _cores_of_cpuinfo(path: Path, allowed: frozenset[int]) -> int:
    """Distinct (package, core) pairs; 0 when the file does not name them for each CPU."""
    cores = set()
    found = 0
    for block in _read(path).split("\n\n"):
        pairs = (line.partition(":") for line in block.splitlines())
        facts = {key.strip(): value.strip() for key, _, value in pairs}
        if facts.get("processor", "").isdigit() and int(facts["processor"]) in allowed:
            if "core id" not in facts:
                return 0
            found += 1
            cores.add((facts.get("physical id", "0"), facts["core id"]))
    return len(cores) if found == len(allowed) else 0


def cgroup_quota(proc: Path, sys_root: Path) -> float | None:
    """CPUs that the control groups grant (the tightest of all levels); None when unlimited."""
    root = sys_root / "fs/cgroup"
    quotas: list[float] = []
    for line in _read(proc / "self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            quotas += _quotas(root, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            quotas += _quotas(root / "cpu", path, _quota_v1)
    return min(quotas, default=None)


def _quotas(root: Path, path: str, read: _Reader) -> list[float]:
    """The quotas of a group and of all groups above it. Inside a container only ``root`` exists."""
    parts = [part for part in path.split("/") if part and part != ".."]
    folders = [root.joinpath(*parts[:count]) for count in range(len(parts) + 1)]
    return [quota for folder in folders if (quota := read(folder)) is not None]


def _quota_v2(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None  # no file, or "max 100000"
    return _ratio(int(words[0]), int(words[1]))


def _quota_v1(folder: Path) -> float | None:
    quota, period = _read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")
    if not quota.isdigit() or not period.isdigit():
        return None  # no file, or -1
    return _ratio(int(quota), int(period))


def _ratio(quota: int, period: int) -> float | None:
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _darwin_cores() -> int:
    """Performance cores of Apple silicon, else physical cores; 0 when the system does not say."""
    import ctypes

    libc = ctypes.CDLL(None)
    for name in (b"hw.perflevel0.physicalcpu", b"hw.physicalcpu"):
        value, size = ctypes.c_int32(0), ctypes.c_size_t(4)
        failed = libc.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, 0)
        if not failed and value.value > 0:
            return value.value
    return 0
