"""Where a file of a repository is in the Hugging Face cache, and what of it is here.

The layout is huggingface_hub's (2.4 ``file_download.py``): ``models--owner--name/blobs/<hash>``, a
link to it in ``snapshots/<commit>/``, and a lock in ``.locks/``. The hash of a file in LFS is its
sha256, that of others git's. Where links are not possible the snapshot holds the file itself. A
blob may be a link to ``<cache>/blobs/xx/<hash>``, which repositories share
(``utils/_shared_blobs.py``).

Nothing is written here. A link that leads elsewhere is never followed: what it leads to is not
here. Whether what is here has the right content, its hash has to tell.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.hub.path_names import path_parts
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.hub.records import HubFile

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHARED: Final = "blobs"


@dataclass(frozen=True, slots=True)
class CachePlace:
    """The places of ``file`` in the cache ``folder``.

    ``storage`` is the folder of the repository, ``blob`` the content once it is complete and
    verified, ``link`` the file under its name: what is listed and run.

    Raises: IntegrityError for a file without a hash, which could not be verified, and for names
    that may not become a path.
    """

    folder: Path
    file: HubFile
    storage: Path = field(init=False)
    blob: Path = field(init=False)
    link: Path = field(init=False)

    def __post_init__(self) -> None:
        file = self.file
        if not self.hash:
            raise IntegrityError(
                f"the hub records no hash of {one_line(file.reference)}, so it could not be "
                "verified",
                "use the hub itself (unset HF_ENDPOINT), or another repository",
            )
        storage = self.folder.joinpath(*path_parts("repository", file.repository))
        inside = (*path_parts("commit", file.commit), *path_parts("file", file.path))
        object.__setattr__(self, "storage", storage)
        object.__setattr__(self, "blob", storage.joinpath("blobs", *path_parts("hash", self.hash)))
        object.__setattr__(self, "link", storage.joinpath("snapshots", *inside))

    @property
    def hash(self) -> str:
        """What the content has to hash to: a sha256, else git's hash."""
        return self.file.sha256 or self.file.blob or ""

    @property
    def partial(self) -> Path:
        """The content while it comes: its beginning, in one piece."""
        return self.blob.with_name(f"{self.blob.name}.incomplete")

    @property
    def lock(self) -> Path:
        """What huggingface_hub holds, too, while it fetches the same file."""
        return self.folder / ".locks" / self.storage.name / f"{self.blob.name}.lock"

    def named(self) -> Path | None:
        """The complete file where its name leads to it: the blob, else a file of that name."""
        if not is_inside(self.folder, self.link):
            return None
        if is_file(self.link):
            return self.link
        return self.blob if self.leads_here(self.link) and self.is_stored() else None

    def is_stored(self) -> bool:
        """Whether there is a complete blob: a file, or a link to one that repositories share."""
        return is_inside(self.folder, self.blob) and (
            is_file(self.blob) or is_shared(self.folder, self.blob)
        )

    def leads_here(self, link: Path) -> bool:
        """Whether ``link`` is a link to the blob, in one step."""
        try:
            target = link.parent / link.readlink()
            return target.name == self.blob.name and target.parent.samefile(self.blob.parent)
        except (OSError, ValueError):
            return False

    def content(self) -> Path | None:
        """The complete file where it is here, under its name or not yet; None otherwise."""
        return self.named() or (self.blob if self.is_stored() else None)

    def here_bytes(self) -> int:
        """What of the file is here, at most its size; a file of another size is damaged."""
        size = self.file.size
        with contextlib.suppress(OSError):
            if (content := self.content()) is not None:
                return size if content.stat().st_size == size else 0
            if is_file(self.partial):
                found = self.partial.stat().st_size
                return found if found <= size else 0
        return 0


def is_file(path: Path) -> bool:
    """Whether it is a regular file, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def is_inside(folder: Path, path: Path) -> bool:
    """Whether all folders between ``folder`` and ``path`` are there, and none is a link."""
    try:
        return all(
            stat.S_ISDIR((folder / above).lstat().st_mode)
            for above in path.relative_to(folder).parents
            if above.name
        )
    except OSError:
        return False


def is_shared(folder: Path, blob: Path) -> bool:
    """Whether ``blob`` is a link to a file in the store that repositories of a cache share."""
    try:
        target = Path(os.path.normpath(blob.parent / blob.readlink()))
    except (OSError, ValueError):
        return False
    stored = folder / _SHARED / target.name[:2] / target.name
    known = _SHA256.fullmatch(target.name) is not None and target == Path(os.path.normpath(stored))
    return known and is_inside(folder, stored) and is_file(stored)


__all__ = ["CachePlace", "is_file", "is_inside", "is_shared"]
