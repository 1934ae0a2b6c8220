"""Files of a model's length that have its header and take hardly any room: for dry loads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_sparse(path: Path, header: bytes, size: int) -> None:
    """Writes ``header``, then nothing up to ``size`` bytes. Raises: OSError."""
    with path.open("wb") as file:
        if sys.platform == "win32":
            _mark_sparse(file.fileno())
        file.write(header)
        file.truncate(size)


def _mark_sparse(descriptor: int) -> None:
    """Tells NTFS to leave the holes empty (FSCTL_SET_SPARSE of winioctl.h)."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        returned = ctypes.c_ulong()
        ctypes.windll.kernel32.DeviceIoControl(
            ctypes.c_void_p(msvcrt.get_osfhandle(descriptor)), 0x000900C4,
            None, 0, None, 0, ctypes.byref(returned), None,
        )  # fmt: skip
