"""Data from files turned into records of declared types, with a reason for what does not fit.

msgspec checks types and ranges; it is loaded by the first call, not with this module. Each kind of
file has one place that declares its records and calls this.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from dataclasses import fields
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    NamedTuple,
    TypeVar,
    cast,
    get_args,
    get_origin,
)

from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")

LATEST_TIME: Final = 32_503_680_000
"""Seconds since 1970 at the beginning of the year 3000: what every platform can show as a date."""
DEEPEST: Final = 32
"""Levels of lists and tables that values without a declared type may have."""


class Unfit(ValueError):
    """Data that is not of the declared type. The message says where and why, in plain words."""


def from_json(raw: bytes | str, kind: type[T]) -> T:
    """The JSON in ``raw`` as a ``kind``. Raises: Unfit."""
    import msgspec

    return _checked(lambda: msgspec.json.decode(raw, type=kind), kind)


def as_kind(value: object, kind: type[T]) -> T:
    """A value of lists, tables, texts and numbers as a ``kind``. Raises: Unfit."""
    import msgspec

    return _checked(lambda: msgspec.convert(value, kind), kind)


def checked(record: object, kind: type[T]) -> T:
    """A record made by others, each of its fields of the type that it is declared with.

    ``kind`` is a dataclass whose types can be read at run time; a list does for a tuple.
    Raises: Unfit.
    """
    import msgspec

    if not isinstance(record, kind):
        raise Unfit(f"it is a {type(record).__name__}, not a {kind.__name__}")
    values = {entry.name: getattr(record, entry.name) for entry in fields(kind)}  # type: ignore[arg-type]
    return _checked(lambda: msgspec.convert(values, kind, dec_hook=_path), kind)


def _path(kind: type, value: object) -> Path:
    if isinstance(value, kind):
        return cast("Path", value)
    raise ValueError(f"expected a path, got {type(value).__name__}")


class Fitted(NamedTuple):
    """A record, and the reasons of the fields that did not fit and have their default."""

    record: Any
    unfit: tuple[str, ...]


def as_far_as_it_fits(values: Mapping[str, Any], kind: Any) -> Fitted:
    """The fields of ``values`` that fit a ``msgspec.Struct``; the others take their default.

    Fields that are structs themselves are taken in the same way. Raises: Unfit for a required
    field that is missing or does not fit.
    """
    import msgspec

    kept: dict[str, Any] = {}
    unfit: list[str] = []
    for entry in msgspec.structs.fields(kind):
        if entry.encode_name not in values:
            if entry.required:
                raise Unfit(f"{entry.encode_name} is missing")
            continue
        value = values[entry.encode_name]
        try:
            kept[entry.name] = as_kind(value, entry.type)
        except Unfit as error:
            if entry.required:
                raise Unfit(_at(entry.encode_name, str(error))) from None
            unfit.append(_at(entry.encode_name, str(error)))
            inner = _struct_in(entry.type)
            if inner is not None and isinstance(value, dict):
                with contextlib.suppress(Unfit):
                    kept[entry.name] = as_far_as_it_fits(value, inner).record
    return Fitted(_checked(lambda: kind(**kept), kind), tuple(unfit))


def is_plain(value: object) -> bool:
    """Whether a value has no more than :data:`DEEPEST` levels, and only numbers that JSON has.

    Walks without recursion; takes time in proportion to the value.
    """
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict | list):
            if depth == DEEPEST:
                return False
            inner = one.values() if isinstance(one, dict) else one
            waiting += [(item, depth + 1) for item in inner]
        elif isinstance(one, float):
            if one - one != 0:  # no number, or without end
                return False
        elif isinstance(one, int) and not -(2**63) <= one < 2**64:
            return False
    return True


def json_value(raw: bytes | str) -> Any:
    """The JSON in ``raw``, also texts with half of a surrogate pair. Raises: Unfit."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    except ValueError as error:  # no JSON, no Unicode, or a number with thousands of digits
        raise Unfit(one_line(f"it is not JSON: {error}")) from None


def read_bounded(path: Path, largest: int) -> bytes:
    """The content of a file of at most ``largest`` bytes. Never waits for a pipe to be written.

    Raises: OSError, such as FileNotFoundError; Unfit for what is no file, or longer.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Unfit("it is not a file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(largest + 1)
    finally:
        os.close(handle)
    if len(content) > largest:
        raise Unfit(f"it is longer than {largest // 1_000_000} MB")
    return content


def set_aside(path: Path) -> Path | None:
    """Rename a damaged file to ``<name>.damaged``, so that it is kept when a new one is written.

    A name that is taken already is not replaced: ``<name>.damaged-2`` comes next. Returns the new
    name, None where the file cannot be renamed.
    """
    for number in range(1, 1000):
        ending = ".damaged" if number == 1 else f".damaged-{number}"
        kept = path.with_name(path.name + ending)
        if os.path.lexists(kept):
            continue
        try:
            path.rename(kept)
        except OSError:
            return None
        return kept
    return None


def _checked(parse: Callable[[], T], kind: Any) -> T:
    import msgspec

    try:
        return parse()
    except RecursionError:
        raise Unfit("it is nested too deeply") from None
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        raise Unfit(one_line(_plain(str(error), kind))) from None


# --- reasons in plain words --------------------------------------------------------------------

_WORDS: Final = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false",
    "object": "a table", "array": "a list", "null": "nothing", "bytes": "bytes",
}  # fmt: skip
_QUOTED: Final = re.compile(r"`([a-z| ]+)`")
_PLACE: Final = re.compile(r" - at (?:`key` in )?`\$\.?(.*)`$")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_CHOICE: Final = re.compile(r"Invalid (?:enum )?value (.*)", re.DOTALL)


def _plain(message: str, kind: Any) -> str:
    """msgspec's message with the place first and without the names of types."""
    found = _PLACE.search(message)
    place, message = (found[1], message[: found.start()]) if found else ("", message)
    if match := _MISSING.fullmatch(message):
        return _at(place, f"{match[1]} is missing")
    if match := _UNKNOWN.fullmatch(message):
        return _at(place, f"unknown key {match[1]}")
    if match := _CHOICE.fullmatch(message):
        allowed = _choices(kind, place)
        return _at(place, f"{match[1]} is not one of {allowed}" if allowed else f"not {match[1]}")
    words = _QUOTED.sub(lambda m: " or ".join(_WORDS.get(k, k) for k in m[1].split(" | ")), message)
    return _at(place, words[:1].lower() + words[1:])


def _at(place: str, reason: str) -> str:
    return f"{place}: {reason}" if place else reason


def _choices(kind: Any, place: str) -> str:
    """What a value, or that field of a struct, may be, if it is one of some texts."""
    import msgspec

    for name in filter(None, re.split(r"[.\[]", place)):
        if (struct := _struct_in(kind)) is None:
            break
        fields = {entry.encode_name: entry.type for entry in msgspec.structs.fields(struct)}
        kind = fields.get(name)
    return ", ".join(_literals(kind))


def _literals(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(choice) for choice in get_args(kind)]
    return [text for inner in get_args(kind) for text in _literals(inner)]


def _struct_in(kind: Any) -> Any:
    """The struct that a field's type is, or that it may be besides nothing."""
    import msgspec

    options = [kind, *get_args(kind)]
    structs = [k for k in options if isinstance(k, type) and issubclass(k, msgspec.Struct)]
    return structs[0] if structs else None
