"""A place's memory as one stacked bar with its legend, in letters that need no colour."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from gemmahub.cli.output import Painted
from gemmahub.text import format_gib
from gemmahub.text.bars import shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory import DevicePlan

# The SGR code of its colour, by part; its letter is the first one of its name.
_COLOURS: Final = {
    "weights": "34",
    "kv_cache": "32",
    "compute": "33",
    "output": "35",
    "projector": "36",
    "drafter": "94",
    "overhead": "31",
    "saved": "90",
}
_FREE: Final = "."
_LONGEST: Final = 72

Line = tuple[Painted, ...]
"""Pieces for :func:`gemmahub.cli.output.data`."""


@dataclass(frozen=True, slots=True)
class BarPart:
    """A part of a bar: its letter, its name, bytes, and the SGR code of its colour."""

    letter: str
    name: str
    bytes: int
    colour: str = ""


def segments(place: DevicePlan) -> list[BarPart]:
    """What a place holds, and last what stays free; parts of no bytes are left out."""
    from gemmahub.memory import PART_NAMES

    found = [
        BarPart(name[0].upper(), name, getattr(place, f"{part}_bytes"), _COLOURS[part])
        for part, name in PART_NAMES.items()
    ]
    found.append(BarPart(_FREE, "free", max(0, place.free_bytes - place.total_bytes)))
    return [segment for segment in found if segment.bytes]


def bar(parts: Sequence[BarPart], width: int) -> Line:
    """The parts side by side on ``width`` characters, in proportion: the largest remainders win."""
    if not parts:
        return (Painted(_FREE * width, ""),)
    cells = shares([part.bytes for part in parts], width)
    return tuple(
        Painted(part.letter * count, part.colour)
        for part, count in zip(parts, cells, strict=True)
        if count
    )


def place_lines(place: DevicePlan, width: int) -> list[Line]:
    """A heading, the bar and the legend of a place, none wider than ``width`` characters.

    The bar is as long as what is free there, or as what is needed where that is more.
    """
    width = max(1, width)
    over = place.total_bytes - place.free_bytes
    state = f"{format_gib(over)} SHORT" if over > 0 else "fits"
    heading = [
        place.device,
        f"{format_gib(place.total_bytes)} of",
        f"{format_gib(place.free_bytes)} free",
        f"({format_gib(place.capacity_bytes)} total):",
        state,
    ]
    parts = segments(place)
    legend = [f"{part.letter} {part.name} {format_gib(part.bytes)}" for part in parts]
    return [
        *((Painted(line, ""),) for line in _wrapped(heading, width, " ")),
        bar(parts, min(width, _LONGEST)),
        *((Painted(line, ""),) for line in _wrapped(legend, width, "  ")),
    ]


def _wrapped(words: Sequence[str], width: int, between: str) -> list[str]:
    """Words side by side on lines that are not wider than ``width``; a longer word is broken."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1] + between + word) <= width:
            lines[-1] += between + word
        else:
            lines += wrap(word, width)
    return lines
