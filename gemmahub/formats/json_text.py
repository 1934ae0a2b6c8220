"""JSON from elsewhere: one object, bounded in size, in depth, and in how much it holds.

A parser takes up to fifty times the text in memory (``[{},{},...``), so what there is of it is
counted before. Numbers are finite, and texts are Unicode: half a surrogate pair is none.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NoReturn

from gemmahub.errors import IntegrityError
from gemmahub.formats.source import INCOMPLETE_HINT, LocalFile
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from pathlib import Path

MOST_VALUES: Final = 1 << 19
"""The most objects, lists and members of them: an index of the largest models has 95,000."""
_MOST_DEPTH: Final = 64


def parse_object(raw: bytes, what: str, *, unique_keys: bool = False) -> dict[str, Any]:
    """The JSON object in ``raw``; :class:`IntegrityError` says that ``what`` is damaged.

    Where a key occurs twice the last one counts, as it does for engines, unless ``unique_keys``.
    """
    if sum(map(raw.count, (b",", b"{", b"["))) > MOST_VALUES:
        raise _damaged(what, f"it holds more than {MOST_VALUES:,} values")
    hook = _unique if unique_keys else None
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=hook, parse_constant=_refuse, parse_float=_finite
        )
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise _damaged(what, "it is not Unicode text") from error
    except (ValueError, RecursionError) as error:  # also nested too deep, endless digits
        reason = one_line((str(error) or type(error).__name__)[:500], 120)
        raise _damaged(what, reason) from error
    if not isinstance(value, dict):
        raise _damaged(what, "it is not a JSON object")
    return value


def read_object(path: Path, largest: int) -> dict[str, Any]:
    """The JSON object in a file of at most ``largest`` bytes, nested at most 64 deep.

    Raises as :class:`LocalFile` does, and :class:`IntegrityError`.
    """
    with LocalFile(path) as source:
        if source.size > largest:
            raise IntegrityError(
                f"{one_line(path.name)} has {format_bytes(source.size)}, "
                f"more than {format_bytes(largest)}",
                "Fetch the file again.",
            )
        what = one_line(path.name)
        value = parse_object(source.read(0, source.size), what)
    _check_depth(value, what)
    return value


def _check_depth(value: Any, what: str) -> None:
    """Whoever gets the value may walk it by recursion, which a text of brackets must not end."""
    level = [value]
    for _ in range(_MOST_DEPTH):
        members = (one.values() if isinstance(one, dict) else one for one in level)
        level = [one for some in members for one in some if isinstance(one, dict | list)]
        if not level:
            return
    raise _damaged(what, f"it is nested more than {_MOST_DEPTH} deep")


def _damaged(what: str, problem: str) -> IntegrityError:
    return IntegrityError(f"{what} is damaged: {problem}", INCOMPLETE_HINT)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {one_line(twice[:80], 80)} occurs twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:40]} is beyond all numbers")
    return number
