"""The use case: what the precision of a model costs, measured by a text."""

from gemmahub.measurements.records import MeasuredModel
from gemmahub.service.scoring.records import QualityOptions, QualityReport, ScoringProgress
from gemmahub.service.scoring.run import quality

__all__ = ["MeasuredModel", "QualityOptions", "QualityReport", "ScoringProgress", "quality"]
