"""Which processes have a file open or mapped, as far as this user may see."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Inode = tuple[int, int]

_PROC: Final = Path("/proc")


def users_of(paths: Iterable[Path]) -> dict[Path, str]:
    """For each path that is in use: by whom, as ``name (process 123)``.

    Descriptors and memory maps are looked at: an engine closes a model file once it is mapped.
    Processes of other users are not visible to a user who is not an administrator, and macOS tells
    nobody what is mapped.
    """
    wanted: dict[Inode, list[Path]] = {}
    for path in paths:
        if inode := _inode(path):
            wanted.setdefault(inode, []).append(path)
    found: dict[Path, str] = {}
    if not wanted:
        return found
    import psutil

    # In /proc a file is its inode. psutil gives names, as the process's own container sees them.
    inodes_of = _inodes_in_proc if (_PROC / "self" / "fd").is_dir() else _inodes_of_names
    for pid in psutil.pids():
        for inode in wanted.keys() & set(inodes_of(pid)):
            for path in wanted[inode]:
                found.setdefault(path, f"{_name(pid)} (process {pid})")
    return found


def _inode(path: str | Path) -> Inode | None:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _inodes_in_proc(pid: int) -> Iterator[Inode]:
    process = _PROC / str(pid)
    try:
        for descriptor in os.scandir(process / "fd"):
            if inode := _inode(descriptor.path):
                yield inode
        maps = (process / "maps").read_bytes()
    except OSError:
        return  # gone, or another user's
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[4] != b"0":
            major, _, minor = fields[3].partition(b":")
            yield os.makedev(int(major, 16), int(minor, 16)), int(fields[4])


def _inodes_of_names(pid: int) -> Iterator[Inode]:
    import psutil

    for function in ("open_files", "memory_maps"):  # macOS has no memory_maps
        try:
            files: list[Any] = getattr(psutil.Process(pid), function, list)()
        except (psutil.Error, OSError):
            continue  # gone, or another user's
        for file in files:
            if inode := _inode(file.path):
                yield inode


def _name(pid: int) -> str:
    import psutil

    try:
        return psutil.Process(pid).name()
    except (psutil.Error, OSError):
        return "a program"
