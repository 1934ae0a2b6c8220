"""JSON from elsewhere: objects without duplicate keys, bounded in size and depth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from gemmahub.errors import IntegrityError
from gemmahub.formats.source import INCOMPLETE_HINT, LocalFile
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from pathlib import Path


def parse_object(raw: bytes, what: str, *, unique_keys: bool = False) -> dict[str, Any]:
    """The JSON object in ``raw``; :class:`IntegrityError` says that ``what`` is damaged."""
    hook = _unique if unique_keys else None
    try:
        value = json.loads(raw.decode(), object_pairs_hook=hook, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # also not UTF-8, nested too deep, endless digits
        reason = one_line(str(error) or type(error).__name__, 120)
        raise IntegrityError(f"{what} is damaged: {reason}", INCOMPLETE_HINT) from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{what} is damaged: it is not a JSON object", INCOMPLETE_HINT)
    return value


def read_object(path: Path, largest: int) -> dict[str, Any]:
    """The JSON object in a file of at most ``largest`` bytes; raises as :class:`LocalFile` does."""
    with LocalFile(path) as source:
        if source.size > largest:
            raise IntegrityError(
                f"{one_line(path.name)} has {format_bytes(source.size)}, "
                f"more than {format_bytes(largest)}",
                "Fetch the file again.",
            )
        return parse_object(source.read(0, source.size), one_line(path.name))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {one_line(twice, 80)} occurs twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
