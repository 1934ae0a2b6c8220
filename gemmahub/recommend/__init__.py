"""What a machine runs best: variant, precision, context, cache type and offload weighed together.

Pure: candidates and a machine in, ranked plans with reasons out.
"""

from gemmahub.recommend.goals import RESERVE, Use, Wish
from gemmahub.recommend.ranking import Ranking, recommend
from gemmahub.recommend.reasons import speed_text
from gemmahub.recommend.records import Candidate, Choice, Recommendation
from gemmahub.recommend.speed import Bandwidths, Speed

__all__ = [
    "RESERVE",
    "Bandwidths",
    "Candidate",
    "Choice",
    "Ranking",
    "Recommendation",
    "Speed",
    "Use",
    "Wish",
    "recommend",
    "speed_text",
]
