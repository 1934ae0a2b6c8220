"""The loop over the bytes of one file: from the hub to the end of what is here."""

from __future__ import annotations

import errno
import os
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

from gemmahub.errors import DoesNotFit, GemmahubError, RangesIgnored
from gemmahub.hub.remote_file import RangedFile
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import FileIO
    from pathlib import Path

    from gemmahub.hub.client import HubClient
    from gemmahub.hub.download_place import CachePlace
    from gemmahub.hub.reporter import Reporter

# One request asks for no more: addresses of the CDN expire, and it serves at most 50 GB at once
# (huggingface_hub ``constants.MAX_HTTP_DOWNLOAD_SIZE``).
_WINDOW: Final = 8 << 30
_RESTARTS: Final = 3  # of a file from a server that ignores ranges
_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


class ByteLoop:
    """Appends to ``out``, the partial file of ``place``, what it lacks.

    ``have`` are the bytes that are here, ``fetched`` those that came by this loop.
    """

    def __init__(
        self,
        client: HubClient,
        place: CachePlace,
        out: FileIO,
        reporter: Reporter,
        say: Callable[[str], None],
    ) -> None:
        self.have = os.fstat(out.fileno()).st_size
        self.fetched = 0
        self._source = RangedFile(client, place.file)
        self._place = place
        self._out = out
        self._reporter = reporter
        self._say = say
        self._window = _WINDOW
        self._restarts = 0

    def run(self) -> None:
        """Until all is here. May be called again after a failure: it goes on where it was."""
        size = self._place.file.size
        while self.have < size:
            try:
                self._ask(min(size, self.have + self._window))
            except RangesIgnored:
                self._restarts += 1
                if self._restarts > _RESTARTS:
                    raise
                self._start_over()

    def _ask(self, end: int) -> None:
        self._out.seek(self.have)
        with closing(self._source.pieces(self.have, end)) as pieces:
            for piece in pieces:
                self._write(piece)
                self.have += len(piece)
                self.fetched += len(piece)
                self._reporter.add(len(piece))

    def _start_over(self) -> None:
        """The server cannot continue: what is here would come again in any case."""
        name, size = one_line(self._place.file.name, 120), self._place.file.size
        if self.have:
            self._say(f"the server cannot continue {name}: fetching it from the beginning")
        self.have, self._window = 0, size
        self._out.truncate(0)
        self._reporter.begin(self._place.file.path, "fetching")

    def _write(self, piece: bytes) -> None:
        left = memoryview(piece)
        try:
            while left:
                left = left[self._out.write(left) :]
        except OSError as error:
            self.have = os.fstat(self._out.fileno()).st_size
            raise not_written(self._place, error) from error


def not_written(place: CachePlace, error: OSError) -> GemmahubError:
    """The error for a cache that cannot be written: full, read-only, not a folder."""
    file, partial = place.file, place.partial
    if error.errno not in _FULL:
        where = f"{error.filename}: " if error.filename else f"{partial}: "
        return GemmahubError(
            f"{one_line(where + (error.strerror or str(error)), 300)}",
            "correct that, or set HF_HOME to a writable folder; the part that arrived is kept",
        )
    kept, name = place.here_bytes(), one_line(file.name, 120)
    arrived = f"{format_bytes(kept)} of {name} arrived and are kept"
    missing = file.size - kept
    if _takes_no_files(place.folder):
        return DoesNotFit(
            f"the disk is out of inodes and takes no more files: {arrived}",
            f"remove files on the disk of {place.folder}, then pull it again; or set HF_HOME to a "
            "folder on another disk",
        )
    if missing <= 0:
        return DoesNotFit(
            f"the disk is full: {arrived}, but its name cannot be written",
            f"free some space at {place.folder} (gemmahub du), then pull it again",
        )
    return DoesNotFit(
        f"the disk is full: {arrived}, {format_bytes(missing)} are missing",
        f"free {format_bytes(missing)} at {place.folder} and pull it again",
    )


def _takes_no_files(folder: Path) -> bool:
    """Whether all inodes are used; some file systems do not count them, and tell 0 of 0."""
    if not hasattr(os, "statvfs"):
        return False
    for here in (folder, *folder.parents):
        with suppress(OSError):
            status = os.statvfs(here)
            return status.f_files > 0 and status.f_favail == 0
    return False
