"""Writes into the Hugging Face cache: partial files, blobs, the names of files, branches.

The content that was hashed here is placed by its own hash, in huggingface_hub's layout
(:mod:`gemmahub.hub.download_place`); nobody is asked for a name. Nothing is written through a link
below the cache folder, whoever made it. A kill at any point leaves a partial file, or a blob
without a name, and the next pull goes on from there.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from io import FileIO
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.hub.download_place import is_inside
from gemmahub.hub.path_names import path_parts, problem_of
from gemmahub.records.whole_file import replace_file
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.hub.download_place import CachePlace
    from gemmahub.hub.records import Repository

_OPEN: Final = (
    os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)  # fmt: skip
# A file system without symlinks (FAT, some shares), or Windows without the privilege (EINVAL).
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, getattr(errno, "ENOTSUP", 0)}
)
_CACHE_TAG: Final = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"
    "# This file is a cache directory tag: backups may leave this folder out.\n"
    "# For information about cache directory tags, see https://bford.info/cachedir/\n"
)


def real_folder(root: Path, folder: Path) -> None:
    """Makes ``folder`` below ``root``, where it is missing.

    Raises: IntegrityError where a link stands in place of a folder: what is written there would
    end up elsewhere. OSError.
    """
    root.mkdir(parents=True, exist_ok=True)
    place = root
    for part in folder.relative_to(root).parts:
        place = place / part
        try:
            place.mkdir()
        except FileExistsError:
            mode = place.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise IntegrityError(
                    f"{one_line(str(place))} is a link: gemmahub does not follow links inside "
                    "the Hugging Face cache when it writes",
                    "remove the link; to keep models on another disk, set HF_HOME to a folder "
                    "there",
                ) from None
            if not stat.S_ISDIR(mode):
                raise


def open_partial(place: CachePlace) -> FileIO:
    """The partial file, for reading and writing; made where it is missing.

    What else has its name is removed: a link, or a file with a second name that would be written,
    too. Raises: as :func:`real_folder`.
    """
    real_folder(place.folder, place.partial.parent)
    with contextlib.suppress(FileNotFoundError):
        status = place.partial.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            place.partial.unlink()
    return FileIO(os.open(place.partial, _OPEN, 0o666), "r+")


def give_name(place: CachePlace, *, fetched: bool) -> Path:
    """Gives the verified blob its name in the snapshot; where the content is now.

    Where links are not possible a blob that was ``fetched`` just now becomes the file itself, and
    another one is copied, as huggingface_hub does it (``file_download.py``, ``_create_symlink``).
    Raises: as :func:`real_folder`.
    """
    if (named := place.named()) is not None:
        return named
    real_folder(place.folder, place.link.parent)
    with contextlib.suppress(FileNotFoundError):
        place.link.unlink()
    if _linked(place):
        return place.blob
    if fetched:
        replace_file(place.blob, place.link)
    else:
        with open_partial(place) as copy, place.blob.open("rb") as blob:
            copy.truncate(0)
            shutil.copyfileobj(blob, copy, 1 << 20)
        replace_file(place.partial, place.link)
    return place.link


def _linked(place: CachePlace) -> bool:
    """Whether the name is a relative link to the blob now; False where links are not possible."""
    from huggingface_hub import constants

    if getattr(constants, "HF_HUB_DISABLE_SYMLINKS", False):
        return False
    try:
        place.link.symlink_to(os.path.relpath(place.blob, place.link.parent))
    except FileExistsError:  # another process was first
        if place.named() is None:
            raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def share(place: CachePlace, other: Path) -> bool:
    """Makes the blob a further name of ``other``, the same content in another repository.

    A hard link: each repository can be removed without the other. False where there can be none.
    Raises: IntegrityError as :func:`real_folder`.
    """
    real_folder(place.folder, place.blob.parent)
    try:
        os.link(os.path.realpath(other), place.blob)
    except OSError:  # no hard links here, or too many: it is fetched
        return False
    with contextlib.suppress(FileNotFoundError):
        place.partial.unlink()
    return True


def discard(place: CachePlace, path: Path) -> None:
    """Removes ``path``, a file that is damaged; with a blob all its names in the repository."""
    if path == place.blob and is_inside(place.folder, place.storage / "snapshots" / "x"):
        for folder, _, names in os.walk(place.storage / "snapshots"):
            for name in names:
                link = place.storage.joinpath(folder, name)
                if place.leads_here(link):
                    link.unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def write_ref(folder: Path, repository: Repository) -> None:
    """Notes which commit a branch is at, for tools that ask for ``main`` without a network."""
    revision = repository.revision
    if revision == repository.commit or problem_of("branch", revision):
        return
    storage = folder.joinpath(*path_parts("repository", repository.name))
    ref = storage.joinpath("refs", *path_parts("branch", revision))
    beside = ref.with_name(f"{ref.name}.{secrets.token_hex(4)}.tmp")
    try:
        real_folder(folder, ref.parent)
        with beside.open("x", encoding="ascii") as file:
            file.write(*path_parts("commit", repository.commit))
        beside.replace(ref)
    except (OSError, IntegrityError):  # the model is here without it
        with contextlib.suppress(OSError):
            beside.unlink()


def tag_cache(folder: Path) -> None:
    """Marks the cache folder as one, for backups, as huggingface_hub does it."""
    with contextlib.suppress(OSError), (folder / "CACHEDIR.TAG").open("x") as file:
        file.write(_CACHE_TAG)
