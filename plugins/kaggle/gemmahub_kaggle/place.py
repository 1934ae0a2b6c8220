"""kagglehub's cache: where a version of a variation lies, and what says that it is whole.

Source: kagglehub 1.0 ``cache.py`` and ``config.py``. A version is the folder
``models/OWNER/MODEL/FRAMEWORK/VARIATION/VERSION``; an empty file ``VERSION.complete`` beside it
says that all of it is here, ``.complete/VERSION/FILE.complete`` that one file is. What is there
without such a mark is the beginning of a download, which kagglehub continues, as gemmahub does.
``VERSION.archive`` is the archive that kagglehub unpacks. The lock is gemmahub's own.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub_kaggle.handle import Handle, is_slug, version_in

if TYPE_CHECKING:
    from collections.abc import Iterator

VARIABLE: Final = "KAGGLEHUB_CACHE"
_MARK: Final = ".complete"
_MOST_FILES: Final = 50_000  # of one version


def models_folder() -> Path:
    """Where kagglehub keeps models for this user."""
    named = os.environ.get(VARIABLE, "")
    return (Path(named) if named else Path.home() / ".cache" / "kagglehub") / "models"


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file of a version in the cache: its path in the folder, bytes, when it was read."""

    name: str
    size: int
    last_used: float | None


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """The place of one version below the folder ``root``. ``handle`` has a version."""

    root: Path
    handle: Handle

    @property
    def variation(self) -> Path:
        """The folder of all versions."""
        h = self.handle
        return self.root / h.owner / h.model / h.framework / h.variation

    @property
    def folder(self) -> Path:
        """The folder with its files."""
        return self.variation / str(self.handle.version)

    @property
    def mark(self) -> Path:
        """What says that all of it is here."""
        return self.variation / f"{self.handle.version}{_MARK}"

    @property
    def archive(self) -> Path:
        """The archive that kagglehub fetches and unpacks."""
        return self.variation / f"{self.handle.version}.archive"

    @property
    def lock(self) -> Path:
        """Held while gemmahub fetches files of it."""
        return self.variation / f".{self.handle.version}.lock"

    @property
    def marks(self) -> Path:
        """The folder of the marks of single files."""
        return self.variation / _MARK / str(self.handle.version)

    def mark_of(self, name: str) -> Path:
        """What says that one file is here."""
        return self.marks / f"{name}{_MARK}"

    def path(self, name: str) -> Path:
        """Where a file is."""
        return self.folder / name

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self.mark.is_file()

    def files(self) -> list[CachedFile]:
        """What lies in its folder, whole or not, by name. Raises: OSError."""
        return sorted(_files(self.folder, ""), key=lambda file: file.name)

    def is_here(self, name: str) -> bool:
        """Whether a file is whole, by the marks."""
        return self.is_whole or self.mark_of(name).is_file()

    def is_fetched(self) -> bool:
        """Whether a download holds the lock."""
        if not self.lock.exists():
            return False
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.lock, timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # it cannot be asked: nobody's place to remove it
            return True


def versions_in(root: Path) -> Iterator[VersionPlace]:
    """All versions below ``root``, of each variation the newest first; what cannot be read is left
    out. What is not named as kagglehub names it is none of its own."""
    for owner in _folders(root):
        for model in _folders(owner):
            for framework in _folders(model):
                for variation in _folders(framework):
                    handle = Handle(owner.name, model.name, framework.name, variation.name)
                    yield from _versions(root, handle, variation)


def _versions(root: Path, handle: Handle, folder: Path) -> Iterator[VersionPlace]:
    numbers = set()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.removesuffix(".archive")
            number = version_in(name)
            if number is not None and (name != entry.name or entry.is_dir(follow_symlinks=False)):
                numbers.add(number)
    for number in sorted(numbers, reverse=True):
        yield VersionPlace(root, replace(handle, version=number))


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
        return [folder / name for name in names if is_slug(name)]
    return []


def _files(folder: Path, above: str) -> Iterator[CachedFile]:
    from gemmahub.engines.contract import last_read

    count, waiting = 0, [(folder, above)]
    while waiting:
        place, prefix = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), f"{prefix}{entry.name}/"))
                continue
            with suppress(OSError):  # gone meanwhile, or a link that leads nowhere
                status = entry.stat()
                if stat.S_ISREG(status.st_mode):
                    yield CachedFile(f"{prefix}{entry.name}", status.st_size, last_read(status))
                    count += 1
        if count > _MOST_FILES:
            return
