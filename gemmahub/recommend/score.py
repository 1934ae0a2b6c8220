"""What a plan is worth: its published capability, less what all about it costs, in points."""

from __future__ import annotations

from math import log2
from typing import TYPE_CHECKING

from gemmahub.recommend.goals import BASE_MODEL_POINTS, LONG_READING, STEEPNESS, THINKING_PACE
from gemmahub.recommend.quality import CACHE_SHARE, GUESSING
from gemmahub.recommend.records import PlanScore

if TYPE_CHECKING:
    from gemmahub.recommend.goals import Goal
    from gemmahub.recommend.prompt import Wait
    from gemmahub.recommend.quality import Quality
    from gemmahub.recommend.records import Candidate


def score_of(
    candidate: Candidate,
    quality: Quality,
    *,
    cache_type: str,
    context: int,
    rate: float,
    reading: Wait | None,
    goal: Goal,
) -> PlanScore:
    """The score with a cache of that type, so many tokens of context, ``rate`` tokens a second, and
    the wait for a prompt that fills the context."""
    published = GUESSING if quality.score is None else quality.score
    kept = published * (1 - quality.lost)
    pace = goal.pace * (THINKING_PACE if thinks(candidate) else 1.0)
    seconds = reading.likely if reading else 0.0
    base = candidate.model is not None and not candidate.model.instruction_tuned
    return PlanScore(
        published=published,
        precision=published - kept,
        cache=kept * CACHE_SHARE.get(cache_type, 0.0),
        base_model=BASE_MODEL_POINTS if base else 0.0,
        context=goal.context_points * max(0.0, log2(goal.context / context)),
        speed=goal.speed_points * log2(1 + (pace / rate) ** STEEPNESS),
        reading=goal.reading_points * log2(1 + seconds / LONG_READING),
    )


def thinks(candidate: Candidate) -> bool:
    """Whether the published score was reached by thinking first."""
    score = candidate.model.score("MMLU-Pro") if candidate.model is not None else None
    setting = score.setting if score is not None else ""
    return "thinking" in setting and "without thinking" not in setting


def sum_in_words(score: PlanScore) -> str:
    """``81.6 of 85.2 points: 2.3 off for its precision, 1.3 for its speed.``"""
    causes = {
        "precision": "its precision",
        "cache": "the precision of its cache",
        "base_model": "being a base model",
        "context": "its context",
        "speed": "its speed",
        "reading": "the time to read a context of that length",
    }
    off = [f"{cost:.1f} for {causes[name]}" for name, cost in score.costs.items() if cost >= 0.05]
    first, *others = off or ["nothing"]
    what = ", ".join([first.replace(" for ", " off for ", 1), *others])
    return f"{score.total:.1f} of {score.published:g} points: {what}."
