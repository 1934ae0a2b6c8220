"""The rate of the last download: measured while it runs, kept, and what it means for the next."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.sources import PullProgress
from gemmahub.measurements.download_rates import FILE_NAME, LEAST_BYTES, DownloadRates
from gemmahub.service.download_speed import TimedDownload

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.sources import Phase


def test_the_last_rate_is_kept(tmp_path: Path) -> None:
    rates = DownloadRates(tmp_path)
    assert rates.last() is None
    assert not list(tmp_path.iterdir())  # asking makes no file
    rates.add(100_000_000, 10.0)
    rates.add(60_000_000, 2.0)
    assert DownloadRates(tmp_path).last() == 30_000_000


@pytest.mark.parametrize(("fetched", "seconds"), [(LEAST_BYTES - 1, 9.0), (10**9, 0.1), (0, 0.0)])
def test_what_says_too_little_is_not_kept(tmp_path: Path, fetched: int, seconds: float) -> None:
    DownloadRates(tmp_path).add(fetched, seconds)
    assert DownloadRates(tmp_path).last() is None


def test_only_a_few_are_kept_and_the_latest_counts(tmp_path: Path) -> None:
    rates = DownloadRates(tmp_path)
    for number in range(30):
        rates.add(10_000_000 + number, 1.0)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        assert database.execute("select count(*) from download").fetchone() == (20,)
    assert rates.last() == 10_000_029


def test_a_damaged_file_is_no_rate_and_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"no database at all" * 100)
    rates = DownloadRates(tmp_path)
    assert rates.last() is None
    rates.add(10_000_000, 1.0)
    assert rates.last() == 10_000_000
    assert (tmp_path / f"{FILE_NAME}.damaged").exists()


def test_waiting_verifying_and_what_was_here_do_not_count() -> None:
    now = 0.0
    told: list[int] = []
    timed = TimedDownload(lambda each: told.append(each.done_bytes), clock=lambda: now)

    def report(at: float, phase: Phase, done: int, file: str = "a") -> None:
        nonlocal now
        now = at
        timed(PullProgress(file, done, 1000, phase))

    report(0, "fetching", 400)  # from an earlier try
    report(1, "fetching", 500)
    report(2, "fetching", 600)
    report(50, "waiting", 600)
    report(60, "fetching", 600)
    report(61, "fetching", 700)
    report(62, "fetching", 0, "b")
    report(63, "fetching", 50, "b")
    report(90, "verifying", 1000)
    assert (timed.fetched, timed.seconds) == (350, 5.0)
    assert len(told) == 9
