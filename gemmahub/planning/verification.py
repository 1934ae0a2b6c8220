"""What a real load took, beside what its plan said."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.memory import PART_NAMES
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from gemmahub.engines.resident import Resident

_WORTH_A_NOTE: Final = 0.05


@dataclass(frozen=True, slots=True)
class VerifiedPart:
    """One part of one place, predicted and actual, in bytes."""

    device: str
    part: str
    predicted_bytes: int
    actual_bytes: int

    @property
    def difference(self) -> float | None:
        """Actual against predicted, 0.01 for 1 % more; None where nothing was predicted."""
        if not self.predicted_bytes:
            return None if self.actual_bytes else 0.0
        return self.actual_bytes / self.predicted_bytes - 1

    def as_json(self) -> dict[str, Any]:
        """An entry of ``parts``."""
        return asdict(self) | {"difference": self.difference}


@dataclass(frozen=True, slots=True)
class Verification:
    """What a real load took. ``parts`` is empty where the engine does not report its buffers.

    ``repack_bytes`` are the engine's copies of weights in another order, ``predicted_repack_bytes``
    the most that was predicted. ``resident`` is the engine's process after an answer, None where
    the system does not say; ``predicted_mapped_bytes`` and ``predicted_anonymous_bytes`` are what
    of the plan belongs to it: mapped weights, and host buffers without copies of weights.
    """

    engine: str
    device: str
    parts: tuple[VerifiedPart, ...]
    repack_bytes: int
    predicted_repack_bytes: int
    predicted_mapped_bytes: int
    predicted_anonymous_bytes: int
    resident: Resident | None
    prompt_tokens: int
    tokens: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What differs by more than 5 %, and what the system did not tell."""
        found = []
        if not self.parts:
            found.append(f"{self.engine} does not report what it allocated")
        for row in self.parts:
            difference = row.difference
            if difference is None or abs(difference) > _WORTH_A_NOTE:
                how = "not predicted" if difference is None else f"{difference:+.1%}"
                name = PART_NAMES[row.part]
                found.append(f"{name} on {row.device}: more than 5 % off the plan ({how})")
        return (*found, *self._resident_notes())

    def _resident_notes(self) -> list[str]:
        """How the resident memory relates to the plan."""
        held = self.resident
        if held is None:
            return ["the resident memory of the engine's process is unknown"]
        found = []
        if self.predicted_mapped_bytes:
            found.append(
                "mapped weights are resident as pages of a file, which the system can drop and "
                "read again; so is the code of the engine"
            )
        if held.anonymous_bytes is not None and self.parts:
            more = held.anonymous_bytes - self.predicted_anonymous_bytes
            rest = more - self.repack_bytes
            found.append(
                f"anonymous memory is {format_gib(more)} above the plan's buffers: "
                f"{format_gib(self.repack_bytes)} are repacked weights, {format_gib(rest)} "
                "are Python, the engine and its vocabulary"
                if rest >= 0
                else "some buffers are not resident yet: they have not been written to"
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """The object ``actual`` of ``gemmahub plan --verify --json``."""
        return {
            "engine": self.engine,
            "device": self.device,
            "parts": [row.as_json() for row in self.parts],
            "total_bytes": sum(row.actual_bytes for row in self.parts) + self.repack_bytes,
            "repack_bytes": self.repack_bytes,
            "predicted_repack_bytes": self.predicted_repack_bytes,
            "predicted_mapped_bytes": self.predicted_mapped_bytes,
            "predicted_anonymous_bytes": self.predicted_anonymous_bytes,
            "resident": self.resident.as_json() if self.resident else None,
            "prompt_tokens": self.prompt_tokens,
            "tokens": self.tokens,
        }
