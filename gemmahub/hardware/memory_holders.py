"""Linux: who holds memory that ``/proc/meminfo`` counts as used, or as the system's.

Sources: OpenZFS, module/os/linux/zfs/arc_os.c (``arc_evictable_memory``); zram in the kernel's
Documentation/admin-guide/blockdev/zram.rst; NVIDIA's ``numa_status`` of GPUs whose memory the
kernel has as a NUMA node (Grace Hopper).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from gemmahub.hardware.records import Figure

_ARC: Final = "proc/spl/kstat/zfs/arcstats"
_SWAPS: Final = "proc/swaps"
_NVIDIA: Final = "proc/driver/nvidia/gpus"


def with_zfs_cache(files: SystemFiles, total: Figure, available: Figure) -> Figure:
    """``available`` with what ZFS would give up of its cache, which the kernel does not count.

    A container may show the cache of its host: one that is larger than what is used here is not
    in this memory.
    """
    cache = _evictable(files)
    if not cache or total.value is None or available.value is None:
        return available
    if cache > total.value - available.value:
        return available
    doubt = (
        f"{format_gib(cache)} of it are ZFS's cache (ARC), which may shrink too slowly for a "
        "large model: if so, limit it with zfs_arc_max"
    )
    source = f"{available.source} + /{_ARC}"
    return replace(available, value=available.value + cache, source=source).doubted(doubt)


def _evictable(files: SystemFiles) -> int:
    try:
        text = files.text(_ARC) or ""
    except Unreadable:
        return 0
    rows = re.findall(r"^(\w+)\s+[0-9]+\s+([0-9]{1,18})$", text, re.MULTILINE)
    values = {name: int(value) for name, value in rows}
    above_least = max(0, values.get("size", 0) - values.get("c_min", 0))
    parts = [value for name, value in values.items() if re.fullmatch(_EVICTABLE, name)]
    return min(above_least, sum(parts)) if parts else above_least


_EVICTABLE: Final = "m[fr]u_evictable_(data|metadata)"


def compressed_swap(files: SystemFiles) -> str:
    """The doubt of swap that is no disk but memory, compressed; empty where there is none."""
    try:
        text = files.text(_SWAPS) or ""
    except Unreadable:
        return ""
    return "compressed memory (zram), which uses memory itself" if "/zram" in text else ""


def without_gpu_memory(
    files: SystemFiles, total: Figure, available: Figure
) -> tuple[Figure, Figure]:
    """Both figures without the memory of GPUs that the kernel counts as the system's."""
    try:
        nodes = _gpu_nodes(files)
    except Unreadable:
        return total, available
    for size, free in nodes:
        if total.value is None or available.value is None or size >= total.value:
            break
        total = replace(total, value=total.value - size, source=f"{total.source} less a GPU's")
        available = replace(available, value=max(0, available.value - free))
    return total, available


def _gpu_nodes(files: SystemFiles) -> list[tuple[int, int]]:
    """Total and free bytes of the NUMA nodes that are GPUs' memory."""
    found = []
    for gpu in files.names(_NVIDIA, "[0-9a-fA-F:.]+"):
        status = files.text(f"{_NVIDIA}/{gpu}/numa_status") or ""
        node = re.search(r"Node:\s*([0-9]{1,4})", status)
        if node is None or "online" not in status:
            continue
        text = files.text(f"sys/devices/system/node/node{node[1]}/meminfo") or ""
        sizes = [re.search(rf"{name}:\s*([0-9]{{1,15}}) kB", text) for name in _NODE_ROWS]
        size, free = (int(match[1]) * 1024 if match else 0 for match in sizes)
        found.append((size, free))
    return found


_NODE_ROWS: Final = ("MemTotal", "MemFree")
