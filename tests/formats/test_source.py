"""Sources of bytes, and reading forward through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import FormatError, IntegrityError, NotFound
from gemmahub.formats.cursor import FIRST_WINDOW, Cursor
from gemmahub.formats.source import ByteSource, LocalFile
from tests.formats.memory_source import MemorySource

if TYPE_CHECKING:
    from pathlib import Path


def test_local_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    with LocalFile(path) as source:
        as_source: ByteSource = source
        assert (as_source.name, as_source.size) == ("a.bin", 10)
        assert source.read(3, 4) == b"3456"
        assert source.read(10, 0) == b""
        for offset, length in ((8, 3), (11, 0), (-1, 1), (0, 1 << 60)):
            with pytest.raises(IntegrityError, match="ends at byte 10"):
                source.read(offset, length)
    source.close()


def test_file_that_shrinks_while_it_is_open(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123456789")
    with LocalFile(path) as source:
        path.write_bytes(b"012")
        with pytest.raises(IntegrityError):
            source.read(0, 10)


def test_what_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="is a folder"):
        LocalFile(tmp_path)
    with pytest.raises(NotFound, match="no file"):
        LocalFile(tmp_path / "a")
    (tmp_path / "a").touch()
    with pytest.raises(NotFound, match="no file"):
        LocalFile(tmp_path / "a" / "b")


def test_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.touch()

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gemmahub.formats.source.os.open", refuse)
    with pytest.raises(FormatError, match="cannot be read: permission denied"):
        LocalFile(path)


def test_cursor_reads_across_windows() -> None:
    data = bytes(range(256)) * (FIRST_WINDOW // 64)
    cursor = Cursor(MemorySource(data))
    taken = b""
    while cursor.left:
        taken += cursor.take(min(100_003, cursor.left), "data")
    assert taken == data
    assert cursor.offset == len(data)


def test_cursor_refuses_before_it_reads() -> None:
    cursor = Cursor(MemorySource(b"abc", "x"))
    for move in (cursor.need, cursor.take, cursor.skip):
        with pytest.raises(IntegrityError, match="the thing at byte 0 needs 4 B, but only 3 B"):
            move(4, "the thing")
    cursor.skip(3, "all")
    assert cursor.take(0, "nothing") == b""
