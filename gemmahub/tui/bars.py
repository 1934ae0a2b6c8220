"""Stacked bars with their legends: which precision lies where, and what takes the memory.

Each part has a letter as well as a colour, and every legend says in words what the bar shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from textual.content import Content

from gemmahub.precision.number_formats import number_format
from gemmahub.text import format_gib, one_line, percent
from gemmahub.text.bars import shares

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.places import DevicePlan
    from gemmahub.precision.mix import MixEntry

_ROLE_LETTERS: Final = {
    "embedding": "E",
    "per-layer embedding": "P",
    "attention": "A",
    "feed-forward": "F",
    "expert": "X",
    "norm": "N",
    "output": "O",
    "vision": "V",
    "audio": "S",
    "projector": "J",
}
_PART_COLOURS: Final = {
    "weights": "part-weights",
    "kv_cache": "part-kv",
    "compute": "part-compute",
    "output": "part-output",
    "projector": "part-projector",
    "drafter": "part-projector",
    "overhead": "part-driver",
    "saved": "part-kv",
}
_BITS: Final = (2, 4, 6, 8, 16)
_SMALL: Final = 0.005


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: letter, words of the legend, how much, and the theme's colour."""

    letter: str
    words: str
    amount: float
    colour: str


def stacked(parts: Sequence[Part], width: int, whole: float | None = None) -> Content:
    """The parts side by side on ``width`` cells, each in its colour with its letter.

    ``whole`` is what the full width stands for; the rest of it is free. None: the parts together.
    """
    total = whole if whole is not None else sum(part.amount for part in parts)
    if width <= 0 or not total:
        return Content("")
    free = max(0.0, total - sum(part.amount for part in parts))
    cells = shares([*(part.amount for part in parts), free], width)
    pieces = [
        Content.styled(_piece(part.letter, count), f"$bar-text on ${part.colour}")
        for part, count in zip(parts, cells, strict=False)
        if count
    ]
    return Content.assemble(*pieces, Content.styled("┄" * cells[-1], "$bar-free"))


def _piece(letter: str, count: int) -> str:
    return letter if count == 1 else f" {letter}".ljust(count) if count > 2 else letter.ljust(count)


def legend(parts: Sequence[Part], width: int) -> Content:
    """What the letters mean, as many side by side as the width has room for."""
    lines: list[Content] = []
    at = 0
    for part in parts:
        entry = Content.assemble(
            Content.styled(f" {part.letter} ", f"$bar-text on ${part.colour}"), f" {part.words}"
        )
        if lines and at + 2 + entry.cell_length <= width:
            lines[-1] = Content.assemble(lines[-1], "  ", entry)
            at += 2 + entry.cell_length
        else:
            lines.append(entry)
            at = entry.cell_length
    return Content("\n").join(lines)


def precision_parts(mix: Sequence[MixEntry]) -> list[Part]:
    """The weights by role and type, in the order of the report; what is too small to see is left
    out."""
    total = sum(entry.parameters for entry in mix) or 1
    return [
        Part(
            role_letter(entry.role),
            f"{entry.role} {one_line(entry.type, 20)} {percent(entry.parameters / total)}",
            entry.parameters,
            bits_colour(number_format(entry.type).bits),
        )
        for entry in sorted(mix, key=lambda entry: -entry.parameters)
        if entry.parameters / total >= _SMALL
    ]


def role_letter(role: str) -> str:
    """The letter of a role in bars."""
    return _ROLE_LETTERS.get(role, role[:1].upper() or "?")


def bits_colour(bits: float) -> str:
    """The colour of a number of bits: warm for few, cool for many."""
    return f"bits-{next((limit for limit in _BITS if bits <= limit), 32)}"


def memory_parts(place: DevicePlan) -> list[Part]:
    """What a place holds; parts of no bytes are left out."""
    from gemmahub.memory import PART_NAMES

    found = []
    for part, name in PART_NAMES.items():
        if amount := getattr(place, f"{part}_bytes"):
            words = f"{name} {format_gib(amount)}"
            found.append(Part(name[0].upper(), words, amount, _PART_COLOURS[part]))
    return found


def memory_bar(place: DevicePlan, width: int) -> Content:
    """A heading in words, the bar against what is free, and the legend."""
    over = place.total_bytes - place.free_bytes
    word = f"{format_gib(over)} too much" if over > 0 else "fits"
    parts = memory_parts(place)
    return Content("\n").join(
        [
            Content.assemble(
                (f"{place.device} ", "bold"),
                f"{format_gib(place.total_bytes)} of {format_gib(place.free_bytes)} free: ",
                (word, "$text-error bold" if over > 0 else "$text-success"),
            ),
            stacked(parts, width, max(place.free_bytes, place.total_bytes)),
            legend(parts, width),
        ]
    )
