"""What a model is, whatever it is called and wherever it lies: the sha256 of its content.

A store may have recorded it (then it is taken from there); otherwise it is computed when asked for
and remembered with the file's path, size, time of change and inode.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from gemmahub.errors import IntegrityError, NotFound
from gemmahub.records.small_table import SmallTable
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Artifact

_BLOCK_BYTES: Final = 4 << 20
# Blobs are named by their content: Hugging Face ``<sha256>``, Ollama ``sha256-<sha256>``.
_BLOB: Final = re.compile(r"(?:sha256-)?([0-9a-f]{64})")
_COLUMNS: Final = ("path TEXT", "stamp TEXT", "sha256 TEXT")

OTHER_MODEL: Final = ("ADAPTER", "SYSTEM", "MESSAGE")
"""Parts of a name that make another model of the same weights."""


class ContentSums:
    """The sha256 of files: recorded, remembered or computed. Without a database none is kept."""

    def __init__(self, database: Path | None) -> None:
        self._table = None if database is None else _table(database)
        self._known: dict[str, tuple[str, str]] | None = None

    def known(self, path: Path) -> str | None:
        """The sha256 without reading the file: as its store recorded it, or as remembered."""
        return recorded_sha256(path) or self.remembered(path)

    def remembered(self, path: Path) -> str | None:
        """The sha256 that was computed here of this very content."""
        if not self._remembered():
            return None
        real = os.path.realpath(path)
        try:
            stamp = _stamp(os.stat(real))  # noqa: PTH116 - a text, and hundreds of them
        except OSError:
            return None
        found = self._remembered().get(_key(real))
        return found[1] if found is not None and found[0] == stamp else None

    def compute(self, path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
        """Read the file, or take what is remembered; ``on_bytes`` gets the bytes as they are read.

        Raises: NotFound when it cannot be read; IntegrityError when it changes meanwhile.
        """
        if found := self.remembered(path):
            return found
        real = Path(os.path.realpath(path))
        try:
            with real.open("rb") as file:
                status = os.fstat(file.fileno())
                before, left = _stamp(status), status.st_size
                digest = hashlib.sha256()
                # No further than it was long: a download would keep us reading.
                while block := file.read(min(_BLOCK_BYTES, left)):
                    digest.update(block)
                    left -= len(block)
                    if on_bytes is not None:
                        on_bytes(len(block))
                if _stamp(real.stat()) != before:
                    raise IntegrityError(
                        f"{one_line(str(path))} changed while it was read",
                        "wait until its download has finished, then try again",
                    )
        except OSError as error:
            raise NotFound(
                f"{one_line(str(path))} cannot be read: {error.strerror}", "check its permissions"
            ) from error
        self._remember(str(real), before, digest.hexdigest())
        return digest.hexdigest()

    def moved(self, before: Path, after: Path) -> None:
        """Keep what was computed of a file under the name that it has now."""
        found = self._remembered().get(_key(os.path.realpath(before)))
        real = Path(os.path.realpath(after))
        if found is not None and found[0] == _stamp(real.stat()):
            self._remember(str(real), *found)

    def _remember(self, path: str, stamp: str, sha256: str) -> None:
        """Written down at once: it took minutes. A cache that cannot be written is no failure."""
        path = _key(path)
        self._remembered()[path] = stamp, sha256
        if self._table is not None:
            insert = "insert or replace into content (path, stamp, sha256) values (?, ?, ?)"
            self._table.write([(insert, (path, stamp, sha256))])

    def _remembered(self) -> dict[str, tuple[str, str]]:
        if self._known is None:
            rows = [] if self._table is None else self._table.rows()
            self._known = {path: (stamp, sha256) for path, stamp, sha256 in rows}
        return self._known


def _table(database: Path) -> SmallTable[tuple[str, str, str]]:
    from msgspec import Meta

    sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    row: Any = tuple[str, str, sha256]
    return SmallTable(database, "content", _COLUMNS, row, key="path")


def recorded_sha256(path: Path) -> str | None:
    """The sha256 that a store wrote down as the name of the blob: of the file, or of its link."""
    try:
        name = path.readlink().name if path.is_symlink() else path.name
    except OSError:
        return None
    match = _BLOB.fullmatch(name)
    return match[1] if match else None


def weight_files(artifact: Artifact) -> tuple[Path, ...]:
    """The files with the weights: all parts of a GGUF model, the safetensors of a folder."""
    files = artifact.files or (artifact.path,)
    if files == (artifact.path,) and os.path.isdir(artifact.path):  # noqa: PTH112 - never raises
        return tuple(sorted(artifact.path.glob("*.safetensors")))
    return files


def content_of(artifact: Artifact, sums: ContentSums) -> str | None:
    """The identity of a model without reading its weights; None where that is not known yet.

    For one file its sha256; for several the sha256 over those of all, in order.
    """
    files = weight_files(artifact)
    if len(files) == 1:
        return artifact.sha256 or sums.known(files[0])
    found = [sums.known(file) for file in files]
    if not found or None in found:
        return None
    return hashlib.sha256("\n".join(map(str, found)).encode()).hexdigest()


def inode_of(artifact: Artifact) -> tuple[int, int] | None:
    """Device and inode of the (first) file with weights: the same for hard links and symlinks."""
    files = weight_files(artifact)
    try:
        status = files[0].stat() if files else None
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status is not None and status.st_ino else None


def _key(path: str) -> str:
    """A path as the database takes it: a name that is not Unicode has surrogates."""
    return path.encode(errors="backslashreplace").decode()


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ino}"
