"""Files that are written whole or not at all, over what was there before."""

from __future__ import annotations

import os
import secrets
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_TRIES, _PAUSE_SECONDS = 20, 0.1
_LONGEST_NAME: Final = 80  # of a file's name, in that of the part beside it


def write_whole(
    path: Path, content: str | bytes, *, mode: int = 0o666, make_folder: bool = True
) -> None:
    """Put ``content`` into ``path`` in one step, so that readers see the old file or the new one,
    and so that it is on the disk afterwards. Its folder is made, unless a person named it.

    A file that is there keeps its permissions, a new one gets ``mode`` less the umask. The name
    itself is replaced: who writes to what a link leads to resolves it first. Text is written as
    UTF-8, and line ends as they are.

    Raises: OSError; the old file is untouched then, and no part is left beside it.
    """
    if make_folder:
        path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:_LONGEST_NAME]}.{secrets.token_hex(4)}.part")
    handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(OSError):
            part.chmod(path.stat().st_mode & 0o7777)
        replace_file(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def replace_file(part: Path, path: Path) -> None:
    """Give ``part`` the name ``path``, over what is there.

    Windows refuses while another process has either of them open, as a virus scanner has a new
    file for a moment, or a reader: tried again for two seconds. Raises: OSError.
    """
    for _ in range(_TRIES if sys.platform == "win32" else 0):
        try:
            part.replace(path)
        except PermissionError:  # ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION
            time.sleep(_PAUSE_SECONDS)
        else:
            return
    part.replace(path)


def sync_folder(folder: Path) -> None:
    """Make a rename in a folder last, where the platform can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
