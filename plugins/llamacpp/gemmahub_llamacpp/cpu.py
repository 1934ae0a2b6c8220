"""Kept for programs that count the cores of a recorded machine: the core does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.hardware.files import SystemFiles
from gemmahub.hardware.topology import compute_cores

if TYPE_CHECKING:
    from pathlib import Path


def linux_cores(proc: Path, sys_root: Path, allowed: frozenset[int]) -> int:
    """:func:`compute_cores` of the tree that holds ``proc`` and ``sys``, which lie side by side."""
    if proc.parent != sys_root.parent:
        raise ValueError("proc and sys lie in different folders")
    return compute_cores(SystemFiles(proc.parent), allowed)
