"""Whether the memory that is free is another sum than it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gemmahub.hardware.records import Machine

MOVED: Final = 0.03
"""Share by which free memory has to move for all rows to be planned for it. Less is noise, and
then nothing on the screen moves: rows, header and details are of one reading."""


def moved(now: Machine, before: Machine) -> bool:
    """Whether free memory moved by so much, at any place, that plans may be others."""
    pairs = zip(_available(now), _available(before), strict=False)
    return any(abs(a - b) > MOVED * max(a, b) for a, b in pairs)


def _available(machine: Machine) -> list[int]:
    figures = [device.available for device in machine.devices]
    return [figure.value or 0 for figure in (*figures, machine.memory.available)]
