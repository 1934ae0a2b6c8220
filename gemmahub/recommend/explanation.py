"""The score of a plan in four parts: what each gave, its figure, and where that comes from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.recommend.goals import STEEPNESS, THINKING_PACE
from gemmahub.recommend.prompt import SHORT
from gemmahub.recommend.reasons import speed_text, wait_text
from gemmahub.recommend.score import thinks
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from gemmahub.recommend.goals import Requirements
    from gemmahub.recommend.records import ScoredPlan

PARTS: Final = ("quality", "speed", "fit", "context")
"""In the order in which they are shown."""

TIGHT: Final = 0.95
"""Share of what is free at the fullest place above which there is little room left."""


@dataclass(frozen=True, slots=True)
class ScorePart:
    """A part of a score.

    ``points`` are what it adds (quality) or takes away (0 or below). ``level`` is how good the
    figure is by itself, 0 to 1, None where it is not known. ``source`` says where the figure
    comes from.
    """

    name: str
    points: float
    level: float | None
    figure: str
    source: str

    def as_json(self) -> dict[str, Any]:
        """An entry of ``explanation`` in ``gemmahub recommend --json``."""
        level = None if self.level is None else round(self.level, 2)
        return asdict(self) | {"points": round(self.points, 2), "level": level}

    @property
    def points_text(self) -> str:
        """``+76.2``, ``-1.3``, ``0``."""
        return f"{self.points:+.1f}" if abs(self.points) >= 0.05 else "0"


def explanation_of(plan: ScoredPlan, largest: int, wanted: Requirements) -> tuple[ScorePart, ...]:
    """The parts, in the order of :data:`PARTS`; their points add up to those of the plan.
    ``largest`` is the context in tokens that would fit."""
    return _quality(plan), _speed(plan, wanted), _fit(plan), _context(plan, largest, wanted)


def explanation_lines(parts: tuple[ScorePart, ...]) -> list[tuple[str, str, str]]:
    """Name, points and words of each part, and last the sum."""
    lines = [(part.name, part.points_text, f"{part.figure} ({part.source})") for part in parts]
    total = sum(part.points for part in parts)
    return [*lines, ("score", f"{total:.1f}", "the sum of the four; the best score is first")]


def _quality(plan: ScoredPlan) -> ScorePart:
    score, quality = plan.score, plan.quality
    points = score.published - score.precision - score.cache - score.base_model
    known = "of MMLU-Pro" if quality.score is not None else "as if guessing: no score is published"
    off = [
        f"{cost:.1f} off for {why}"
        for cost, why in (
            (score.precision, "the precision of its weights"),
            (score.cache, "the precision of its cache"),
            (score.base_model, "being a base model"),
        )
        if cost >= 0.05
    ]
    figure = ", ".join([f"{score.published:g} points {known}", *off])
    level = None if quality.score is None else max(0.0, min(1.0, points / 100))
    return ScorePart("quality", points, level, figure, quality.as_text())


def _speed(plan: ScoredPlan, wanted: Requirements) -> ScorePart:
    points = 0.0 - plan.score.speed - plan.score.reading
    goal = wanted.goal
    if plan.speed is None:
        unknown = "no bandwidth is known for that memory, so the slowest was assumed"
        return ScorePart("speed", points, None, "tokens/s not known", unknown)
    pace = goal.pace * (THINKING_PACE if thinks(plan.candidate) else 1.0)
    figure = f"{speed_text(plan)} tokens/s, the goal for {wanted.use} is {pace:g}"
    if plan.first_token is not None:
        figure += f"; the first token after {SHORT:,} of a prompt takes {wait_text(plan)}"
    if not plan.usable:
        figure += f"; slow: below {goal.usable:g} tokens/s"
    # By the same curve that takes points off (goals.Goal): half at the pace that is wanted.
    level = 1 / (1 + (pace / plan.speed.likely) ** STEEPNESS) if plan.speed.likely else 0.0
    return ScorePart("speed", points, level, figure, plan.speed.basis)


def _fit(plan: ScoredPlan) -> ScorePart:
    used = [place for place in plan.memory.places if place.total_bytes]
    figure = " and ".join(
        f"{format_gib(p.total_bytes)} of {format_gib(p.free_bytes)} free on {p.device}"
        for p in used
    )
    level, why = 1.0, "no points by itself: what does not fit is not ranked"
    if left := plan.placement.in_words(len(plan.candidate.architecture.layers)):
        figure += f"; {left} stay in system memory"
        why = "no points by itself: layers in system memory cost speed"
        level = 0.75 * min(1.0, sum(plan.traffic.layers))
    elif max((p.total_bytes / (p.free_bytes or 1) for p in used), default=0.0) > TIGHT:
        level = 0.75
    return ScorePart("fit", 0.0, level, f"{figure}; {why}", "computed from its tensors")


def _context(plan: ScoredPlan, largest: int, wanted: Requirements) -> ScorePart:
    goal, tokens = wanted.goal, plan.settings.context
    figure = f"{tokens:,} tokens, the goal for {wanted.use} is {goal.context:,}"
    if largest > tokens:
        figure += f"; up to {largest:,} fit"
    source = f"each halving below the goal costs {goal.context_points:g} points"
    level = min(1.0, tokens / goal.context)
    return ScorePart("context", 0.0 - plan.score.context, level, figure, source)
