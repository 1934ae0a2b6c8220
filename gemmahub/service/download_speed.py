"""How fast downloads are here: measured while they run, and what it means for the next one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gemmahub.measurements.download_rates import DownloadRates

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.sources import OnPull, PullProgress
    from gemmahub.service.installation import Installation


class TimedDownload:
    """Takes the reports of a download on their way, and counts bytes and time. Neither
    waiting nor verifying counts, nor what was here before."""

    def __init__(self, report: OnPull, clock: Callable[[], float] = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._before: float | None = None
        self._done: dict[str, int] = {}
        self.fetched = 0
        self.seconds = 0.0

    def __call__(self, now: PullProgress) -> None:
        """The latest of a file."""
        at = self._clock()
        if now.phase == "fetching":
            self.fetched += max(0, now.done_bytes - self._done.get(now.file, now.done_bytes))
            self._done[now.file] = now.done_bytes
            self.seconds += at - self._before if self._before is not None else 0.0
        self._before = at if now.phase == "fetching" else None
        self._report(now)

    def remember(self, here: Installation) -> None:
        """Keep the rate, where enough came to say something."""
        DownloadRates(here.config.data).add(self.fetched, self.seconds)


def last_rate(here: Installation) -> float | None:
    """Bytes a second of the last download on this machine; None where none was measured."""
    return DownloadRates(here.config.data).last()
