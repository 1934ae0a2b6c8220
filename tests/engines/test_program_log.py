"""The log of a program: its first and last lines, in a file that stays small."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.program_log import (
    FIRST_BYTES,
    KEPT_FILES,
    LAST_BYTES,
    RECENT_SECONDS,
    LogFile,
    ProgramLog,
    open_log,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.quick


def test_a_file_keeps_the_beginning_and_the_end(tmp_path: Path) -> None:
    log = ProgramLog(file=LogFile(tmp_path / "x.log"))
    for number in range(100_000):
        log.feed(b"line %d of very many\n" % number)
    text = (tmp_path / "x.log").read_text()
    assert len(text) <= FIRST_BYTES + 2 * LAST_BYTES + 100
    assert text.startswith("line 0 of very many\nline 1 of")
    assert text.endswith("line 99999 of very many\n")
    assert text.count("are left out here") == 1
    assert log.lines[0] == "line 0 of very many"
    assert len(log.lines) == 300
    assert log.file is not None
    log.file.remove()
    assert list(tmp_path.iterdir()) == []


def test_pieces_make_lines_and_a_long_line_is_cut() -> None:
    log = ProgramLog()
    for piece in (b"a", b"b\r\nc", b"x" * 5000, b"y" * 100_000, b"end\nd\n\xff\x1b[31m\n", b"last"):
        log.feed(piece)
    log.finish()
    lines = log.lines
    assert lines[0] == "ab"
    assert lines[1].startswith("cxxx")
    assert len(lines[1]) <= 600
    assert lines[2] == "d"
    assert "\x1b" not in lines[3]
    assert lines[4:] == ["last"]


def test_the_reason_is_the_first_and_the_last_telling_lines() -> None:
    log = ProgramLog()
    log.feed(b"start\nerror one\nfailed two\nfailed three\nfailed four\nbye\n")
    assert log.reason() == "error one | failed three | failed four"
    plain = ProgramLog()
    plain.feed(b"1\n\n2\n3\n4\n")
    assert plain.reason() == "2 | 3 | 4"
    assert ProgramLog().reason() == ""


def test_a_line_from_long_ago_is_not_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning about a token, printed while the model was loaded, did not end the program."""
    log, now = ProgramLog(), [100.0]
    monkeypatch.setattr("gemmahub.engines.program_log.monotonic", lambda: now[0])
    log.feed(b"control token is not marked as EOG: unknown\n")
    now[0] += RECENT_SECONDS + 1
    assert log.reason() == ""
    log.feed(b"out of memory\n")
    assert log.reason() == "out of memory"
    log.settle()
    now[0] += 1
    assert log.reason() == ""
    assert log.lines == ["control token is not marked as EOG: unknown", "out of memory"]
    log.feed(b"failed to allocate\n")
    assert log.reason() == "failed to allocate"


def test_a_warning_does_not_say_why_a_program_ends() -> None:
    log = ProgramLog()
    log.feed(
        b"UserWarning: unknown token <image> in the tokenizer\nW tokenizer: 3 invalid tokens\n"
    )
    assert log.reason() == ""
    log.feed(b"CUDA error: out of memory\n")
    assert log.reason() == "CUDA error: out of memory"


def test_in_the_middle_of_its_work_only_telling_lines_are_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, now = ProgramLog(), [100.0]
    monkeypatch.setattr("gemmahub.engines.program_log.monotonic", lambda: now[0])
    log.settle()
    now[0] += 1
    log.feed(b"special token 106 is <end_of_turn>\nslot 0 released\n")
    assert log.reason() == ""
    log.feed(b"terminate called after throwing std::bad_alloc\n")
    assert log.reason() == "terminate called after throwing std::bad_alloc"


def test_a_full_disk_only_ends_the_file(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "x.log")
    file._file.close()
    file._file = open("/dev/full", "w+b", buffering=0)  # noqa: SIM115 - closed by its first write
    log = ProgramLog(file=file)
    log.feed(b"one\n")
    log.feed(b"two\n")
    assert file._file.closed
    assert log.lines == ["one", "two"]


def test_files_of_killed_programs_and_old_ones_go(tmp_path: Path) -> None:
    dead = tmp_path / "engine-4194000-0.log"
    running = tmp_path / f"engine-{os.getppid()}-0.log"
    other = tmp_path / "notes.txt"
    for path in (dead, running, other):
        path.touch()
    for number in range(KEPT_FILES + 5):
        path = tmp_path / f"engine-1-{number}.x.kept"
        path.touch()
        os.utime(path, (number, number))
    log = open_log(tmp_path, "my engine/../x")
    assert log is not None
    assert log.path.name == f"my_engine_.._x-{os.getpid()}-0.log"
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    log.keep_as("now")
    names = {path.name for path in tmp_path.iterdir()}
    assert dead.name not in names
    assert {running.name, other.name, log.path.name} <= names
    kept = sorted(name for name in names if name.endswith(".kept"))
    assert len(kept) == KEPT_FILES
    assert "engine-1-0.x.kept" not in kept


def test_a_folder_that_is_a_link_of_somebody_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"gemmahub-{os.getuid()}").symlink_to(tmp_path / "theirs")
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert open_log(tmp_path / "file" / "logs", "x") is None
    assert list((tmp_path / "theirs").iterdir()) == []
