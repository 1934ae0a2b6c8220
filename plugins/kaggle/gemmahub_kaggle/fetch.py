"""Files of a version into kagglehub's cache, or into a folder: resumed, checked, then named.

In the cache a file that is not whole lies under its own name and has no mark, as kagglehub leaves
it (``clients.py``, ``download_file``): each goes on with what the other left. What has other bytes
than the storage says is removed, and never marked. In a folder of the user's own there are no
marks: what is not whole is called ``NAME.part``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.engines.sources import PulledFile, PullProgress
from gemmahub.errors import (
    Cancelled,
    DoesNotFit,
    GemmahubError,
    IntegrityError,
    RangesIgnored,
)
from gemmahub.http.limits import ExchangeStopped
from gemmahub.records.whole_file import replace_file
from gemmahub.text import format_bytes, one_line, plural
from gemmahub_kaggle.failures import other_content
from gemmahub_kaggle.storage import PackedInStorage
from gemmahub_kaggle.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from gemmahub.engines.sources import OnPull, Phase
    from gemmahub_kaggle.api import ListedFile
    from gemmahub_kaggle.place import VersionPlace
    from gemmahub_kaggle.storage import Storage, StoredFile

_BLOCK: Final = 1 << 20
_RESTARTS: Final = 3  # of a file from a server that ignores ranges
_LOCK_SECONDS: Final = 0.5  # how often a waiting process looks how far the other one is
_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_OPEN: Final = (
    os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """Where files go: below ``folder``; ``place`` is the version of the cache that it is, None for
    a folder of the user's own."""

    folder: Path
    place: VersionPlace | None = None

    def path(self, name: str) -> Path:
        """Where a file is, once it is whole."""
        return self.folder / name

    def part(self, name: str) -> Path:
        """Where its beginning is."""
        path = self.path(name)
        return path if self.place is not None else path.with_name(f"{path.name}.part")

    def archive(self, name: str) -> Path:
        """Where the archive is that the storage has it in."""
        path = self.path(name)
        return path.with_name(f"{path.name}.zip.part")

    def here_bytes(self, name: str, size: int) -> int:
        """How much of a file is here, by its length."""
        for path in (self.path(name), self.part(name)):
            with suppress(OSError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    return status.st_size if status.st_size <= size else 0
        return 0


class KaggleFetcher:
    """Fetches files one after the other. ``on_progress`` hears of each piece; where it raises, or
    ``cancelled`` says so, what has arrived is kept."""

    def __init__(
        self,
        storage: Storage,
        target: Target,
        on_progress: OnPull | None,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._storage = storage
        self._target = target
        self._on_progress = on_progress
        self._cancelled = cancelled
        self.verified: set[str] = set()
        """The files whose bytes had the MD5 that the storage tells; of others it tells none."""

    def run(self, files: Sequence[ListedFile], *, whole: bool) -> tuple[PulledFile, ...]:
        """Brings the files here; ``whole`` says that they are all of the version.

        Raises: NetworkError, Gated, NotFound; IntegrityError for other content than the storage
        says; DoesNotFit for a full disk; GemmahubError for a folder that cannot be written;
        Cancelled.
        """
        try:
            self._check()
            real_folder(self._target.folder)
            with self._alone(files):
                done = tuple(self._bring(file) for file in files)
                if whole and self._target.place is not None:
                    self._target.place.mark.touch()
                return done
        except ExchangeStopped:
            raise _cancelled() from None
        except OSError as error:
            raise _not_written(self._target, error) from error

    def _bring(self, listed: ListedFile) -> PulledFile:
        path, before = self._target.path(listed.name), self._storage.received_bytes
        real_folder(path.parent, self._target.folder)
        try:
            self._fetch(listed)
        except PackedInStorage as packed:
            self._fetch_packed(listed, packed.stored)
        if self._target.place is not None:
            mark = self._target.place.mark_of(listed.name)
            real_folder(mark.parent, self._target.place.variation)
            mark.touch()
        self._tell(listed, listed.size, "ready")
        return PulledFile(listed.name, path, self._storage.received_bytes - before)

    def _fetch(self, listed: ListedFile) -> None:
        path, part = self._target.path(listed.name), self._target.part(listed.name)
        if self._is_good(listed, path):
            return
        stored = self._storage.file(listed)
        if not listed.size:  # kagglesdk gives 0 also for a size that the API leaves out
            self._storage.look(listed)
        if stored.zipped:
            raise PackedInStorage(stored)
        self._append(listed, stored, part, listed.size)
        self._verify(listed, stored, part)
        if part != path:
            replace_file(part, path)

    def _fetch_packed(self, listed: ListedFile, stored: StoredFile) -> None:
        """Through its archive, whose MD5 is checked before it is opened."""
        path, archive = self._target.path(listed.name), self._target.archive(listed.name)
        self._target.part(listed.name).unlink(missing_ok=True)  # a beginning of another thing
        self._append(listed, stored, archive, stored.size)
        self._verify(listed, stored, archive)
        fresh = path.with_name(f"{path.name}.part")
        done = 0

        def count(length: int) -> None:
            nonlocal done
            done += length
            self._tell(listed, done, "verifying")

        _remove_odd(fresh)
        try:
            unpack(archive, path.name, listed.size, fresh, count)
        except IntegrityError:
            fresh.unlink(missing_ok=True)
            archive.unlink(missing_ok=True)
            raise
        replace_file(fresh, path)
        archive.unlink(missing_ok=True)

    def _is_good(self, listed: ListedFile, path: Path) -> bool:
        """Whether the whole file is here; what has its length and other bytes is removed."""
        if self._target.here_bytes(listed.name, listed.size) != listed.size or not path.is_file():
            return False
        try:
            stored = self._storage.look(listed)
        except PackedInStorage:  # its MD5 is that of the archive: the length has to do
            return True
        return self._has_sum(listed, stored, path)

    def _append(self, listed: ListedFile, stored: StoredFile, part: Path, size: int) -> None:
        """What is missing of ``part``, to the end of it; all of it from a server that cannot
        continue."""
        with _opened(part) as out:
            if os.fstat(out.fileno()).st_size > size:
                out.truncate(0)
            for restarts in range(_RESTARTS + 1):
                try:
                    self._continue(listed, stored, out, size)
                    break
                except RangesIgnored:
                    if restarts == _RESTARTS:
                        raise
                    out.truncate(0)
            out.flush()
            os.fsync(out.fileno())

    def _continue(self, listed: ListedFile, stored: StoredFile, out: BinaryIO, size: int) -> None:
        have = out.seek(0, os.SEEK_END)
        self._tell(listed, min(have, listed.size), "fetching")
        for piece in self._storage.pieces(stored, have, size):
            left = memoryview(piece)
            while left:
                left = left[out.write(left) :]
            have += len(piece)
            # Of an archive, as much as of the file that is in it.
            share = have if size == listed.size else have * listed.size // size
            self._tell(listed, min(share, listed.size), "fetching")

    def _verify(self, listed: ListedFile, stored: StoredFile, path: Path) -> None:
        """Size and MD5, as far as the storage tells it. Nothing of what is wrong is kept."""
        if not stored.url:  # all of it was here already
            self._storage.look(listed)
        if path.stat().st_size != stored.size:
            raise IntegrityError(
                f"{one_line(listed.name, 120)} changed while it was fetched", "pull it again"
            )
        if not self._has_sum(listed, stored, path):
            raise other_content(listed.name, stored.size)

    def _has_sum(self, listed: ListedFile, stored: StoredFile, path: Path) -> bool:
        """Whether it has the storage's MD5, where that tells one; what has another is removed."""
        if stored.md5 and self._md5(listed, path) != stored.md5:
            path.unlink()
            return False
        if stored.md5:
            self.verified.add(listed.name)
        return True

    def _md5(self, listed: ListedFile, path: Path) -> str:
        digest, done = hashlib.md5(usedforsecurity=False), 0
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                done = min(done + len(block), listed.size)
                self._tell(listed, done, "verifying")
        return digest.hexdigest()

    def _tell(self, listed: ListedFile, done: int, phase: Phase) -> None:
        self._check()
        if self._on_progress is not None:
            self._on_progress(PullProgress(listed.name, done, listed.size, phase))

    def _check(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise _cancelled()

    @contextmanager
    def _alone(self, files: Sequence[ListedFile]) -> Iterator[None]:
        """Alone with the version; while another process fetches it, its progress is told."""
        if self._target.place is None:
            yield
            return
        from filelock import FileLock, Timeout

        lock = FileLock(self._target.place.lock)
        _remove_odd(self._target.place.lock)
        while True:
            try:
                lock.acquire(timeout=_LOCK_SECONDS)
                break
            except Timeout:
                for file in files:
                    here = self._target.here_bytes(file.name, file.size)
                    self._tell(file, here, "waiting")
        try:
            yield
        finally:
            lock.release()


def real_folder(folder: Path, root: Path | None = None) -> None:
    """Makes a folder with those above it. Below ``root`` none of them may be a link.

    Raises: IntegrityError, OSError.
    """
    if root is None:
        folder.mkdir(parents=True, exist_ok=True)
        return
    place = root
    for part in folder.relative_to(root).parts:
        place = place / part
        with suppress(FileExistsError):
            place.mkdir()
        if place.is_symlink():
            raise IntegrityError(
                f"{one_line(str(place))} is a link: nothing is written through it",
                "remove the link, then pull it again",
            )


def _remove_odd(path: Path) -> None:
    """Removes what has the name of a file to be written and is none of its own: a link, or a file
    with a second name that would be written, too."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            path.unlink()


def _opened(path: Path) -> BinaryIO:
    _remove_odd(path)
    return os.fdopen(os.open(path, _OPEN, 0o666), "wb", buffering=0)


def _cancelled() -> Cancelled:
    return Cancelled("cancelled", "nothing that arrived is lost: pull it again")


def _not_written(target: Target, error: OSError) -> GemmahubError:
    """The error for a place that cannot be written: full, read-only, not a folder."""
    if error.errno in _FULL:
        return DoesNotFit(
            f"the disk of {target.folder} is full; the part that arrived is kept",
            "free some space (gemmahub du), and run the same command again",
        )
    where = one_line(str(error.filename or target.folder), 200)
    elsewhere = "KAGGLEHUB_CACHE" if target.place is not None else "--to"
    return GemmahubError(
        f"{where}: {error.strerror or error}", f"choose another folder with {elsewhere}"
    )


def total_text(files: Sequence[ListedFile]) -> str:
    """How much that is, in words: ``4 files, 2.60 GB``."""
    size = format_bytes(sum(file.size for file in files))
    return f"{plural(len(files), 'file')}, {size}"
