"""The program on a terminal of its own (a pty)."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Final, Self

import pytest

PATIENCE: Final = 20  # seconds until what is waited for counts as missing


class OnTerminal:
    """``gemmahub`` with these arguments, or another program with its own; what it writes is read up
    to a text that is waited for."""

    def __init__(self, *arguments: str, program: str = "") -> None:
        pty = pytest.importorskip("pty")
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            if program:
                os.execvp(program, [program, *arguments])
            os.execv(sys.executable, [sys.executable, "-m", "gemmahub", *arguments])
        self._seen = ""

    def read_until(self, text: str) -> None:
        """Wait for a text, and forget all before it."""
        timer = threading.Timer(PATIENCE, lambda: os.kill(self._pid, signal.SIGKILL))
        timer.start()
        try:
            while text not in self._seen:
                self._seen += os.read(self._terminal, 4096).decode(errors="replace")
        except OSError:
            raise AssertionError(f"no {text!r} in {self._seen!r}") from None
        finally:
            timer.cancel()
        self._seen = self._seen.split(text, 1)[1]

    def write(self, keys: bytes) -> None:
        """As if typed."""
        os.write(self._terminal, keys)

    def exit_code(self) -> int:
        """Once it has ended."""
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return os.waitstatus_to_exitcode(status)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._terminal)
