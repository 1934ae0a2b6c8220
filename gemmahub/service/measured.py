"""What was measured of the models here, as it stands beside their precision."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.service.known_losses import contents_of, text_in_words, text_key
from gemmahub.service.known_speeds import best_result, place_of_plans
from gemmahub.text import format_rate, one_line

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from gemmahub.hardware.records import Machine
    from gemmahub.measurements.records import Estimate, QualityResult, SpeedResult
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class MeasuredFigures:
    """What was measured of one variant on this machine; None where nothing was."""

    quality: QualityResult | None = None
    speed: SpeedResult | None = None

    def __bool__(self) -> bool:
        return self.quality is not None or self.speed is not None

    def as_json(self) -> dict[str, Any]:
        """``quality`` and ``speed`` as they were measured, None where nothing was."""
        return {
            "quality": self.quality and self.quality.as_json(),
            "speed": self.speed and self.speed.as_json(),
        }


UNMEASURED: Final = MeasuredFigures()


def estimate_text(estimate: Estimate, digits: int = 4) -> str:
    """``21.34 ± 0.12``: significant digits, and as many of the error's as stand beside them."""
    places = max(0, digits - len(str(int(abs(estimate.value)))))
    return f"{estimate.value:.{places}f} ± {estimate.error:.{places}f}"


def figures_in_words(figures: MeasuredFigures) -> tuple[str, ...]:
    """``perplexity 21.3 ± 0.2 (prose, 40 windows of 512 tokens, ...)``, ``33.3 tokens/s``."""
    found = []
    quality, speed = figures.quality, figures.speed
    if quality is not None:
        text = f"perplexity {estimate_text(quality.perplexity)}"
        if quality.divergence is not None:
            other = quality.divergence.reference
            text += f", divergence {estimate_text(quality.divergence.mean, 5)} from "
            text += one_line(other.label or other.precision, 200)
        found.append(f"{text} ({text_in_words(quality)})")
    for depth in speed.depths[:1] if speed is not None else ():
        if depth.decode is not None:
            found.append(f"{format_rate(depth.decode.median)} at {depth.depth:,} tokens")
    return tuple(found)


def commands_missing(figures: MeasuredFigures) -> tuple[str, ...]:
    """The commands that measure what was not measured."""
    missing = {"quality": figures.quality is None, "bench": figures.speed is None}
    return tuple(name for name, lacks in missing.items() if lacks)


def figures_of(
    here: Installation, variants: Sequence[Variant], machine: Machine
) -> list[MeasuredFigures]:
    """What was measured of each variant here; speeds where a plan for the machine would put the
    layers, none for another machine. Of several texts it is the one that most were measured with,
    of several measurements of quality the latest."""
    from gemmahub.measurements.records import QualityResult, SpeedResult

    if not here.results.kept:
        return [UNMEASURED for _ in variants]
    contents = [
        list(contents_of(variant, here.registry.catalog, here.sums)) for variant in variants
    ]
    results = here.results
    qualities = [[q for c in own for q in results.of(QualityResult, c)] for own in contents]
    place = "" if machine.simulated else place_of_plans(machine)
    speeds = [
        best_result((s for c in own for s in results.of(SpeedResult, c)), place) for own in contents
    ]
    common = _most_common({text_key(q): q for q in own} for own in qualities)
    return [
        MeasuredFigures(next((q for q in own if text_key(q) == common), None), speed)
        for own, speed in zip(qualities, speeds, strict=True)
    ]


def _most_common(measured: Iterable[dict[Hashable, QualityResult]]) -> Hashable:
    """The text of most of them; at equal numbers the latest."""
    counts: Counter[Hashable] = Counter()
    latest: dict[Hashable, float] = {}
    for own in measured:
        counts.update(own.keys())
        for key, result in own.items():
            latest[key] = max(latest.get(key, 0.0), result.conditions.at)
    return max(counts, key=lambda key: (counts[key], latest[key]), default=None)
