"""What a server says, as values of the kind that was expected, or as none.

JSON of a stranger may be nested without end, hold numbers of thousands of digits, or so many small
values that they take thirty times the memory of their text (``[],[],``: 64 bytes for three).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

MOST_VALUES: Final = 200_000
"""Values in one answer: commas and opening brackets, counted before anything is parsed."""
LARGEST_COUNT: Final = 2**63 - 1
_RANGE: Final = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


class NotJson(ValueError):
    """Bytes that are no JSON, or none that is taken; the text says what is wrong in few words."""


def parse_json(raw: bytes, most_values: int = MOST_VALUES) -> Any:
    """The value of a JSON text in UTF-8. Raises: NotJson."""
    if sum(raw.count(mark) for mark in (b",", b"[", b"{")) > most_values:
        raise NotJson(f"it is not JSON that is taken: more than {most_values:,} values")
    try:
        return json.loads(raw.decode("utf-8", "strict"), parse_constant=_no_number)
    except RecursionError:
        raise NotJson("it is not JSON that is taken: nested too deep") from None
    except ValueError as error:  # also for an integer of more digits than Python takes
        raise NotJson("it is not JSON") from error


def _no_number(name: str) -> None:
    raise ValueError(name)


def object_of(value: object) -> dict[str, Any]:
    """An object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def text_of(value: object, longest: int = 1 << 20) -> str:
    """A text of at most ``longest`` characters that any file or terminal can take; "" if none."""
    if not isinstance(value, str):
        return ""
    # JSON can spell out halves of characters, which no text may hold.
    return value[:longest].encode("utf-8", "replace").decode()


def texts_of(value: object, most: int = 1000) -> tuple[str, ...]:
    """The texts in a list, at most so many; none for anything else."""
    if not isinstance(value, list):
        return ()
    return tuple(text_of(each) for each in value[:most] if isinstance(each, str))


def count_of(value: object) -> int | None:
    """A count or a size: 0 to 2^63 - 1. None for anything else, also for true and 1.0."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT:
        return value
    return None


def number_of(value: object) -> float | None:
    """A number that is finite and not negative; None for anything else, also for true."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return None
    return found if math.isfinite(found) and found >= 0 else None


def content_range(header: str) -> tuple[int, int, int] | None:
    """First and last byte, and the size, of a Content-Range (RFC 9110, 14.4); None if it is none.

    Numbers of more than 19 digits are no sizes.
    """
    match = _RANGE.fullmatch(header)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
