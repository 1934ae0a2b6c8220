"""Records as gemma.cpp writes them: 32-bit words, in the order in which a class names its fields.

Source: google/gemma.cpp io/fields.h@32286f04 and io/fields.cc@4b26b039. A record begins with the
number of its words. Fields at its end that the writer did not know are missing, fields that this
reader does not know are skipped. Truth values and enumerations are one word; a text is its number
of words and its bytes, filled up with zeros; a list is its length and its items.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.text import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

_LONGEST_TEXT: Final = 64  # words: fields.cc, CheckStringLength
_LONGEST_LIST: Final = 64 * 1024  # fields.h, operator()(std::vector<T>&)


class Fields:
    """Reads the fields of one record, one after the other; of a missing one the default."""

    def __init__(self, words: Words) -> None:
        length = words.take()
        self._words = words
        self.end = words.at + length
        if self.end > words.limit:
            raise words.damaged("a record is longer than its container")
        self._outer, words.limit = words.limit, self.end

    def finish(self) -> None:
        """Skip what is left of it."""
        self._words.at, self._words.limit = self.end, self._outer

    @property
    def is_over(self) -> bool:
        """Whether the writer knew no more fields."""
        return self._words.at >= self.end

    def number(self, default: int = 0) -> int:
        """An unsigned number, a truth value or an enumeration."""
        return default if self.is_over else self._words.take()

    def signed(self, default: int = 0) -> int:
        """A signed number."""
        if self.is_over:
            return default
        value = self._words.take()
        return value - (1 << 32) if value >> 31 else value

    def real(self, default: float = 0.0) -> float:
        """A number in single precision."""
        if self.is_over:
            return default
        return float(struct.unpack("<f", struct.pack("<I", self._words.take()))[0])

    def text(self) -> str:
        """A short text."""
        if self.is_over:
            return ""
        count = self._words.take()
        if count > _LONGEST_TEXT:
            raise self._words.damaged(f"a text has {format_bytes(4 * count)}")
        return self._words.take_bytes(count).rstrip(b"\0").decode("utf-8", "replace")

    def items(self, read: Callable[[], T]) -> list[T]:
        """A list of what ``read`` reads."""
        if self.is_over:
            return []
        count = self._words.take()
        # Each item has a word at least: a count that lies costs no time and no memory.
        if count > min(_LONGEST_LIST, self.end - self._words.at):
            raise self._words.damaged(f"a list has {count:,} items")
        return [read() for _ in range(count)]


class Words:
    """The words of a blob, and how far they were read. ``what`` names it in errors."""

    def __init__(self, content: bytes, what: str) -> None:
        self.at = 0
        self.limit = len(content) // 4
        self._content = content
        self._what = what

    def take(self) -> int:
        """The next word. Raises: IntegrityError."""
        return int.from_bytes(self.take_bytes(1), "little")

    def take_bytes(self, count: int) -> bytes:
        """The bytes of the next ``count`` words. Raises: IntegrityError."""
        if self.at + count > self.limit:
            raise self.damaged("it ends early")
        begin, self.at = 4 * self.at, self.at + count
        return self._content[begin : 4 * self.at]

    def damaged(self, why: str) -> IntegrityError:
        """What to raise for what makes no sense."""
        return IntegrityError(
            f"{self._what} is damaged: {why}",
            "Fetch the file again; if that does not help, report it to its publisher.",
        )
