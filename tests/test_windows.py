"""What differs on Windows, tried here with what that system is recorded to do.

Nobody ran these on Windows: docs/reference/platforms.md says so line by line, with the sources.
"""

from __future__ import annotations

import errno
import io
import ntpath
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import Any

import pytest

from gemmahub.cli import main as command_line
from gemmahub.cli.windows_faults import is_closed_pipe, too_long_path
from gemmahub.conversations import journal
from gemmahub.engines import keeper, process
from gemmahub.engines.process import explain_exit
from gemmahub.engines.program_log import open_log
from gemmahub.errors import UsageError
from gemmahub.http.place import Place
from gemmahub.hub import path_names
from gemmahub.records import whole_file
from gemmahub.registry.reference import PathReference, parse_reference
from gemmahub.service import quantizing
from gemmahub.stores import linking
from gemmahub.text import streams


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """``sys.platform`` is that of Windows; the rest of the system is this one's."""
    monkeypatch.setattr(sys, "platform", "win32")


# --- processes ---------------------------------------------------------------------------------


def test_ctrl_c_does_not_reach_our_children(monkeypatch: pytest.MonkeyPatch, windows: None) -> None:
    """They are in a process group and on a console of their own, as subprocess is told."""
    msvcrt = types.SimpleNamespace(get_osfhandle=lambda number: 1000 + number)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt)
    monkeypatch.setattr(os, "set_handle_inheritable", lambda handle, on: None, raising=False)
    monkeypatch.setattr(subprocess, "STARTUPINFO", lambda **told: told, raising=False)
    handle, options = process._handed_down(7)
    assert handle == 1007
    assert options["creationflags"] == 0x08000200  # CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP
    assert options["startupinfo"] == {"lpAttributeList": {"handle_list": [1007]}}
    assert "start_new_session" not in options
    assert "pass_fds" not in options


@pytest.mark.parametrize(
    ("code", "how"),
    [
        (0xC0000005, "access violation"),
        (-1073741819, "access violation"),  # the same as a signed number
        (0xC000001D, "illegal instruction"),
        (0xC0000135, "library missing"),
        (0xC0000409, "fail fast"),
        (0xC000013A, "Ctrl-C"),
        (3, "exit code 3"),
    ],
)
def test_ends_of_programs_have_words(code: int, how: str) -> None:
    assert how in explain_exit(code)[0]
    if os.name == "posix":
        assert "SIGKILL" in explain_exit(-signal.SIGKILL)[0]


def started(*command: str) -> keeper._Keeper:
    order: keeper.Order = {
        "command": list(command), "environment": dict(os.environ), "folder": "", "leftover": "",
    }  # fmt: skip
    found = keeper._Keeper(order)
    found.start()
    return found


def test_a_program_is_asked_by_its_handle(windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """os.kill() of a number could mean another program by then."""
    asked: list[str] = []

    class Ended:
        pid = os.getpid()

        def terminate(self) -> None:
            asked.append("terminate")
            raise PermissionError(errno.EACCES, "Access is denied")  # it has ended already

    held = keeper._Keeper({"command": [], "environment": {}, "folder": "", "leftover": ""})
    monkeypatch.setattr(held, "_process", Ended())
    held.ask()
    assert asked == ["terminate"]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_without_waitid_a_program_is_reaped_under_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """macOS before Python 3.13."""
    monkeypatch.delattr(os, "waitid")
    held = started(sys.executable, "-c", "import time; time.sleep(600)")
    threading.Timer(0.3, held.ask).start()
    assert held.wait() == -signal.SIGTERM
    held.ask()  # it has ended: nothing is sent to anybody
    held.kill()
    held = started(sys.executable, "-c", "raise SystemExit(3)")
    assert held.wait() == 3


# --- files -------------------------------------------------------------------------------------


class Busy:
    """``os.replace`` as Windows does it while another process has the file open."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.replace = os.replace

    def __call__(self, old: Any, new: Any) -> None:
        self.times -= 1
        if self.times >= 0:
            raise PermissionError(errno.EACCES, "Access is denied", str(old), 5, str(new))
        self.replace(old, new)


def test_a_file_that_is_open_elsewhere_is_replaced_a_moment_later(
    tmp_path: Path, windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_file, "_PAUSE_SECONDS", 0)
    target = tmp_path / "settings"
    target.write_text("old")
    monkeypatch.setattr(os, "replace", Busy(3))
    whole_file.write_whole(target, "new")
    assert target.read_text() == "new"
    monkeypatch.setattr(os, "replace", Busy(1000))
    with pytest.raises(PermissionError):
        whole_file.write_whole(target, "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["settings"]
    assert target.read_text() == "new"


def test_elsewhere_a_refusal_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = Busy(1)
    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError):
        whole_file.write_whole(tmp_path / "x", "new")
    assert busy.times == 0


def test_an_old_log_that_somebody_reads_does_not_keep_new_ones_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "engine-999999999-0.log"
    old.write_text("old")
    unlink = Path.unlink

    def refuse(path: Path, *words: Any, **named: Any) -> None:
        if path == old:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(old), 32)
        unlink(path, *words, **named)

    monkeypatch.setattr(Path, "unlink", refuse)
    log = open_log(tmp_path, "engine")
    assert log is not None
    assert log.path.parent == tmp_path
    log.remove()


class Msvcrt(types.ModuleType):
    """``msvcrt.locking``: a range of bytes of a file is one descriptor's at a time, also within a
    process, and free when that is closed (``_locking`` of the C runtime; LockFile)."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        super().__init__("msvcrt")
        self.held: dict[tuple[int, int], int] = {}

    def locking(self, number: int, mode: int, count: int) -> None:
        assert (mode, count) == (self.LK_NBLCK, 1)
        key = os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR)
        try:
            os.fstat(self.held.get(key, -1))
        except OSError:
            self.held[key] = number
            return
        raise PermissionError(errno.EACCES, "Permission denied")


