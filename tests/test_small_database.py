"""A small database: a row that does not fit costs itself, and no state of the file is a failure."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from msgspec import Meta

from gemmahub.records import small_table as small_database
from gemmahub.records.small_table import SmallTable

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ("name text not null", "count integer not null", "seconds real not null")
GOOD = ("good", 3, 0.5)


def table(path: Path, *, keep: bool = False) -> SmallTable[Any]:
    row: Any = tuple[str, Annotated[int, Meta(ge=0)], Annotated[float, Meta(ge=0, le=1e9)]]
    return SmallTable(path, "speed", COLUMNS, row, keep=keep)


def add(path: Path, row: tuple[Any, ...] = GOOD, *, keep: bool = False) -> None:
    table(path, keep=keep).write([("insert into speed values (?, ?, ?)", row)])


def script(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements:
            database.execute(statement)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.sqlite"


ODD_VALUES = [
    (None, None, None), ("a", None, 1.0), ("a", "x", 1.0), ("a", b"\xff", 1.0), (b"a", 1, 1.0),
    ("a", 1, "z"), ("a", 1, float("inf")), ("a", -1, 1.0), ("a", 1.5, 1.0), ("a", 1, -0.5),
    ("a", 2**62, 1e10), (5, 1, 1.0), ("a", 1, b""), ("a", "", 1.0), ("a", "1" * 400, 1.0),
]  # fmt: skip


@pytest.mark.parametrize("values", ODD_VALUES, ids=str)
def test_an_odd_row_costs_itself(path: Path, values: tuple[Any, ...]) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table speed (name, count, seconds)")
        database.executemany("insert into speed values (?, ?, ?)", [GOOD, values, GOOD])
    assert table(path).rows() == [GOOD, GOOD]
    add(path)
    assert table(path).rows() == [GOOD] * 3
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("select count(*) from speed").fetchone() == (3,)


def test_a_text_that_is_not_unicode_costs_no_other_row(path: Path) -> None:
    add(path)
    script(path, "insert into speed values (cast(x'ff41' as text), 1, 1.0)")
    assert [row[1] for row in table(path).rows()] == [3, 1]


OTHER_TABLES = {
    "other columns": ["create table speed (a, b)", "insert into speed values (1, 2)"],
    "a column less": ["create table speed (name, count)"],
    "a column more": ["create table speed (name, count, seconds, more)"],
    "a computed column": [
        "create table speed (name, count, seconds as (count * 2))",
        "insert into speed values ('a', 1)",
    ],
    "a view": ["create view speed as select 'a' as name, 1 as count, 1.0 as seconds"],
    "an endless view": [
        "create view speed as with recursive r(n) as (select 1 union all select n + 1 from r) "
        "select 'a' as name, n as count, 1.0 as seconds from r"
    ],
    "no row numbers": [
        "create table speed (name text primary key, count, seconds) without rowid",
        "insert into speed values ('a', 1, 'x')",
    ],
}


@pytest.mark.parametrize("kind", OTHER_TABLES)
@pytest.mark.parametrize("keep", [False, True])
def test_a_table_that_is_not_ours_is_made_again(path: Path, kind: str, keep: bool) -> None:
    script(path, *OTHER_TABLES[kind])
    before = path.read_bytes()
    assert table(path).rows() == []
    add(path, keep=keep)
    assert table(path).rows() == [GOOD]
    kept = path.with_name("s.sqlite.damaged")
    if keep:
        assert kept.read_bytes() == before
    else:
        assert not kept.exists()


def test_a_trigger_that_never_ends_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_database, "_MOST_STEPS", 2)
    add(path)
    endless = "with recursive r(n) as (select 1 union all select n + 1 from r)"
    script(
        path,
        "create table other (n)",
        "create trigger t after insert on speed begin insert into other "
        f"select n from ({endless} select n from r); end",
    )
    add(path)
    assert table(path).rows() == [GOOD]


def test_another_table_in_the_file_is_left_alone(path: Path) -> None:
    script(path, "create table other (n)", "insert into other values (7)")
    assert table(path).rows() == []
    add(path)
    assert table(path).rows() == [GOOD]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("select n from other").fetchall() == [(7,)]


@pytest.mark.parametrize(
    "content", [b"this is no database" * 100, b"\0" * 4096, b"SQLite format 3"]
)
@pytest.mark.parametrize("keep", [False, True])
def test_what_is_not_a_database_is_made_again(path: Path, content: bytes, keep: bool) -> None:
    path.write_bytes(content)
    for ending in ("-journal", "-wal"):
        path.with_name(path.name + ending).write_bytes(b"of the old file")
    assert table(path).rows() == []
    add(path, keep=keep)
    assert table(path).rows() == [GOOD]
    kept = path.with_name("s.sqlite.damaged")
    assert (kept.read_bytes() if kept.exists() else None) == (content if keep else None)
    assert not path.with_name("s.sqlite-journal").exists()


@pytest.mark.parametrize("place", [0, 30, 100, 1000, 4096, 5000, 8192, 9000])
def test_a_spoiled_page_is_not_a_failure(path: Path, place: int) -> None:
    for number in range(5):
        add(path, (f"row {number} " + "x" * 1500, number, 1.0))
    raw = bytearray(path.read_bytes())
    raw[place : place + 64] = b"\xff" * len(raw[place : place + 64])
    path.write_bytes(raw)
    assert len(table(path).rows()) <= 5
    add(path)
    assert GOOD in table(path).rows()


def test_an_older_damaged_file_is_not_replaced(path: Path) -> None:
    path.write_bytes(b"second" * 100)
    path.with_name("s.sqlite.damaged").write_bytes(b"first")
    add(path, keep=True)
    assert path.with_name("s.sqlite.damaged").read_bytes() == b"first"
    assert path.with_name("s.sqlite.damaged-2").read_bytes() == b"second" * 100


def test_a_folder_in_its_place_is_left(path: Path) -> None:
    path.mkdir()
    (path / "file").touch()
    assert table(path).rows() == []
    add(path, keep=True)
    assert (path / "file").exists()


def test_a_pipe_in_its_place_is_left(path: Path) -> None:
    os.mkfifo(path)
    assert table(path).rows() == []
    add(path)
    assert path.exists()


def test_a_locked_file_has_no_rows_and_is_not_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    add(path)
    with closing(connect(path)) as other:
        other.execute("begin exclusive")
        monkeypatch.setattr(sqlite3, "connect", lambda name, **more: connect(name, timeout=0))
        assert table(path).rows() == []
        add(path, keep=True)
        other.rollback()
    assert table(path).rows() == [GOOD]
    assert not path.with_name("s.sqlite.damaged").exists()


def test_a_file_that_cannot_be_written_keeps_its_rows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(path)
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda name, **more: connect(f"file:{name}?mode=ro", uri=True),
    )
    add(path, ("more", 1, 1.0))
    assert table(path).rows() == [GOOD]


def test_a_file_that_is_too_large_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(path)
    monkeypatch.setattr(small_database, "LARGEST", 100)
    assert table(path).rows() == []
    add(path)
    monkeypatch.undo()
    assert table(path).rows() == [GOOD]


@pytest.mark.parametrize("values", [("\ud800", 1, 1.0), ("a", 2**64, 1.0), ("a", 1, None)])
def test_what_no_database_takes_is_not_remembered(path: Path, values: tuple[Any, ...]) -> None:
    add(path)
    add(path, values)
    assert table(path).rows() == [GOOD]


def test_no_file_has_no_rows_and_is_not_made_by_a_look(path: Path) -> None:
    assert table(path).rows() == []
    assert not path.exists()
