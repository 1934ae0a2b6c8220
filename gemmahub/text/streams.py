"""Standard output and standard error while a command runs: nobody prints past the sink.

:mod:`gemmahub.cli.output` prints what the commands say, and strips it. What anybody else prints
(click's help, warnings and logs of libraries, tracebacks of threads, commands of plugins) is
stripped here. This module imports nothing: each start of the program needs it.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class GuardedStream:
    """A text stream that strips what is written to it; in all else it is the stream it guards."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.coloured = False

    def write(self, text: str) -> int:
        """As of the stream. Returns the length of ``text``, whatever was stripped."""
        if not text.replace("\n", "").isprintable():
            text, length = self._stripped(text), len(text)
            self.stream.write(text)
            return length
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As of the stream."""
        for line in lines:
            self.write(line)

    def _stripped(self, text: str) -> str:
        from gemmahub.text import strip_controls

        if not (self.coloured and self.stream.isatty()):
            return strip_controls(text)
        import re

        parts = re.split(r"(\r|\x1b\[[0-9;]*[mK])", text)
        parts[::2] = map(strip_controls, parts[::2])
        return "".join(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Guard both streams until the block ends."""
    before = sys.stdout, sys.stderr
    ours = tuple(cast(TextIO, GuardedStream(stream)) for stream in before)
    sys.stdout, sys.stderr = ours
    try:
        yield
    finally:
        if (sys.stdout, sys.stderr) == ours:
            sys.stdout, sys.stderr = before


def unguarded(stream: IO[str]) -> TextIO:
    """The stream itself, for who strips what is written to it."""
    return cast(TextIO, getattr(stream, "stream", stream) if is_guarded(stream) else stream)


def is_guarded(stream: object) -> bool:
    """Whether a stream strips what is written to it."""
    return isinstance(stream, GuardedStream)


def allow_colours() -> None:
    """From now on others may colour and rewrite a line of a terminal: a plugin's command runs,
    which is code that the user chose."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, GuardedStream):
            stream.coloured = True
