"""Repairs as records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import CheckResult


@dataclass(frozen=True, slots=True)
class Repair:
    """What puts a check right: ``text`` says what is going to be done. One that ``asks`` is never
    done but after a question of its own."""

    check: CheckResult
    text: str
    do: Callable[[], object]
    asks: bool = False

    def as_json(self) -> dict[str, Any]:
        """``repair`` of a check in ``gemmahub doctor --json``."""
        return {"text": self.text, "asks": self.asks}


@dataclass(frozen=True, slots=True)
class RepairResult:
    """A repair that was tried; ``reason`` says why it failed, "" where it did not."""

    repair: Repair
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """An entry of ``repaired`` in ``gemmahub doctor --fix --json``."""
        return {
            "name": self.repair.check.name,
            "text": self.repair.text,
            "done": not self.reason,
            "reason": self.reason or None,
        }
