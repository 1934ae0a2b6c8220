"""What interrupted downloads left in the Hugging Face cache: ``blobs/HASH[.x].incomplete``, and
whether somebody goes on with one: huggingface_hub (``file_download.py``) and gemmahub hold
``.locks/models--OWNER--NAME/HASH.lock`` while they fetch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

INCOMPLETE: Final = ".incomplete"
FETCHED: Final = "it is being downloaded"


def left_in(blobs: Path) -> list[Path]:
    """The beginnings of files there that nobody goes on with; none where the folder is a link."""
    if blobs.is_symlink():
        return []
    try:
        with os.scandir(blobs) as entries:
            names = sorted(e.name for e in entries if e.is_file(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    left = (blobs / name for name in names if name.endswith(INCOMPLETE))
    return [path for path in left if not is_fetched(path)]


def is_fetched(path: Path) -> bool:
    """Whether a download holds the lock of the file that this is the beginning of."""
    repository = path.parent.parent
    hash_ = path.name.partition(".")[0]
    lock = repository.parent / ".locks" / repository.name / f"{hash_}.lock"
    if not lock.exists():
        return False
    from filelock import FileLock, Timeout

    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # it cannot be asked: nobody's place to remove it
        return True
