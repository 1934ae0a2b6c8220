"""The figures of a comparison."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.memory import ON_DEVICES
from gemmahub.recommend.records import speeds_json
from gemmahub.service.measured import UNMEASURED
from gemmahub.service.size_quality import sized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.hardware.records import Machine
    from gemmahub.memory import Placement
    from gemmahub.planning import ContextTotal
    from gemmahub.planning.fit import Fit
    from gemmahub.precision.mix import MixEntry
    from gemmahub.recommend.quality import Quality
    from gemmahub.recommend.records import ScoredPlan
    from gemmahub.recommend.speed import Speed
    from gemmahub.registry.variants import Variant
    from gemmahub.service.measured import MeasuredFigures
    from gemmahub.service.size_quality import SizedVariant


@dataclass(frozen=True, slots=True)
class RolePrecision:
    """What the weights of one role are stored in: their share of all weights, the types (the one of
    most weights first), and bits per weight (None where the size of a type is not known)."""

    role: str
    share: float
    types: tuple[str, ...]
    bits_per_weight: float | None

    def as_json(self) -> dict[str, Any]:
        """An entry of ``precision_by_role``."""
        return asdict(self) | {"share": round(self.share, 4)}


@dataclass(frozen=True, slots=True)
class MemoryTable:
    """What a variant takes, by formula, with the recommended ``placement``.

    ``reason`` says why nothing is known; the figures are then empty.
    """

    totals: tuple[ContextTotal, ...] = ()
    largest_contexts: tuple[tuple[str, int], ...] = ()
    trained_context: int = 0
    placement: Placement = ON_DEVICES
    engine: str = ""
    reason: str = ""

    def at(self, context: int, cache_type: str) -> ContextTotal | None:
        """The total there; None for what is not known or beyond the trained context."""
        wanted = (context, cache_type)
        return next((t for t in self.totals if (t.context, t.cache_type) == wanted), None)


@dataclass(frozen=True, slots=True)
class Side:
    """One variant of a comparison.

    ``plan`` has the settings that are recommended for it with the speed they give, None where
    nothing of it can be recommended: it does not fit, or not enough is known of it. ``seen`` is
    what was measured of it on this machine.
    """

    variant: Variant
    fit: Fit
    roles: tuple[RolePrecision, ...]
    memory: MemoryTable
    quality: Quality
    plan: ScoredPlan | None = None
    seen: MeasuredFigures = UNMEASURED

    @property
    def measured(self) -> bool:
        """Whether its precision follows from tensors, and not from its name alone."""
        return bool(self.variant.precision.mix)

    @property
    def sized(self) -> SizedVariant | None:
        """It as a dot of size against quality; None where its size is not known."""
        recommended = self.plan is not None
        return sized(self.variant, self.fit, self.quality, self.seen, recommended=recommended)

    def is_reference(self, sides: Sequence[Side]) -> bool:
        """Whether divergences of others were measured from it."""
        own = self.seen.quality
        return own is not None and any(
            other.divergence is not None
            and other.divergence.reference.content == own.model.content != ""
            for other in (side.seen.quality for side in sides)
            if other is not None
        )

    @property
    def speed(self) -> Speed | None:
        """Decode speed with the recommended settings."""
        return self.plan.speed if self.plan else None

    @property
    def speed_basis(self) -> str:
        """What the speed rests on, or why there is none."""
        if self.speed is not None:
            return self.speed.basis
        if self.plan is not None:
            return "unknown: the memory's bandwidth is unknown"
        if self.memory.reason:
            return "not known: its memory is unknown"
        return "unknown: it cannot be recommended here"

    def as_json(self) -> dict[str, Any]:
        """An entry of ``variants`` in ``gemmahub compare --json``."""
        variant, memory = self.variant, self.memory
        plan = self.plan.memory if self.plan else None
        return {
            "reference": variant.reference,
            "name": variant.name,
            "format": variant.format,
            "parameters": variant.parameters,
            "size_bytes": variant.size_bytes,
            "installed": bool(variant.artifacts),
            "remote": variant.remote or None,
            "precision": variant.precision.as_json(),
            "precision_by_role": [role.as_json() for role in self.roles],
            "fit": self.fit.as_json(),
            "contexts": [total.as_json() for total in memory.totals],
            "largest_contexts": dict(memory.largest_contexts),
            "gpu_layers": memory.placement.gpu_layers,
            "placement": plan.as_json()["placement"] if plan else None,
            "memory_basis": f"formula, {memory.engine}" if memory.engine else memory.reason,
            "settings": plan.settings.as_json(plan.gpu_layers) if plan else None,
            **speeds_json(self.plan),
            "speed_basis": self.speed_basis,
            **self.quality.as_json(),
            "measured": self.seen.as_json(),
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """What sets a side apart from another one, in words; empty where no figure does."""

    letters: tuple[str, str]
    reference: str
    against: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        words = ", ".join(self.words) or "no figure differs"
        return f"{self.letters[0]} against {self.letters[1]}: {words}"

    def as_json(self) -> dict[str, Any]:
        """An entry of ``differences``."""
        return {"reference": self.reference, "against": self.against, "words": list(self.words)}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The sides in the order in which they were named, for one machine and use.

    ``differences`` set each side apart from the first. ``free`` are the places of the machine with
    the bytes that are free there, accelerators first; empty where that is not known.
    """

    machine: Machine
    use: str
    free: tuple[tuple[str, int], ...]
    sides: tuple[Side, ...]
    differences: tuple[Difference, ...]

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub compare --json``."""
        return {
            "machine": self.machine.as_json(),
            "use": self.use,
            "variants": [side.as_json() for side in self.sides],
            "differences": [found.as_json() for found in self.differences],
        }


def roles_of(mix: Sequence[MixEntry]) -> tuple[RolePrecision, ...]:
    """The mix by role, in the order of the report."""
    total = sum(entry.parameters for entry in mix) or 1
    found = []
    for role in dict.fromkeys(entry.role for entry in mix):
        entries = sorted((e for e in mix if e.role == role), key=lambda e: -e.parameters)
        count = sum(entry.parameters for entry in entries)
        sizes = [entry.bytes for entry in entries]
        bits = None
        if count and None not in sizes:
            bits = round(sum(size or 0 for size in sizes) * 8 / count, 2)
        types = tuple(dict.fromkeys(entry.type for entry in entries))
        found.append(RolePrecision(role, count / total, types, bits))
    return tuple(found)
