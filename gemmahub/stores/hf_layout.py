"""One repository folder of the Hugging Face cache: its refs, snapshots, and what links lead to."""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_REF: Final = 256
SHARED: Final = "blobs"
"""Where repositories of a cache share blobs, and where each has its own."""


def real_folder(folder: Path) -> str:
    """The folder to walk; a name that is nowhere when it is a link: that leads out of the cache."""
    return "" if os.path.islink(folder) else str(folder)  # noqa: PTH114 - for each of a thousand


def sha256_in_name(blob: Path | None) -> str | None:
    """The sha256 that a blob's name is, where the file is in LFS."""
    return blob.name if blob is not None and _SHA256.fullmatch(blob.name) else None


@dataclass(frozen=True, slots=True)
class CacheFile:
    """``folder`` is ``<cache>/models--owner--name``; ``repository`` is ``owner/name``."""

    folder: str
    repository: str

    def refs(self) -> dict[str, str]:
        """Path of each ref and the commit that it names."""
        found = {}
        for place, _, names in os.walk(real_folder(Path(self.folder, "refs"))):
            for name in names:
                path = Path(place, name)
                try:
                    with path.open(encoding="ascii") as file:
                        found[str(path)] = file.read(_LONGEST_REF).strip()
                except (OSError, ValueError):
                    continue
        return found

    def snapshots(self, on_error: Callable[[OSError], None]) -> list[tuple[str, str]]:
        """Folder and commit of each snapshot; ``main`` first, other refs next, then the newest."""
        folder = Path(self.folder, "snapshots")
        if os.path.islink(folder):  # noqa: PTH114 - for each of a thousand repositories
            on_error(OSError(errno.ELOOP, "it is a link, not a folder", str(folder)))
            return []
        refs = self.refs()
        main = str(Path(self.folder, "refs", "main"))
        commits = set(refs.values())
        found: list[tuple[tuple[bool, bool, float], str, str]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        unnamed = entry.name not in commits
                        rank = refs.get(main) != entry.name, unnamed, -entry.stat().st_mtime
                        found.append((rank, entry.path, entry.name))
        except FileNotFoundError:
            return []  # only refs, or a download that has not yet finished a file
        except OSError as error:
            on_error(error)
        return [(path, commit) for _, path, commit in sorted(found)]

    def outside(self, path: Path) -> Path | None:
        """Where a file of a snapshot really is, if that is not in this repository; None if it is.

        A link has to lead to a blob of the repository, and the blob, where it is a link, to one of
        those that repositories share: ``<cache>/blobs/xx/<hash>``.
        """
        if _link_target(path) is None:
            return None
        blob = self.blob_of(path)
        if blob is None:
            return path.readlink()
        further = _link_target(blob)
        if further is None:
            return None
        shared = os.path.normpath(f"{self.folder}{os.sep}..{os.sep}{SHARED}")
        name = os.path.basename(further)  # noqa: PTH119
        known = _SHA256.fullmatch(name) and further == os.path.join(shared, name[:2], name)  # noqa: PTH118
        return None if known else Path(further)

    def blob_of(self, path: Path) -> Path | None:
        """The blob that a snapshot's link leads to: one step, and only into this repository.

        None for a file that is no link, and for a link to elsewhere.
        """
        target = _link_target(path)
        if target is None:
            return None
        blobs = f"{self.folder}{os.sep}blobs"
        place, name = os.path.split(target)
        # An absolute link goes by the cache's real folder, where the cache is named by a link.
        return Path(blobs, name) if place == blobs or _same(place, blobs) else None


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121
    except OSError:
        return False


def _link_target(path: Path | str) -> str | None:
    """What a link leads to in one step; None for a file that is none. Texts, as in ``blob_of``."""
    try:
        target = os.readlink(path)  # noqa: PTH115
    except OSError:
        return None
    return os.path.normpath(os.path.join(os.path.dirname(path), target))  # noqa: PTH118, PTH120
