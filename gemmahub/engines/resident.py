"""What a process holds in memory, as the system counts it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_PROC: Final = Path("/proc")
_LINE: Final = re.compile(r"^(\w+): +(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Resident:
    """Resident memory in bytes. ``file_bytes`` are pages of mapped files, which the system can
    drop and read again; ``anonymous_bytes`` all others. None: the system does not tell them apart.
    """

    total_bytes: int
    file_bytes: int | None
    anonymous_bytes: int | None
    source: str

    def as_json(self) -> dict[str, Any]:
        """The object ``resident`` of ``gemmahub plan --verify --json``."""
        return {
            "total_bytes": self.total_bytes,
            "file_bytes": self.file_bytes,
            "anonymous_bytes": self.anonymous_bytes,
            "source": self.source,
        }


def resident_memory(pid: int, proc: Path = _PROC) -> Resident | None:
    """What the process holds now; None where the system does not say, or it has ended."""
    # The kernel walks all pages for this file, so it is exact; what psutil reads may lag behind.
    rollup = proc / str(pid) / "smaps_rollup"
    try:
        text = rollup.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found = {name: int(kib) * 1024 for name, kib in _LINE.findall(text)}
    if total := found.get("Rss"):
        anonymous = found.get("Anonymous")
        mapped = None if anonymous is None else total - anonymous
        return Resident(total, mapped, anonymous, str(rollup))
    return _of_psutil(pid)


def _of_psutil(pid: int) -> Resident | None:
    import psutil

    try:
        memory = psutil.Process(pid).memory_info()
    except (psutil.Error, OSError):
        return None
    if not memory.rss:
        return None  # it has ended, and its parent has not asked how
    mapped = getattr(memory, "shared", None)  # Linux: pages of files, and of shared memory
    anonymous = None if mapped is None else memory.rss - mapped
    return Resident(memory.rss, mapped, anonymous, "psutil memory_info")
