"""A program in a terminal of its own (a pty), as a person has it: keys go in, its drawing comes
out."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from time import perf_counter

SILENCE = 0.1
"""Seconds without output after which a screen counts as drawn."""


class Terminal:
    """The program; its output is read as it comes."""

    def __init__(
        self, command: list[str], environment: dict[str, str], size: tuple[int, int]
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **environment},
            start_new_session=True,
        )
        os.close(slave)

    def read(self, seconds: float) -> bytes:
        """What comes within that time, as soon as something does; empty: nothing did."""
        if not select.select([self._master], [], [], seconds)[0]:
            if self.process.poll() is not None:
                raise SystemExit("the program ended by itself")
            return b""
        try:
            return os.read(self._master, 1 << 16)
        except OSError:  # the program has ended
            return b""

    def read_until(self, text: bytes, seconds: float = 60) -> bytes:
        """All that comes until ``text`` is in it."""
        until, seen = perf_counter() + seconds, b""
        while text not in seen:
            if perf_counter() > until:
                raise SystemExit(f"{text!r} does not come")
            seen += self.read(0.5)
        return seen

    def drawn(self, started: float, seconds: float = 5) -> tuple[float, float]:
        """Seconds from ``started`` to the first output and to the last before it falls silent;
        zeros where none comes."""
        first = last = started
        while perf_counter() < started + seconds:
            if not self.read(SILENCE if last > started else 0.5):
                break
            last = perf_counter()
            first = last if first == started else first
        return first - started, last - started

    def write(self, data: bytes) -> None:
        """As if typed."""
        os.write(self._master, data)

    def close(self) -> None:
        """End the program, whatever it does."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)
