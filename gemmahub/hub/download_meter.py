"""Counts what comes, and tells how far it is, a few times a second."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

from gemmahub.errors import Cancelled
from gemmahub.hub.download_records import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.hub.download_records import OnDownload, Phase

_TELL_SECONDS: Final = 0.1
_RATE_SECONDS: Final = 8.0  # a rate is that of the last seconds


class Meter:
    """Adds up bytes and reports :class:`Progress` records.

    ``here`` and ``sizes`` are the bytes that are here of each file, and their sizes, by path.
    ``cancelled`` is asked whenever bytes come; when it says so, Cancelled is raised.
    """

    def __init__(
        self,
        here: dict[str, int],
        sizes: dict[str, int],
        report: OnDownload | None = None,
        cancelled: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._here = dict(here)
        self._sizes = sizes
        # Kept up to date, not added up again for each file of a thousand.
        self._all_here, self._all_sizes = sum(here.values()), sum(sizes.values())
        self._report = report
        self._cancelled = cancelled
        self._clock = clock
        self._file = ""
        self._phase: Phase = "fetching"
        self._done = 0
        self._finished: set[str] = set()
        self._samples: deque[tuple[float, int]] = deque()
        self._moved = 0
        self._told = float("-inf")

    def begin(self, file: str, phase: Phase, done: int = 0) -> None:
        """Another file, or another phase of the same one, ``done`` bytes of which are done."""
        self._file, self._phase, self._done = file, phase, done
        if phase != "verifying":
            self._see(file, done)
        self._samples.clear()
        self._moved = 0
        self._told = float("-inf")
        self.add(0)

    def add(self, count: int) -> None:
        """So many bytes came, or were read."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("cancelled", "nothing that has arrived is lost: pull it again")
        self._done += count
        self._moved += count
        if self._phase == "fetching":
            self._see(self._file, self._done)
        if self._report is None:
            return
        now = self._clock()
        if now - self._told >= _TELL_SECONDS or self._done >= self._sizes.get(self._file, 0):
            self._told = now
            self._tell(now)

    def see(self, done: int) -> None:
        """What another process has done by now of the file that it fetches."""
        self.add(done - self._done)
        self._see(self._file, done)

    def finish(self, file: str) -> None:
        """A file is here and verified."""
        self._finished.add(file)
        self.begin(file, "ready", self._sizes[file])

    def _see(self, file: str, done: int) -> None:
        self._all_here += done - self._here.get(file, 0)
        self._here[file] = done

    def _tell(self, now: float) -> None:
        self._samples.append((now, self._moved))
        while now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()
        rate = self._rate()
        size, total, all_done = self._sizes[self._file], self._all_sizes, self._all_here
        fetching = rate if self._phase in ("fetching", "waiting") else None
        assert self._report is not None
        self._report(
            Progress(
                file=self._file,
                phase=self._phase,
                done_bytes=self._done,
                size=size,
                all_done_bytes=all_done,
                all_bytes=total,
                files_done=len(self._finished),
                files=len(self._sizes),
                bytes_per_second=rate,
                seconds_left=(size - self._done) / rate if rate else None,
                all_seconds_left=(total - all_done) / fetching if fetching else None,
            )
        )

    def _rate(self) -> float | None:
        """Bytes a second over the last seconds; None before there are two points in time."""
        (begin, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - begin) if end > begin and after > before else None
