"""Speeds that were measured here: a damaged row costs itself, a damaged file is kept aside."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.measurements.speed_log import SpeedLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "gemma-3-4b-it:q4_0-qat"
AS_0_1_MADE_IT = (
    "create table if not exists decode (reference text not null, place text not null, "
    "tokens integer not null, seconds real not null, at real not null)"
)
ODD: list[tuple[Any, ...]] = [
    (None, None, None), (5, 0, 1), ("x", b"y", "z"), (100, 0.0, 1.7e9), (100, -1.0, 1.7e9),
    (-100, 1.0, 1.7e9), (100, float("inf"), 1.7e9), (2**62, 1.0, 1.7e9), (100, 1e-300, 1.7e9),
    (100, 1.0, -1.0), (100, 1.0, 1e300), (100, 1.0, "now"), (b"", b"", b""), (100, None, 1.7e9),
]  # fmt: skip


def write(folder: Path, create: str, rows: list[tuple[Any, ...]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "speed.sqlite")) as database, database:
        database.execute(create)
        database.executemany("insert into decode values (?, ?, ?, ?, ?)", rows)


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_row_costs_itself(tmp_path: Path, odd: tuple[Any, ...]) -> None:
    good = (NAME, "cpu", 100, 2.0, 1.7e9)
    loose = "create table decode (reference, place, tokens, seconds, at)"
    write(tmp_path, loose, [good, (NAME, "cpu", *odd), (None, "cpu", 1, 1.0, 1.0), good])
    log = SpeedLog(tmp_path)
    assert log.speeds("cpu") == {NAME: 50.0}
    log.add(NAME, "gpu", 100, 1.0)
    assert (log.speeds("cpu"), log.speeds("gpu")) == ({NAME: 50.0}, {NAME: 100.0})


def test_the_last_nine_of_what_0_1_wrote_stay(tmp_path: Path) -> None:
    rows = [(NAME, "cpu", 100, float(number + 1), 1.7e9 + number) for number in range(9)]
    write(tmp_path, AS_0_1_MADE_IT, [*rows, ("other", "gpu", 64, 1.0, 1.7e9)])
    log = SpeedLog(tmp_path)
    assert log.speeds("cpu") == {NAME: 20.0}
    log.add(NAME, "cpu", 100, 100.0)
    assert log.speeds("cpu") == {NAME: pytest.approx(100 / 6)}  # 2 to 9 s, and the new one
    assert log.speeds("gpu") == {"other": 64.0}
    assert [path.name for path in tmp_path.iterdir()] == ["speed.sqlite"]


def test_a_file_of_another_kind_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "speed.sqlite"
    write(tmp_path, "create table decode (a, b, c, d, more)", [("x", 1, 2, 3, 4)])
    before = path.read_bytes()
    log = SpeedLog(tmp_path)
    assert log.speeds("cpu") == {}
    assert path.read_bytes() == before  # a look changes nothing
    log.add(NAME, "cpu", 100, 2.0)
    assert log.speeds("cpu") == {NAME: 50.0}
    assert (tmp_path / "speed.sqlite.damaged").read_bytes() == before


@pytest.mark.parametrize("figures", [(100, float("nan")), (2**70, 1.0), (100, float("inf"))])
def test_an_odd_figure_of_an_engine_is_not_kept(tmp_path: Path, figures: tuple[int, float]) -> None:
    log = SpeedLog(tmp_path)
    log.add(NAME, "cpu", *figures)
    log.add("half \ud800", "cpu", 100, 1.0)
    assert log.speeds("cpu") == {}
    log.add(NAME, "cpu", 100, 2.0)
    assert log.speeds("cpu") == {NAME: 50.0}


def test_no_row_ends_recommend(tmp_path: Path, command: Callable[..., Any]) -> None:
    loose = "create table decode (reference, place, tokens, seconds, at)"
    names = ("gemma-3-270m:q4_k_m", "gemma-3-4b-it:q4_0-qat", "gemma-3-1b-it:q4_0-qat")
    rows = [(name, "cpu", *odd) for name in names for odd in ODD]
    write(tmp_path / "data", loose, [*rows, (None,) * 5, (b"\xff",) * 5])
    result = command("recommend", "--ram", "16GiB", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["recommendations"]
    assert "unexpected" not in result.err
