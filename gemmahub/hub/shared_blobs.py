"""Content that another repository of the same cache has: found by its sha256, then verified."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from gemmahub.hub.download_place import is_file, is_shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.hub.download_place import CachePlace

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REPOSITORY: Final = "models--"


class SharedBlobs:
    """The blobs of all repositories in a cache folder, by sha256; looked up once, when asked for.

    Only files of this user on the cache's own file system: a hard link keeps owner and mode.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, list[Path]] | None = None

    def find(self, place: CachePlace) -> Path | None:
        """A blob of another repository with the name and the size of what belongs to ``place``.

        Its content is not read: verify it before it is used.
        """
        if not place.file.sha256:
            return None
        if self._known is None:
            self._known = {}
            for path in _blobs(self._folder):
                self._known.setdefault(path.name, []).append(path)
        for path in self._known.get(place.file.sha256, ()):
            if path != place.blob and self._is_usable(path, place.file.size):
                return path
        return None

    def _is_usable(self, path: Path, size: int) -> bool:
        if not is_file(path) and not is_shared(self._folder, path):
            return False
        try:
            status, folder = path.stat(), self._folder.stat()
        except OSError:
            return False
        own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        return own and status.st_size == size and status.st_dev == folder.st_dev


def _blobs(folder: Path) -> Iterator[Path]:
    """All blobs that are named by a sha256, in real folders of repositories."""
    try:
        repositories = [
            entry.name
            for entry in os.scandir(folder)
            if entry.name.startswith(_REPOSITORY) and entry.is_dir(follow_symlinks=False)
        ]
    except OSError:
        return
    for name in sorted(repositories):
        blobs = folder / name / "blobs"
        try:
            if not blobs.is_symlink():
                yield from (blobs / b.name for b in os.scandir(blobs) if _SHA256.fullmatch(b.name))
        except OSError:
            continue
