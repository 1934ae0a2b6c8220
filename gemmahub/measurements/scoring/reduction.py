"""What scored windows come to, by the formulas of llama.cpp's ``llama-perplexity``
(``tools/perplexity/perplexity.cpp``). Natural logarithms throughout."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from math import exp, fsum, sqrt
from operator import mul, sub
from typing import TYPE_CHECKING, Final

from gemmahub.measurements.records import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import ScoredText

_FEW: Final = 10  # llama-perplexity gives no error of so few


@dataclass(frozen=True, slots=True)
class PlaceTable:
    """What a reference said of one place: its best tokens, and a sample of the others, each with
    its log probability. ``own`` is that of the text's own token."""

    own: float
    top: array[int]
    top_logs: array[float]
    rest: array[int]
    rest_logs: array[float]

    @property
    def tokens(self) -> array[int]:
        """All that another model is asked about."""
        return self.top + self.rest


@dataclass(frozen=True, slots=True)
class Changes:
    """How another model differs from the reference, place by place: divergence, change of the
    probability of the text's own token, and 1 where both find the same token most probable."""

    divergences: array[float]
    changes: array[float]
    same_top: array[int]


def place_tables(scored: ScoredText, sampled: Sequence[Sequence[int]]) -> list[PlaceTable]:
    """What is kept of a reference's window; ``sampled`` are the rows that it was asked about."""
    found = []
    for place, own in enumerate(scored.log_probabilities):
        top = array("i", scored.top_tokens[place])
        best = frozenset(top)
        row = sampled[scored.unscored + place]
        others = [
            (token, log)
            for token, log in zip(row, scored.at_log_probabilities[place], strict=True)
            if token not in best
        ]
        found.append(
            PlaceTable(
                own,
                top,
                array("f", scored.top_log_probabilities[place]),
                array("i", (token for token, _ in others)),
                array("f", (log for _, log in others)),
            )
        )
    return found


def changes_of(tables: Sequence[PlaceTable], scored: ScoredText, stride: int) -> Changes:
    """A model's window against the reference's; it was asked about the tokens of the tables.

    A divergence is the sum of p log(p/q) over all tokens. As both probabilities have the sum 1, it
    is that of p log(p/q) - p + q as well, of which no part is negative, so that a sample of the
    less probable tokens gives it without a bias: each stands for ``stride`` of them.
    """
    found = Changes(array("d"), array("d"), array("b"))
    rows = zip(
        tables,
        scored.at_log_probabilities,
        scored.log_probabilities,
        scored.top_tokens,
        strict=True,
    )
    for table, logs, own, best in rows:
        count = len(table.top)
        sampled = _divergence(table.rest_logs, logs[count:])
        found.divergences.append(_divergence(table.top_logs, logs[:count]) + stride * sampled)
        found.changes.append(exp(own) - exp(table.own))
        found.same_top.append(best[0] == table.top[0])
    return found


def _divergence(reference: Sequence[float], other: Sequence[float]) -> float:
    probable: list[float] = list(map(exp, reference))
    parts: float = sum(map(mul, probable, map(sub, reference, other)))
    return parts - sum(probable) + sum(map(exp, other))


def perplexity(logs: Sequence[float]) -> Estimate:
    """The exponential of the mean negative log probability, and its standard error."""
    count = len(logs)
    mean = -fsum(logs) / count
    spread = fsum(log * log for log in logs) / count - mean * mean
    value = exp(min(mean, 700.0))
    error = value * sqrt(spread / (count - 1)) if spread > 0 and count > 1 else 0.0
    return Estimate(value=min(value, 1e18), error=min(error, 1e18))


def mean_of(values: Sequence[float]) -> Estimate:
    """The mean and its standard error."""
    count = len(values)
    mean = fsum(values) / count
    spread = fsum(value * value for value in values) / count - mean * mean
    return Estimate(
        value=mean, error=sqrt(spread / (count - 1)) if spread > 0 and count > _FEW else 0.0
    )


def share_of(flags: Iterable[int]) -> Estimate:
    """The share of places where something holds, and its standard error."""
    seen = list(flags)
    share, count = sum(seen) / len(seen), len(seen)
    return Estimate(value=share, error=sqrt(share * (1 - share) / max(1, count - 1)))


def root_mean_square(values: Sequence[float]) -> Estimate:
    """The root of the mean square, and its standard error."""
    squares = mean_of([value * value for value in values])
    root = sqrt(max(0.0, squares.value))
    return Estimate(value=root, error=0.5 / root * squares.error if root else 0.0)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them is; between two, in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    part = place - low
    return (1 - part) * ordered[low] + part * ordered[min(low + 1, len(ordered) - 1)]
