"""The use case: what the precision of a model costs, measured by a text."""

from gemmahub.measurements.records import MeasuredModel
from gemmahub.service.scoring.records import QualityOptions, QualityReport, ScoringProgress
from gemmahub.service.scoring.run import quality
from gemmahub.service.scoring.side_by_side import (
    AnswersOptions,
    VariantAnswers,
    answers,
    read_prompts,
)
from gemmahub.service.scoring.tasks import TasksOptions, run_tasks

__all__ = [
    "AnswersOptions",
    "MeasuredModel",
    "QualityOptions",
    "QualityReport",
    "ScoringProgress",
    "TasksOptions",
    "VariantAnswers",
    "answers",
    "quality",
    "read_prompts",
    "run_tasks",
]
