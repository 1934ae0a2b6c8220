"""What is ranked: candidates, and the plans that are made for them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Final

from gemmahub.memory import ON_DEVICES
from gemmahub.recommend.prompt import SHORT, UNKNOWN_RATES, OperationRates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.catalog.records import Model
    from gemmahub.memory import (
        ImageMemory,
        MachineMemory,
        MemoryArchitecture,
        MemoryPlan,
        MemorySettings,
        Placement,
        Weights,
    )
    from gemmahub.recommend.prompt import Wait
    from gemmahub.recommend.quality import Loss, Quality
    from gemmahub.recommend.speed import Bandwidths, MemoryTraffic, SeenSpeed, Speed


Worth = tuple[bool, bool, float]
"""What plans are ordered by."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured on the machine that is ranked for, by reference: decode speeds, and what
    precisions cost."""

    speeds: Mapping[str, SeenSpeed] = field(default_factory=dict)
    losses: Mapping[str, Loss] = field(default_factory=dict)


NOTHING_MEASURED: Final = Measured()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant that may be recommended.

    ``model`` is None for a file that the catalogue does not know, ``images`` for one that takes
    none. ``measured`` is the decode speed that was seen here, None if it never ran; ``loss`` what
    its precision costs, where that was measured.
    """

    reference: str
    model: Model | None
    label: str
    training: str
    architecture: MemoryArchitecture
    weights: Weights
    installed: bool = False
    images: ImageMemory | None = None
    measured: SeenSpeed | None = None
    loss: Loss | None = None

    @property
    def group(self) -> str:
        """What variants of one model have in common."""
        return self.model.name if self.model is not None else self.reference


@dataclass(frozen=True, slots=True)
class DevicePlace:
    """Devices that an engine can use together for one model, with the host, how fast each is read
    and how fast it computes; both in the order of the machine's devices."""

    machine: MachineMemory
    bandwidths: Bandwidths
    compute: OperationRates = UNKNOWN_RATES


@dataclass(frozen=True, slots=True)
class PlanScore:
    """The parts of a sum. ``published`` is the score of the unquantized weights (guessing, where
    there is none); the others are what is taken off, in the same points, none below 0."""

    published: float
    precision: float
    cache: float
    base_model: float
    context: float
    speed: float
    reading: float

    @property
    def total(self) -> float:
        """What is left."""
        return self.published - sum(self.costs.values())

    @property
    def costs(self) -> dict[str, float]:
        """What is taken off, by the name of its cause."""
        return {part.name: getattr(self, part.name) for part in fields(self)[1:]}

    def as_json(self) -> dict[str, float]:
        """The object ``score`` of ``recommend --json``."""
        return {name: round(value, 2) for name, value in asdict(self).items()} | {
            "total": round(self.total, 2)
        }


@dataclass(frozen=True, slots=True)
class ScoredPlan:
    """A candidate with the settings that suit it best, and what they are worth in points.

    ``first_token`` is the wait for the first token of an answer to ``prompt.SHORT`` tokens,
    ``whole_context`` that to a prompt that fills the context. ``usable``: it is fast enough for
    what it is wanted for; ``storable``: it is here, or the disk has room for it.
    """

    candidate: Candidate
    memory: MemoryPlan
    quality: Quality
    speed: Speed | None
    traffic: MemoryTraffic
    score: PlanScore
    usable: bool
    storable: bool = True
    first_token: Wait | None = None
    whole_context: Wait | None = None

    @property
    def points(self) -> float:
        """What it is worth."""
        return self.score.total

    @property
    def worth(self) -> Worth:
        """What is larger of the better plan: one that can be stored is, then a usable one, then the
        one with more points."""
        return self.storable, self.usable, round(self.points, 2)

    @property
    def settings(self) -> MemorySettings:
        return self.memory.settings

    @property
    def devices(self) -> tuple[str, ...]:
        """The accelerators that it was planned for, whether it puts layers there or not."""
        return tuple(place.device for place in self.memory.places[:-1])

    @property
    def placement(self) -> Placement:
        """What of it lies on the accelerators; nothing to say where there are none."""
        return self.memory.placement if self.devices else ON_DEVICES


def speeds_json(plan: ScoredPlan | None) -> dict[str, float | None]:
    """The keys of what a plan's speed is, in ``recommend`` and ``compare``."""
    figures = {
        "tokens_per_second": plan and plan.speed,
        f"seconds_to_first_token_{SHORT}": plan and plan.first_token,
        "seconds_to_read_context": plan and plan.whole_context,
    }
    found: dict[str, float | None] = {}
    for key, band in figures.items():
        found[key] = round(band.likely, 2) if band else None
        found[f"{key}_low"] = round(band.low, 2) if band else None
        found[f"{key}_high"] = round(band.high, 2) if band else None
    return found
