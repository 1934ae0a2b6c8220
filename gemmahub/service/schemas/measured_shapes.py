"""The JSON of measurements: ``bench`` and ``quality``."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from gemmahub.measurements.records import MeasuredModel, QualityResult, SpeedResult
from gemmahub.service.scoring.side_by_side import AnswerDifference, GivenAnswer


class SpeedResultsJson(TypedDict):
    """A file of speeds, which ``bench import`` and ``bench --against`` read."""

    gemmahub_results: Literal[1]
    results: list[SpeedResult]


class TuningJson(TypedDict):
    """The fastest settings that were found for one model; empty where the usual ones stay."""

    reference: str
    settings: dict[str, Any]
    gain: float
    tried: int
    doubts: list[str]
    problems: list[str]


class TunedJson(TypedDict):
    """What ``bench --tune`` found."""

    tuned: list[TuningJson]


class QualityResultsJson(TypedDict):
    """A file of perplexities and divergences."""

    gemmahub_results: Literal[1]
    results: list[QualityResult]
    notes: list[str]


class VariantAnswersJson(TypedDict):
    """The greedy answers of one variant."""

    reference: str
    precision: str
    engine: str
    answers: list[GivenAnswer]
    differences: list[AnswerDifference]
    same: float
    common: float
    mean_tokens: float
    tokens_per_second: float | None


class AnswersJson(TypedDict):
    """Answers side by side (``quality --prompts``)."""

    answers: list[VariantAnswersJson]


class TaskScoresJson(TypedDict):
    """The scores of one model."""

    model: MeasuredModel
    scores: dict[str, dict[str, float]]
    settings: dict[str, Any]
    kept: str


class TasksJson(TypedDict):
    """Scores of lm-eval (``quality --tasks``)."""

    tasks: list[TaskScoresJson]
