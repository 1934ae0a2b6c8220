"""The use case: what the precision of a model costs, measured by a text."""

from gemmahub.measurements.records import MeasuredModel
from gemmahub.service.scoring.records import QualityOptions, QualityReport, ScoringProgress
from gemmahub.service.scoring.run import quality
from gemmahub.service.scoring.side_by_side import AnswersOptions, VariantAnswers, answers

__all__ = [
    "AnswersOptions",
    "MeasuredModel",
    "QualityOptions",
    "QualityReport",
    "ScoringProgress",
    "VariantAnswers",
    "answers",
    "quality",
]
