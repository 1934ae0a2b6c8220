"""How far a pull is: all files together, rate and time left, from what its source reports."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from gemmahub.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gemmahub.engines.sources import Phase, PullProgress

_RATE_SECONDS: Final = 8.0  # a rate is that of the last seconds


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is: one file, and all of them. Bytes and seconds.

    ``done_bytes`` counts what is here, also from earlier; while ``verifying`` what has been read.
    ``all_done_bytes`` counts what is here of all files. Rate and times left are None where nothing
    has been measured yet.
    """

    file: str
    phase: Phase
    done_bytes: int
    size: int
    all_done_bytes: int
    all_bytes: int
    files_done: int
    files: int
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    all_seconds_left: float | None = None


OnPullProgress: TypeAlias = "Callable[[Progress], None]"


class Meter:
    """Makes :class:`Progress` of what a source reports, whose files may come side by side.

    ``here`` and ``sizes`` are the bytes that are here of each file, and their sizes, by name.
    ``cancelled`` is asked with each report; when it says so, Cancelled is raised.
    """

    def __init__(
        self,
        here: Mapping[str, int],
        sizes: Mapping[str, int],
        report: OnPullProgress | None = None,
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
        self._current = ""
        self._ready: set[str] = set()
        self._rates: dict[str, _Rate] = {}
        self._rate = _Rate()

    def __call__(self, now: PullProgress) -> None:
        """The latest of a file; a step that is about no file only asks whether to go on."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("cancelled", "nothing that arrived is lost: pull it again")
        if now.file not in self._sizes:
            return
        if now.phase != "verifying":
            self._all_here += now.done_bytes - self._here.get(now.file, 0)
            self._here[now.file] = now.done_bytes
        self._count_ready(now)
        if self._report is not None:
            self._report(self._progress(now))

    def _count_ready(self, now: PullProgress) -> None:
        """A file is ready when its source says so, or when it is whole and another one comes."""
        before = self._current
        if before not in ("", now.file) and self._here[before] >= self._sizes[before]:
            self._ready.add(before)
        if now.phase == "ready":
            self._ready.add(now.file)
        self._current = now.file

    def _progress(self, now: PullProgress) -> Progress:
        at, size = self._clock(), self._sizes[now.file]
        rate = self._rates.setdefault(now.file, _Rate()).at(at, now.done_bytes, now.phase)
        comes = "fetching" if now.phase == "waiting" else now.phase
        whole = self._rate.at(at, self._all_here, comes)
        return Progress(
            file=now.file,
            phase=now.phase,
            done_bytes=now.done_bytes,
            size=size,
            all_done_bytes=self._all_here,
            all_bytes=self._all_sizes,
            files_done=len(self._ready),
            files=len(self._sizes),
            bytes_per_second=rate,
            seconds_left=(size - now.done_bytes) / rate if rate else None,
            all_seconds_left=(self._all_sizes - self._all_here) / whole if whole else None,
        )


@dataclass(slots=True)
class _Rate:
    """Bytes a second over the last seconds, of one phase."""

    phase: str = ""
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def at(self, now: float, done: int, phase: str) -> float | None:
        """The rate with one more point; None before there are two of the phase."""
        if phase != self.phase or (self.samples and done < self.samples[-1][1]):
            self.phase = phase
            self.samples.clear()
        self.samples.append((now, done))
        while now - self.samples[0][0] > _RATE_SECONDS:
            self.samples.popleft()
        (begin, before), (end, after) = self.samples[0], self.samples[-1]
        return (after - before) / (end - begin) if end > begin and after > before else None