def test_a_conversation_is_written_by_one_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "msvcrt", Msvcrt())
    path = tmp_path / "chat"
    path.write_bytes(b"a line\n")
    first, second = (os.open(path, os.O_RDWR | os.O_APPEND) for _ in range(2))
    journal._lock_a_byte(first)
    os.write(first, b"more\n")
    with pytest.raises(BlockingIOError):
        journal._lock_a_byte(second)
    assert os.lseek(second, 0, os.SEEK_CUR) == 0
    os.close(first)
    journal._lock_a_byte(second)
    os.close(second)
    assert path.read_bytes() == b"a line\nmore\n"


def test_reflinks_are_refused_without_fcntl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(OSError, match="no reflinks") as caught:
        linking._clone(tmp_path / "a", tmp_path / "b")
    assert "hard links may work" in linking._why(caught.value)


def test_names_that_windows_keeps_for_itself_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("nul", "a/CON.gguf", "what?.gguf", "a:b", "ends in a dot.", "a /b")
    assert all(map(path_names.is_storable, names))
    monkeypatch.setattr(path_names, "os", types.SimpleNamespace(name="nt"))
    assert not any(map(path_names.is_storable, names))
    assert path_names.is_storable("folder/gemma-3-4b-it-q4_0.gguf")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (r"C:\models\a", r"C:\models\a"),
        (r"\\server\share\models\a", r"\\server\share\models\a"),
        (r"models\a.gguf", r"models\a.gguf"),
        ("file:///C:/models/a%20b.gguf", "C:/models/a b.gguf"),
        ("file:///models/a.gguf", "/models/a.gguf"),
    ],
)
def test_paths_of_windows_are_paths(text: str, path: str) -> None:
    assert parse_reference(text) == PathReference(Path(path))


def test_a_file_on_another_drive_is_named_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "relpath", lambda path: ntpath.relpath(str(path), "C:\\work"))
    assert quantizing._named(Path(r"D:\models\a.gguf")) == r"D:\models\a.gguf"
    assert quantizing._named(Path(r"C:\work\a.gguf")) == "./a.gguf"


def test_a_path_that_is_too_long_is_said_to_be(windows: None) -> None:
    long = "C:\\" + "x" * 300
    error = FileNotFoundError(errno.ENOENT, "The system cannot find the path specified", long)
    found = too_long_path(error)
    assert found is not None
    assert "303 characters" in found.message
    assert "LongPathsEnabled" in found.hint
    error.filename = "C:\\short"
    assert too_long_path(error) is None


# --- consoles, pipes, sockets ------------------------------------------------------------------


def test_what_goes_to_a_file_is_utf8(windows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    streams.write_utf8()
    sys.stdout.write("日本語 → █")
    sys.stdout.flush()
    assert raw.getvalue().decode() == "日本語 → █"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    streams.write_utf8()
    assert sys.stdout.encoding == "cp1252"


class Gone(io.RawIOBase):
    """A pipe whose reader has ended, as Windows reports it."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    def fileno(self) -> int:
        return os.open(os.devnull, os.O_WRONLY)


def test_a_reader_that_went_away_is_no_failure(
    windows: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BufferedWriter(Gone(), 16), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    assert command_line.run(["--version"]) == 0
    assert "could not be written" not in capfd.readouterr().err
    monkeypatch.setattr(Gone, "write", lambda self, data: len(data))
    stream.close()
    assert is_closed_pipe(OSError(errno.EINVAL, "Invalid argument"))
    assert not is_closed_pipe(OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert not is_closed_pipe(OSError(errno.EINVAL, "Invalid argument"))


def test_a_taken_port_is_explained_in_the_systems_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """os.strerror(10048) is "Unknown error" there."""
    words = "Only one usage of each socket address is normally permitted"

    def refuse(*address: Any, **options: Any) -> None:
        raise OSError(10048, f"{words} (while attempting to bind on address ('127.0.0.1', 1))")

    monkeypatch.setattr("socket.create_server", refuse)
    with pytest.raises(Exception, match=f"port 1: {words}$"):
        Place("127.0.0.1", 1, "gemmahub serve").listen()


def test_unix_sockets_are_refused(windows: None, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Unix sockets on Windows"):
        Place("localhost", 1, "gemmahub serve", tmp_path / "s").listen()
