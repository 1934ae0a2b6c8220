"""Limits that a container or a service manager sets: control groups, version 2 and 1.

Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, proc(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.records import Figure, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

PROBE: Final = "cgroup"
_CACHE_DOUBT: Final = "file cache that can be dropped counts as free"
# Version 1 writes "no limit" as the largest multiple of the page size below 2^63.
_NO_LIMIT: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit in bytes, the file that sets it, and what is left below it (None: not known)."""

    limit: int
    file: str
    left: int | None


@dataclass(frozen=True, slots=True)
class _Mount:
    folder: str  # below the root, without slashes around it
    group_root: str  # the group that the mount shows as its top
    version: int


def memory_limits(files: SystemFiles, problems: list[Problem]) -> list[Limit]:
    """Limits of this process's group and all groups above it, in any order."""
    found: list[Limit] = []
    for folder, version in _group_folders(files, "memory", problems):
        names = ("memory.max", "memory.high") if version == 2 else ("memory.limit_in_bytes",)
        for name in names:
            limit = _limit(files, f"{folder}/{name}", problems)
            if limit is not None:
                left = _left(files, folder, version, limit, problems)
                found.append(Limit(limit, f"/{folder}/{name}", left))
    return found


def cpu_quota(files: SystemFiles, problems: list[Problem]) -> tuple[float, str] | None:
    """CPUs that the tightest quota grants, and its file; None where there is no quota."""
    tightest: tuple[float, str] | None = None
    for folder, version in _group_folders(files, "cpu", problems):
        name = f"{folder}/cpu.max" if version == 2 else f"{folder}/cpu.cfs_quota_us"
        try:
            text = files.text(name)
            if text is None:
                continue
            if version == 1:
                text = f"{text} {files.text(f'{folder}/cpu.cfs_period_us') or ''}"
            quota, period = text.split()
            if quota == "max" or int(quota) <= 0:
                continue
            cpus = int(quota) / int(period)
        except (Unreadable, ValueError, ZeroDivisionError) as error:
            problems.append(Problem(PROBE, f"/{name}: {error}"))
            continue
        if tightest is None or cpus < tightest[0]:
            tightest = cpus, f"/{name}"
    return tightest


def _limit(files: SystemFiles, name: str, problems: list[Problem]) -> int | None:
    try:
        text = files.text(name)
    except Unreadable as error:
        problems.append(Problem(PROBE, str(error)))
        return None
    if text is None or text == "max":
        return None
    if not text.isascii() or not text.isdigit():
        problems.append(Problem(PROBE, f"/{name}: no number: {text[:40]!r}"))
        return None
    limit = int(text)
    return limit if limit < _NO_LIMIT else None


def _left(
    files: SystemFiles, folder: str, version: int, limit: int, problems: list[Problem]
) -> int | None:
    usage = "memory.current" if version == 2 else "memory.usage_in_bytes"
    try:
        used = files.integer(f"{folder}/{usage}")
        statistics = files.text(f"{folder}/memory.stat") or ""
    except Unreadable as error:
        problems.append(Problem(PROBE, str(error)))
        return None
    if used is None:
        return None
    return max(0, limit - max(0, used - _droppable(statistics, version)))


def _droppable(statistics: str, version: int) -> int:
    """File cache that the kernel gives up before it refuses memory: that on the active list, too,
    where a model comes to lie that was read twice; and what it keeps of names. Not what still has
    to be written.
    """
    pairs = (line.partition(" ") for line in statistics.splitlines())
    found = {key: int(value) for key, _, value in pairs if value.strip().isdigit()}
    before, dirty = ("", "file_") if version == 2 else ("total_", "total_")
    gives = sum(found.get(f"{before}{n}", 0) for n in ("active_file", "inactive_file"))
    keeps = sum(found.get(f"{dirty}{n}", 0) for n in ("dirty", "writeback"))
    return max(0, gives + found.get("slab_reclaimable", 0) - keeps)


def _group_folders(
    files: SystemFiles, controller: str, problems: list[Problem]
) -> Iterator[tuple[str, int]]:
    """Folders of this process's group and of the groups above it, with the version of each."""
    try:
        groups = _groups(files.text("proc/self/cgroup") or "", controller)
        mounts = _mounts(files.text("proc/self/mountinfo") or "", controller)
    except (Unreadable, ValueError) as error:
        problems.append(Problem(PROBE, str(error)))
        return
    top = "sys/fs/cgroup"  # where the mounts are when nothing says so
    for mount in mounts or (_Mount(top, "/", 2), _Mount(f"{top}/{controller}", "/", 1)):
        group = groups.get(mount.version)
        if group is None:
            continue
        parts = _below(group, mount.group_root)
        for depth in range(len(parts), -1, -1):
            yield "/".join([mount.folder, *parts[:depth]]), mount.version


def _groups(text: str, controller: str) -> dict[int, str]:
    """The process's group by version, from lines ``hierarchy:controllers:path``."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        hierarchy, first, rest = line.partition(":")
        controllers, second, path = rest.partition(":")
        if not first or not second or not hierarchy.isdigit():
            raise ValueError(f"/proc/self/cgroup: not understood: {line[:60]!r}")
        if hierarchy == "0" and not controllers:
            found[2] = path
        elif controller in controllers.split(","):
            found[1] = path
    return found


def _mounts(text: str, controller: str) -> list[_Mount]:
    """Where the hierarchies are mounted, from proc(5) mountinfo; each version's first mount."""
    found: dict[int, _Mount] = {}
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if not separator or len(before) < 5 or not after:
            continue
        root, folder = before[3], before[4].strip("/")
        if after[0] == "cgroup2":
            found.setdefault(2, _Mount(folder, root, 2))
        elif after[0] == "cgroup" and controller in after[-1].split(","):
            found.setdefault(1, _Mount(folder, root, 1))
    return list(found.values())


def _below(group: str, root: str) -> list[str]:
    """Parts of a group's path below the top that the mount shows.

    Inside a container the path may lie outside of what is mounted (``/../..``, or the host's path
    under the container's own mount): then the mount's top is the nearest group that can be seen.
    """
    if root != "/" and (group == root or group.startswith(f"{root}/")):
        group = group[len(root) :]
    elif root != "/":
        return []
    parts = [part for part in group.split("/") if part]
    return [] if ".." in parts else parts


def limited(available: Figure, limits: list[Limit]) -> Figure:
    """``available`` or what is left below the tightest limit, whichever is less."""
    for limit in limits:
        if limit.left is None:
            continue
        if available.value is None or limit.left < available.value:
            source = f"{limit.file} less what the group uses"
            available = Figure(limit.left, source, _CACHE_DOUBT)
    return available
