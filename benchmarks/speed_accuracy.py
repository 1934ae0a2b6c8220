"""How far the estimated decode speeds are from those that people published.

Run: ``python -m benchmarks.speed_accuracy`` (seconds). Prints each published row with the band, and
the error when the figures of ``gemmahub/recommend/speed_figures.py`` are fitted without that row;
last what fitting to all rows gives. The fit changes the share of each interface and the fixed time
of each kind of model, and nothing by row.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from math import exp
from statistics import median
from typing import TYPE_CHECKING
from unittest.mock import patch

from gemmahub.recommend.speed_figures import OVERHEAD, PLACES
from tests.recommend.published import Published, published, published_prompts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHARES = ("cuda", "rocm unified", "metal unified", "cpu")
"""The interfaces that have rows."""

Fit = dict[str, float]


@contextmanager
def figures(fit: Fit) -> Iterator[None]:
    """These figures in place of those that are used."""
    places = {name: replace(PLACES[name], share=fit[name]) for name in SHARES}
    kinds = {name: fit[name] for name in OVERHEAD}
    with patch.dict(PLACES, places), patch.dict(OVERHEAD, kinds):
        yield


def misfit(fit: Fit, rows: Sequence[Published]) -> float:
    """The sum of errors; small ones count by their square, so that the fit is not torn."""
    with figures(fit):
        errors = [abs(row.error) for row in rows]
    return sum(error if error > 0.05 else error**2 / 0.1 + 0.025 for error in errors)


def fitted(rows: Sequence[Published]) -> Fit:
    """By trying steps up and down for each figure, smaller ones each round."""
    fit = {name: PLACES[name].share for name in SHARES} | dict(OVERHEAD)
    best, factor = misfit(fit, rows), 1.1
    while factor > 1.002:
        for name in fit:
            for tried in (fit[name] * factor, fit[name] / factor):
                # No memory gives more than 92 % of its published bandwidth.
                other = fit | {name: min(tried, 0.92)}
                found = misfit(other, rows)
                if found < best:
                    fit, best = other, found
        factor = 1 + (factor - 1) * 0.85
    return fit


def left_out(row: Published, rows: Sequence[Published]) -> float:
    """The error of a row that the fit has not seen."""
    with figures(fitted([other for other in rows if other is not row])):
        return row.error


def main() -> None:
    rows = published()
    print(
        "machine                      variant                            measured  "
        "low - likely - high     log  left out"
    )
    errors = []
    for row in rows:
        speed, without = row.estimate, left_out(row, rows)
        errors.append(without)
        print(
            f"{row.machine:28} {row.variant:36} {row.speed:6.1f}  "
            f"{speed.low:5.1f} - {speed.likely:5.1f} - {speed.high:5.1f}  "
            f"{row.error:+.2f}  {without:+.2f}{'' if row.inside else '  outside'}"
        )
    inside = [row for row in rows if row.inside]
    print(f"inside the band: {len(inside)} of {len(rows)}")
    print(f"median of |log(measured / likely)|: {median(abs(row.error) for row in rows):.3f}")
    still = sum(
        row.estimate.low <= row.estimate.likely * exp(error) <= row.estimate.high
        for row, error in zip(rows, errors, strict=True)
    )
    print(f"the same, each row left out of the fit: {median(map(abs, errors)):.3f}, {still} inside")
    for name in SHARES:
        place = PLACES[name]
        print(f"{name:15} highest / lowest {place.high / place.low:.2f}: {place.evidence}")
    for name, value in fitted(rows).items():
        used = OVERHEAD.get(name) or PLACES[name].share  # type: ignore[call-overload]
        print(f"{name:20} fitted {value:.4f}, used {used:.4f}")
    for prompt in published_prompts():
        low, likely, high = (
            prompt.tokens / seconds
            for seconds in (prompt.wait.high, prompt.wait.likely, prompt.wait.low)
        )
        print(
            f"{prompt.machine:28} {prompt.variant:36} {prompt.speed:6.0f}  "
            f"{low:5.0f} - {likely:5.0f} - {high:5.0f}  {prompt.error:+.2f}  "
            f"tokens of a prompt{'' if prompt.inside else '  outside'}"
        )


if __name__ == "__main__":
    main()
