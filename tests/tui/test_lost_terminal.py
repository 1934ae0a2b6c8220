"""A terminal that goes away takes the program with it, also where no signal says so; Ctrl+Z gives
it back to the shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")


def test_the_program_ends_when_its_terminal_is_gone() -> None:
    master, slave = pty.openpty()
    # A session of its own without a controlling terminal: closing it sends no SIGHUP.
    process = subprocess.Popen(
        [sys.executable, "-m", "gemmahub"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(slave)
    seen = b""
    while b"gemmahub" not in seen:
        seen += os.read(master, 65536)

    drained = threading.Event()

    def drain() -> None:  # until the screen is up, so that the driver is running
        nonlocal seen
        while len(seen) < 8192:
            seen += os.read(master, 65536)
        drained.set()

    threading.Thread(target=drain, daemon=True).start()
    assert drained.wait(60)
    os.close(master)
    try:
        assert process.wait(60) is not None
    finally:
        process.kill()


def test_ctrl_z_gives_the_terminal_back_until_fg() -> None:
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "gemmahub"])
    seen = b""

    def read_until(text: bytes) -> None:
        nonlocal seen
        while text not in seen:
            seen += os.read(terminal, 65536)
        seen = seen.partition(text)[2]

    timer = threading.Timer(120, os.kill, (child, signal.SIGKILL))
    timer.start()
    try:
        read_until(b"\x1b[?1049h")  # the whole screen
        read_until(b"gemmahub")
        os.write(terminal, b"\x1a")
        read_until(b"\x1b[?1049l")
        _, status = os.waitpid(child, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        os.kill(child, signal.SIGCONT)
        read_until(b"\x1b[?1049h")
        read_until(b"gemmahub")
        os.write(terminal, b"q")
        read_until(b"\x1b[?1049l")
    finally:
        timer.cancel()
        os.kill(child, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(child, 0)
