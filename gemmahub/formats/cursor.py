"""Reading forward through a source in windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from gemmahub.formats.source import ByteSource

FIRST_WINDOW: Final = 256 * 1024
LARGEST_WINDOW: Final = 2 * 1024 * 1024
SMALLEST_WINDOW: Final = 16 * 1024
LARGEST_EXPECTED: Final = 8 * 1024 * 1024  # where a reader says that so much is to come


class Cursor:
    """A position in a source that only moves forward.

    Bytes are fetched in windows that grow from 256 KiB to 2 MiB: a small header costs one request
    over a network and a large one a handful, each byte is fetched once at most, and never more
    than one window behind the last byte that was needed. ``limit`` is the offset that must not be
    passed: the end of the source, or the most that a header may take.

    A reader that can tell how much is still to come says so with :meth:`expect`; then the windows
    have that size, and little is fetched that is not needed. A source for which requests are cheap
    or bytes are dear has a ``first_window`` of its own.
    """

    def __init__(self, source: ByteSource, offset: int = 0, limit: int | None = None) -> None:
        self.name = one_line(source.name)
        self.limit = source.size if limit is None else min(limit, source.size)
        self.data = b""  # what is buffered, and
        self.index = 0  # the position in it; a tight loop may move it, up to the end of the data
        self._start = offset  # offset of data[0] in the source
        self._source = source
        self._window: int = getattr(source, "first_window", FIRST_WINDOW)
        self._expected: int | None = None  # offset at which the header probably ends

    @property
    def offset(self) -> int:
        """Position in the source."""
        return self._start + self.index

    @property
    def left(self) -> int:
        """Bytes from here to the limit."""
        return self.limit - self._start - self.index

    def expect(self, length: int) -> None:
        """Says that about ``length`` bytes are still needed, from here on; an estimate will do."""
        self._expected = self.offset + length

    def need(self, length: int, what: str) -> None:
        """Buffers ``length`` bytes from here on; ``what`` names them in the error.

        Raises :class:`IntegrityError` where fewer are left, before anything is fetched.
        """
        if len(self.data) - self.index >= length:
            return
        if length > self.left:
            raise self.ends_in(what, length)
        tail = self.data[self.index :]
        self._start += self.index
        self.index = 0
        begin = self._start + len(tail)
        missing = max(length - len(tail), self._next_window(begin))
        missing = min(missing, self.limit - begin)
        self.data = b""  # the old window goes before the new one comes
        fetched = self._source.read(begin, missing)
        self.data = tail + fetched if tail else fetched
        self._window = min(self._window * 2, LARGEST_WINDOW)

    def _next_window(self, begin: int) -> int:
        if self._expected is None:
            return self._window
        left = self._expected - begin
        return min(left, LARGEST_EXPECTED) if left > 0 else SMALLEST_WINDOW

    def take(self, length: int, what: str) -> bytes:
        """The next ``length`` bytes, and moves behind them."""
        self.need(length, what)
        piece = self.data[self.index : self.index + length]
        self.index += length
        return piece

    def skip(self, length: int, what: str) -> None:
        """Moves forward; bytes that are not buffered are not fetched."""
        if length > self.left:
            raise self.ends_in(what, length)
        self.index += length
        if self.index >= len(self.data):
            self._start += self.index
            self.index = 0
            self.data = b""

    def ends_in(self, what: str, length: int) -> IntegrityError:
        """The error for ``length`` bytes of ``what`` that the source has no room for."""
        if self.limit < self._source.size:
            return IntegrityError(
                f"{self.name} has a damaged header: {what} has {format_bytes(length)}, but the "
                f"header may have at most {format_bytes(self.limit)}",
                "Fetch the file again; if that does not help, report it to its publisher.",
            )
        return IntegrityError(
            f"{self.name} ends in the middle of its header: {what} at byte {self.offset:,} "
            f"needs {format_bytes(length)}, but only {format_bytes(self.left)} is left",
            INCOMPLETE_HINT,
        )
