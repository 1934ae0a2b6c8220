"""Tells how far a file is, a few times a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from gemmahub.engines.sources import PullProgress
from gemmahub.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gemmahub.engines.sources import OnPull, Phase

_TELL_SECONDS: Final = 0.1


class Reporter:
    """Adds up bytes and reports :class:`PullProgress` records.

    ``sizes`` are the files' lengths in bytes, by path. ``cancelled`` is asked whenever bytes come;
    when it says so, Cancelled is raised.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        report: OnPull | None = None,
        cancelled: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sizes = sizes
        self._report = report
        self._cancelled = cancelled
        self._clock = clock
        self._file = ""
        self._phase: Phase = "fetching"
        self._done = 0
        self._told = float("-inf")

    def begin(self, file: str, phase: Phase, done: int = 0) -> None:
        """Another file, or another phase of the same one, ``done`` bytes of which are done."""
        self._file, self._phase, self._done = file, phase, done
        self._told = float("-inf")
        self.add(0)

    def add(self, count: int) -> None:
        """So many bytes came, or were read."""
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("cancelled", "nothing that arrived is lost: pull it again")
        self._done += count
        if self._report is None:
            return
        now, size = self._clock(), self._sizes.get(self._file, 0)
        if now - self._told >= _TELL_SECONDS or self._done >= size:
            self._told = now
            self._report(PullProgress(self._file, self._done, size, self._phase))

    def see(self, done: int) -> None:
        """What another process has done by now of the file that it fetches."""
        self.add(done - self._done)
