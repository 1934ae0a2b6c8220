"""Reads FlatBuffers where they lie: tables and vectors by their offsets, each within its bounds.

A TFLite model is one FlatBuffer with its weights inside, often more than a GB, so it is not read as
a whole, as the library ``flatbuffers`` needs it: small pages are fetched where something is looked
up. Source: https://flatbuffers.dev/internals/. All numbers are little-endian; an offset counts from
its own place, a table's fields from the table, by way of its vtable.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.formats.source import ByteSource

PAGE: Final = 4096
_PAGES: Final = 2048
_MOST_FIELDS: Final = 128
_LONGEST_TEXT: Final = 4096


class FlatView:
    """The bytes ``begin`` to ``end`` of a source, as if they were a file of their own."""

    def __init__(self, source: ByteSource, begin: int, end: int, what: str) -> None:
        """Raises: IntegrityError where the source has no such bytes."""
        self._source, self._begin, self.size = source, begin, end - begin
        self._what = f"{what} of {one_line(source.name)}"
        self._pages: dict[int, bytes] = {}
        self.layouts: dict[int, tuple[int, ...]] = {}
        if not 0 <= begin <= end <= source.size:
            raise IntegrityError(
                f"{self._what} should be at the bytes {begin:,} to {end:,}, but the file has "
                f"{format_bytes(source.size)}",
                INCOMPLETE_HINT,
            )

    def read(self, at: int, length: int) -> bytes:
        """Bytes; those of pages that were fetched before are not fetched again.

        Raises: IntegrityError for a place outside.
        """
        if at < 0 or at + length > self.size:
            raise self.damaged("it points outside")
        first, last = at // PAGE, (at + length - 1) // PAGE
        if last - first > 1:  # a long vector: once, and not kept
            return self._source.read(self._begin + at, length)
        content = b"".join(self._page(number) for number in range(first, last + 1))
        return content[at - first * PAGE : at - first * PAGE + length]

    def number(self, at: int, form: struct.Struct) -> int:
        """One number."""
        number, place = divmod(at, PAGE)
        if place + form.size <= PAGE and 0 <= at <= self.size - form.size:
            page = self._pages.get(number) or self._page(number)  # the usual case, done fast
            found: int = form.unpack_from(page, place)[0]
            return found
        return int(form.unpack(self.read(at, form.size))[0])

    def damaged(self, why: str) -> IntegrityError:
        """What to raise for what makes no sense."""
        return IntegrityError(
            f"{self._what} is damaged: {why}",
            "Fetch the file again; if that does not help, report it to its publisher.",
        )

    def _page(self, number: int) -> bytes:
        if (page := self._pages.get(number)) is None:
            at = number * PAGE
            page = self._source.read(self._begin + at, min(PAGE, self.size - at))
            self._pages[number] = page
            if len(self._pages) > _PAGES:
                del self._pages[next(iter(self._pages))]
        return page


U8, I8 = struct.Struct("<B"), struct.Struct("<b")
U16, U32, I32, U64 = (struct.Struct(form) for form in ("<H", "<I", "<i", "<Q"))


class FlatTable:
    """A table; its fields by their number in the schema. What is missing has the default."""

    __slots__ = ("_fields", "_view", "at")

    def __init__(self, view: FlatView, at: int) -> None:
        """Raises: IntegrityError."""
        self._view, self.at = view, at
        vtable = at - view.number(at, I32)
        layout = view.layouts.get(vtable)
        if layout is None:
            layout = view.layouts[vtable] = _layout(view, vtable)
        self._fields = layout

    def place(self, number: int) -> int | None:
        """Where a field is; None where it is missing."""
        if number >= len(self._fields) or not (offset := self._fields[number]):
            return None
        return self.at + offset

    def number(self, field: int, form: struct.Struct, default: int = 0) -> int:
        """A number."""
        at = self.place(field)
        return default if at is None else self._view.number(at, form)

    def text(self, field: int) -> str:
        """A text, cut at 4,096 bytes."""
        at = self.place(field)
        return "" if at is None else text_at(self._view, follow(self._view, at))

    def table(self, field: int) -> FlatTable | None:
        """A table within this one."""
        at = self.place(field)
        return None if at is None else FlatTable(self._view, follow(self._view, at))

    def length(self, field: int) -> int:
        """How many items a vector has."""
        at = self.place(field)
        return 0 if at is None else self._view.number(follow(self._view, at), U32)

    def numbers(self, field: int, form: str, most: int) -> tuple[int, ...]:
        """A vector of numbers. Raises: IntegrityError for more than ``most``."""
        at = self.place(field)
        if at is None:
            return ()
        return _vector(self._view, follow(self._view, at), form, most)

    def vector_place(self, field: int) -> tuple[int, int]:
        """Where the items of a vector of bytes begin, and how many there are; (0, 0) without one.

        Raises: IntegrityError where they end outside.
        """
        at = self.place(field)
        if at is None:
            return 0, 0
        begin = follow(self._view, at)
        count = self._view.number(begin, U32)
        if begin + 4 + count > self._view.size:
            raise self._view.damaged(f"a buffer of {format_bytes(count)} ends outside")
        return begin + 4, count

    def places(self, field: int, most: int) -> list[int]:
        """Where the tables of a vector of tables are. Raises: IntegrityError."""
        at = self.place(field)
        if at is None:
            return []
        begin = follow(self._view, at)
        offsets = _vector(self._view, begin, "I", most)
        return [begin + 4 + 4 * index + offset for index, offset in enumerate(offsets)]

    def tables(self, field: int, most: int) -> Iterator[FlatTable]:
        """The tables of a vector of tables. Raises: IntegrityError."""
        return (FlatTable(self._view, at) for at in self.places(field, most))


def root_of(view: FlatView, identifier: bytes = b"") -> FlatTable:
    """The root table. Raises: IntegrityError for another ``identifier``."""
    if identifier and view.read(4, 4) != identifier:
        raise view.damaged(f"it does not begin as {identifier.decode()}")
    return FlatTable(view, follow(view, 0))


def follow(view: FlatView, at: int) -> int:
    """The place that an offset leads to: always a later one, so nothing leads round in a circle."""
    offset = view.number(at, U32)
    if not offset:
        raise view.damaged("an offset leads nowhere")
    return at + offset


def text_at(view: FlatView, at: int) -> str:
    """The text there."""
    length = view.number(at, U32)
    if at + 4 + length > view.size:
        raise view.damaged(f"a text of {format_bytes(length)} ends outside")
    return view.read(at + 4, min(length, _LONGEST_TEXT)).decode("utf-8", "replace")


def _layout(view: FlatView, vtable: int) -> tuple[int, ...]:
    size = view.number(vtable, U16)
    count = (size - 4) // 2
    if size < 4 or size % 2 or count > _MOST_FIELDS:
        raise view.damaged("a table is invalid")
    return struct.unpack(f"<{count}H", view.read(vtable + 4, 2 * count)) if count else ()


def _vector(view: FlatView, at: int, form: str, most: int) -> tuple[int, ...]:
    count = view.number(at, U32)
    if count > most:
        raise view.damaged(f"a list has {count:,} items, more than any model")
    size = count * struct.calcsize(f"<{form}")
    return struct.unpack(f"<{count}{form}", view.read(at + 4, size)) if count else ()
