"""What goes into a recommendation, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmahub.catalog.records import Model
    from gemmahub.memory import ImageMemory, MemoryArchitecture, MemoryPlan, MemorySettings, Weights
    from gemmahub.recommend.quality import Quality
    from gemmahub.recommend.speed import Speed, Traffic


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant that may be recommended.

    ``model`` is None for a file that the catalogue does not know, ``images`` for one that takes
    none. ``measured`` is the decode speed in tokens a second that was seen here, None if it never
    ran.
    """

    reference: str
    model: Model | None
    label: str
    training: str
    architecture: MemoryArchitecture
    weights: Weights
    installed: bool = False
    images: ImageMemory | None = None
    measured: float | None = None

    @property
    def group(self) -> str:
        """What variants of one model have in common."""
        return self.model.name if self.model is not None else self.reference


@dataclass(frozen=True, slots=True)
class Choice:
    """A candidate with the settings that suit it best, and what they are worth in points."""

    candidate: Candidate
    plan: MemoryPlan
    quality: Quality
    speed: Speed | None
    traffic: Traffic
    points: float

    @property
    def settings(self) -> MemorySettings:
        return self.plan.settings


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A choice with its rank, the largest context it could have, and the reasons in sentences."""

    rank: int
    choice: Choice
    largest_context: int
    reasons: tuple[str, ...]
