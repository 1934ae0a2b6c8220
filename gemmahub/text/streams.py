"""Standard output and standard error while a command runs: nobody prints past the sink.

:mod:`gemmahub.cli.output` prints what the commands say, and strips it. What anybody else prints
(click's help, warnings and logs of libraries, tracebacks of threads, commands of plugins) is
stripped here; what plugins print in their hooks, stores and engines is no data of a command, and
goes to the log: ``GEMMAHUB_DEBUG=1`` shows it. This module imports nothing: each start of the
program needs it.
"""

from __future__ import annotations

import os
import sys
from _thread import _local, get_ident
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class _Quiet(_local):
    depth = 0


_quiet = _Quiet()
_main_thread = get_ident()


class QuietStream:
    """A text stream whose writes go to the log while this thread is kept quiet; in all else it is
    the stream inside."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """As of the stream."""
        if self._is_noise():
            log(text)
            return len(text)
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As of the stream."""
        for line in lines:
            self.write(line)

    def _is_noise(self) -> bool:
        return _quiet.depth > 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class GuardedStream(QuietStream):
    """A stream that strips what is written to it. With ``data``, only the thread of the command
    writes to it: what others print is no data."""

    def __init__(self, stream: TextIO, *, data: bool = False) -> None:
        super().__init__(stream)
        self.coloured = False
        self._data = data

    def write(self, text: str) -> int:
        """As of the stream. Returns the length of ``text``, whatever was stripped."""
        if not text.replace("\n", "").isprintable():
            super().write(self._stripped(text))
            return len(text)
        return super().write(text)

    def _is_noise(self) -> bool:
        return _quiet.depth > 0 or (self._data and get_ident() != _main_thread)

    def _stripped(self, text: str) -> str:
        from gemmahub.text import strip_controls

        if not (self.coloured and self.stream.isatty()):
            return strip_controls(text)
        import re

        parts = re.split(r"(\r|\x1b\[[0-9;]*[mK])", text)
        parts[::2] = map(strip_controls, parts[::2])
        return "".join(parts)


class _NotData(QuietStream):
    """What nobody may write data to; it still says how wide the terminal is."""

    def _is_noise(self) -> bool:
        return True


@contextmanager
def kept_quiet() -> Iterator[None]:
    """What this thread prints inside goes to the log."""
    if not isinstance(sys.stdout, QuietStream):  # a script's own; in tests, another one each time
        sys.stdout = cast(TextIO, QuietStream(sys.stdout))
    if not isinstance(sys.stderr, QuietStream):
        sys.stderr = cast(TextIO, QuietStream(sys.stderr))
    _quiet.depth += 1
    try:
        yield
    finally:
        _quiet.depth -= 1


def log(text: str) -> None:
    """A piece of what plugins print: shown on standard error when that is asked for."""
    if os.environ.get("GEMMAHUB_DEBUG", "") not in ("", "0"):
        from gemmahub.text import strip_controls

        with suppress(OSError, ValueError):
            unguarded(sys.stderr).write(strip_controls(text))


def open_closed_streams() -> None:
    """Standard streams that were closed (``<&-``) are empty, or lead nowhere. Without it, a file
    that is opened gets their descriptor, and what is printed is written into it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        pass
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def write_utf8() -> None:
    """Windows: what goes to a pipe or a file is UTF-8, unless PYTHONIOENCODING says otherwise. In a
    code page most characters of the world would be written as ``?``, without a word. A console has
    no code page for Python (PEP 528)."""
    if sys.platform != "win32" or os.environ.get("PYTHONIOENCODING"):
        return
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):
            if not stream.isatty():
                stream.reconfigure(encoding="utf-8")


def keep_stdout() -> None:
    """From now on descriptor 1 is not standard output: what libraries and programs write to it,
    past Python's streams, is no data of a command. ``sys.stdout`` is as before."""
    global _kept
    try:
        own = os.dup(sys.stdout.fileno())
        stream = open(  # noqa: PTH123, SIM115 - a descriptor, open for as long as the program runs
            own, "w", buffering=1 if sys.stdout.isatty() else -1,
            encoding=sys.stdout.encoding, errors=sys.stdout.errors,
        )  # fmt: skip
        sys.stdout.flush()
        shown = os.environ.get("GEMMAHUB_DEBUG", "") not in ("", "0")
        elsewhere = os.dup(2) if shown else os.open(os.devnull, os.O_WRONLY)
        os.dup2(elsewhere, 1)
        os.close(elsewhere)
    except (OSError, ValueError, AttributeError):  # there is no standard output
        return
    _kept = own
    sys.stdout = stream
    sys.__stdout__ = cast(Any, _NotData(stream))  # type: ignore[misc]


def give_stdout_back() -> None:
    """Descriptor 1 is standard output again, for programs that are started to write to it."""
    if _kept is not None:
        os.dup2(_kept, 1)
        sys.__stdout__ = cast(Any, unguarded(cast(Any, sys.__stdout__)))  # type: ignore[misc]


_kept: int | None = None


@contextmanager
def guarded() -> Iterator[None]:
    """Guard both streams until the block ends."""
    global _main_thread
    _main_thread = get_ident()
    before = sys.stdout, sys.stderr
    guards = GuardedStream(before[0], data=True), GuardedStream(before[1])
    ours = tuple(cast(TextIO, guard) for guard in guards)
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        if (sys.stdout, sys.stderr) == ours:
            sys.stdout, sys.stderr = before


def unguarded(stream: IO[str]) -> TextIO:
    """The stream itself, for who strips what is written to it."""
    while isinstance(stream, QuietStream):
        stream = stream.stream
    return cast(TextIO, stream)


def allow_colours() -> None:
    """From now on others may colour and rewrite a line of a terminal, also from programs that they
    start: a plugin's command runs, which is code that the user chose."""
    give_stdout_back()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, GuardedStream):
            stream.coloured = True
