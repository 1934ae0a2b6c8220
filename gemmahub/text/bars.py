"""How many cells each part of a bar has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def shares(amounts: Sequence[float], width: int) -> list[int]:
    """``width`` cells in proportion to the amounts; the largest remainders win."""
    total = sum(amounts) or 1.0
    exact = [amount * width / total for amount in amounts]
    cells = [int(length) for length in exact]
    by_remainder = sorted(range(len(cells)), key=lambda i: cells[i] - exact[i])
    for number in by_remainder[: width - sum(cells)]:
        cells[number] += 1
    return cells
