"""Metadata values of GGUF: numbers, strings and arrays.

Source: ggml-org/ggml ``docs/gguf.md``, section "File Structure". Lengths and counts are 64-bit;
nothing here trusts one before it is compared with the bytes that are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from struct import error as struct_error
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gemmahub.errors import IntegrityError
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from gemmahub.formats.cursor import Cursor

Scalar: TypeAlias = str | int | float | bool

DAMAGED_HINT: Final = "The file is damaged or was written wrongly: fetch it again from its source."

VOCABULARY_KIND: Final = "tokenizer.ggml.model"
PRE_TOKENIZER: Final = "tokenizer.ggml.pre"
VOCABULARY_LISTS: Final = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")

# Number of a value type -> its name and, for numbers, its struct code.
_NUMBERS: Final[dict[int, tuple[str, str]]] = {
    0: ("u8", "B"),
    1: ("i8", "b"),
    2: ("u16", "H"),
    3: ("i16", "h"),
    4: ("u32", "I"),
    5: ("i32", "i"),
    6: ("f32", "f"),
    7: ("bool", "B"),
    10: ("u64", "Q"),
    11: ("i64", "q"),
    12: ("f64", "d"),
}
_BOOL: Final = 7
_STRING: Final = 8
_ARRAY: Final = 9
VALUE_TYPES: Final[dict[int, str]] = {
    **{number: name for number, (name, _) in _NUMBERS.items()},
    _STRING: "string",
    _ARRAY: "array",
}
_NUMBER_OF: Final = {name: number for number, name in VALUE_TYPES.items()}

# What is read at once, and what stays in the file. The longest arrays that anybody asks for have an
# item for each layer, of which llama.cpp takes 512.
_EAGER_ITEMS: Final = 1024
_EAGER_TEXT: Final = 64 * 1024
# Of one header: what is more stays in the file, so that it costs no memory.
_MOST_ITEMS: Final = 1 << 16
_MOST_TEXT: Final = 4 * 1024 * 1024
# Of one header: what is more is refused. A vocabulary and its merges are 780,000 strings.
_MOST_STRINGS: Final = 1 << 22
_MOST_KEY_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 4
_MAX_NESTED: Final = 1 << 17  # arrays within arrays
_STRING_HEAD: Final = 8  # bytes of a string's length
_ARRAY_HEAD: Final = 12  # bytes of an array's item type and count
_MAX_KEY: Final = 65535  # by the specification
_MAX_NAME: Final = 127  # of a tensor; llama.cpp takes 63 bytes (GGML_MAX_NAME)
_NAMED: Final = 80  # characters of a key in a message


@dataclass(frozen=True, slots=True)
class ArrayRef:
    """An array left in the file: ``length`` items of ``item_type`` ("string", "u32", "array", ...).

    ``offset`` is that of the first item, in bytes from the beginning of the file.
    """

    item_type: str
    length: int
    offset: int


@dataclass(frozen=True, slots=True)
class TextRef:
    """A long string left in the file: ``length`` bytes from ``offset`` on."""

    length: int
    offset: int


Value: TypeAlias = Scalar | tuple[Scalar, ...] | ArrayRef | TextRef


class ValueReader:
    """Reads values at a cursor, in the byte order of the file.

    Every method raises :class:`IntegrityError` where the bytes end or make no sense.
    """

    def __init__(self, cursor: Cursor, *, big_endian: bool) -> None:
        order = ">" if big_endian else "<"
        self.cursor = cursor
        self._order = order
        self._structs = {number: Struct(order + code) for number, (_, code) in _NUMBERS.items()}
        self._u32 = Struct(order + "I")
        self._u64 = Struct(order + "Q")
        self._nested = 0
        self._items = self._text = self._strings = self._key_bytes = 0  # so far
        self.rest = 0  # about how many bytes the header has behind the metadata

    def u32(self, what: str) -> int:
        """An unsigned 32-bit number."""
        value: int = self._number(self._u32, what)
        return value

    def u64(self, what: str) -> int:
        """An unsigned 64-bit number."""
        value: int = self._number(self._u64, what)
        return value

    def text(self, what: str) -> str:
        """A short string: a tensor's name; bytes that are not UTF-8 are replaced."""
        return self._short(what, _MAX_NAME).decode(errors="replace")

    def key(self) -> str:
        """The key of a metadata entry; must be UTF-8 and not empty."""
        raw = self._short("a metadata key", _MAX_KEY)
        self._key_bytes += len(raw)
        if self._key_bytes > _MOST_KEY_BYTES:
            raise self.damaged(f"its metadata keys take more than {format_bytes(_MOST_KEY_BYTES)}")
        try:
            key = raw.decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a metadata key is not UTF-8") from error
        if not key:
            raise self.damaged("a metadata key is empty")
        return key

    def value(self, key: str) -> Value:
        """The value of ``key``, with its type before it."""
        what = f"the value of {shown_key(key)}"
        number = self._type(what)
        if number == _STRING:
            return self._string(what)
        if number == _ARRAY:
            return self._array(what)
        value = self._number(self._structs[number], what)
        return self._bool(value, what) if number == _BOOL else value

    def _string(self, what: str) -> str | TextRef:
        length = self.u64(what)
        if length > _EAGER_TEXT or self._text + length > _MOST_TEXT:
            ref = TextRef(length, self.cursor.offset)
            self.cursor.skip(length, what)
            return ref
        self._text += length
        return self.cursor.take(length, what).decode(errors="replace")

    def items(self, ref: ArrayRef, what: str, depth: int = 1) -> tuple[Any, ...]:
        """The items of ``ref``, whose first one the cursor stands at."""
        number = _NUMBER_OF[ref.item_type]
        if number in _NUMBERS:
            return self._numbers(number, ref.length, what)
        self._check_room(number, ref.length, what)
        if number == _STRING:
            take, length_of = self.cursor.take, self._u64
            return tuple(
                take(self._number(length_of, what), what).decode(errors="replace")
                for _ in range(ref.length)
            )
        self._check_nesting(depth, ref.length, what)
        return tuple(self.items(self._array_head(what), what, depth + 1) for _ in range(ref.length))

    def damaged(self, problem: str) -> IntegrityError:
        """The error for a file whose header makes no sense."""
        return IntegrityError(f"{self.cursor.name} is damaged: {problem}", DAMAGED_HINT)

    def _number(self, kind: Struct, what: str) -> Any:
        cursor = self.cursor
        cursor.need(kind.size, what)
        value = kind.unpack_from(cursor.data, cursor.index)[0]
        cursor.index += kind.size
        return value

    def _short(self, what: str, longest: int) -> bytes:
        length = self.u64(what)
        if length > self.cursor.left:
            raise self.cursor.ends_in(what, length)
        if length > longest:
            raise self.damaged(f"{what} has {format_bytes(length)}")
        return self.cursor.take(length, what)

    def _type(self, what: str) -> int:
        number = self.u32(what)
        if number not in VALUE_TYPES:
            raise self.damaged(f"{what} has the unknown value type {number}")
        return number

    def _array_head(self, what: str) -> ArrayRef:
        number = self._type(what)
        return ArrayRef(VALUE_TYPES[number], self.u64(what), self.cursor.offset)

    def _array(self, what: str) -> Value:
        ref = self._array_head(what)
        number = _NUMBER_OF[ref.item_type]
        few = ref.length <= _EAGER_ITEMS and self._items + ref.length <= _MOST_ITEMS
        if number in _NUMBERS and few:
            self._items += ref.length
            return self._numbers(number, ref.length, what)
        self._skip_items(number, ref.length, what, depth=1)
        return ref

    def _numbers(self, number: int, count: int, what: str) -> tuple[Any, ...]:
        length = count * self._structs[number].size
        self.cursor.expect(length + self.rest)
        raw = self.cursor.take(length, what)
        values = Struct(f"{self._order}{count}{_NUMBERS[number][1]}").unpack(raw)
        if number == _BOOL:
            return tuple(self._bool(value, what) for value in values)
        return values

    def _bool(self, value: int, what: str) -> bool:
        if value > 1:
            raise self.damaged(f"{what} is a bool of value {value}")
        return value == 1

    def _skip_items(self, number: int, count: int, what: str, depth: int) -> None:
        if number in _NUMBERS:
            length = count * self._structs[number].size
            self.cursor.expect(length + self.rest)
            self.cursor.skip(length, what)
            return
        self._check_room(number, count, what)
        if number == _STRING:
            self._strings += count
            if self._strings > _MOST_STRINGS:
                raise self.damaged(f"its metadata has more than {_MOST_STRINGS:,} strings")
            self._skip_strings(count, what)
            return
        self._check_nesting(depth, count, what)
        for _ in range(count):
            item = self._array_head(what)
            self._skip_items(_NUMBER_OF[item.item_type], item.length, what, depth + 1)

    def _skip_strings(self, count: int, what: str) -> None:
        """Walks the lengths of ``count`` strings.

        A vocabulary has 262,144 of them, so the loop over a window calls one function a string.
        """
        cursor, length_at = self.cursor, self._u64.unpack_from
        while count:
            cursor.need(_STRING_HEAD, what)
            data, index = cursor.data, cursor.index
            done = 0
            try:
                for done in range(count):  # noqa: B007 (used when the window ends)
                    index += _STRING_HEAD + length_at(data, index)[0]
                done = count
            except (struct_error, OverflowError):
                pass  # the next length is not, or not wholly, in this window
            count -= done
            self._expect_strings(count, done, index - cursor.index)
            cursor.skip(index - cursor.index, what)

    def _expect_strings(self, count: int, done: int, length: int) -> None:
        """``done`` strings took ``length`` bytes, and ``count`` more are still to come."""
        if done:
            rest = length // done * count if count else 0
            self.cursor.expect(length + rest + self.rest)

    def _check_room(self, number: int, count: int, what: str) -> None:
        """Refuses a count of strings or arrays that the bytes left cannot hold."""
        least = count * (_STRING_HEAD if number == _STRING else _ARRAY_HEAD)
        if least > self.cursor.left:
            raise self.cursor.ends_in(what, least)

    def _check_nesting(self, depth: int, count: int, what: str) -> None:
        self._nested += count
        if depth >= _MAX_DEPTH:
            raise self.damaged(f"{what} nests arrays more than {_MAX_DEPTH} deep")
        if self._nested > _MAX_NESTED:
            raise self.damaged(f"{what} nests more than {_MAX_NESTED:,} arrays")


def shown_key(key: str) -> str:
    """A key for a message: cut before it is cleaned, so that a long one costs nothing."""
    return one_line(key[:_NAMED], _NAMED)
