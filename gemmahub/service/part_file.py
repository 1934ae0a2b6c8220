"""A file or folder that is written under a name that nothing takes for a model, until it is whole.

``.NAME.PID.part`` lies beside ``NAME``: the same file system, so that renaming is one step. What a
program that was killed left under such a name is removed by the next that writes the same file.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from gemmahub.errors import UsageError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self


class PartFile:
    """A context manager: what is not kept in it is removed at its end."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.parent / f".{target.name}.{os.getpid()}.part"

    def __enter__(self) -> Self:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self._remove_left_over()
        return self

    def __exit__(self, *exc_info: object) -> None:
        _remove(self.path)

    def keep(self, *, replace: bool) -> None:
        """Give it its name, after all of it is on the disk.

        Raises: UsageError where there is such a file by now, unless it is to be replaced.
        """
        if not replace and os.path.lexists(self.target):
            raise exists(self.target)
        for file in self._files():
            _sync(file)
        if self.path.is_dir() and self.target.is_dir():
            shutil.rmtree(self.target)
        self.path.replace(self.target)
        with suppress(OSError):  # not every system lets a folder be opened
            _sync(self.target.parent)

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        return [path for path in self.path.rglob("*") if path.is_file()]

    def _remove_left_over(self) -> None:
        """What programs that have ended left of this file."""
        pattern = re.compile(re.escape(f".{self.target.name}.") + r"(\d+)\.part")
        for path in self.target.parent.iterdir():
            if (match := pattern.fullmatch(path.name)) and not _runs(int(match[1])):
                _remove(path)


def exists(target: Path) -> UsageError:
    """The failure of writing over something."""
    return UsageError(
        f"{one_line(str(target))} exists already and is not overwritten",
        "choose another file with -o, or add --force",
    )


def _runs(process: int) -> bool:
    """Whether another process of that number runs."""
    import psutil

    return process != os.getpid() and psutil.pid_exists(process)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    # Windows syncs only what is open for writing, and no system opens a folder so.
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
