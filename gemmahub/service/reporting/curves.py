"""The figures of a report's plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.memory import ON_DEVICES
from gemmahub.service.comparing.text import letter
from gemmahub.service.planner import Planner

if TYPE_CHECKING:
    from gemmahub.service.comparing.records import Comparison, Side
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class Curve:
    """A line of a plot: ``points`` are x, y, and the lowest and highest y that were seen. ``kind``
    tells lines of one variant apart, such as the type of its cache."""

    letter: str
    points: tuple[tuple[float, float, float, float], ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class PrecisionPoint:
    """Bits per weight of a variant, and its measured divergence with its standard error; both 0
    for the reference itself."""

    letter: str
    bits_per_weight: float
    divergence: float
    error: float


def curves_of(here: Installation, comparison: Comparison) -> tuple[Curve, ...]:
    """Bytes by tokens of context, with caches of 16 and of 8 bits; by formula."""
    from gemmahub.planning import known_places_of

    places, _ = known_places_of(comparison.machine)
    place = next(iter(places), None)
    if place is None:
        return ()
    found = []
    for number, side in enumerate(comparison.sides):
        planner = _planner(here, side, place)
        if planner is None:
            continue
        for cache in USUAL_CACHE_TYPES[:2]:
            points = []
            for context in planner.steps(cache):
                total = float(planner.memory(context, cache).total_bytes)
                points.append((float(context), total, total, total))
            found.append(Curve(letter(number), tuple(points), cache))
    return tuple(found)


def _planner(here: Installation, side: Side, place: object) -> Planner | None:
    from gemmahub.planning import model_of

    try:
        model = model_of(side.variant, here.registry.catalog)
    except (GemmahubError, OSError):
        return None
    placement = side.plan.placement if side.plan is not None else ON_DEVICES
    return Planner(side.variant, model, place, placement=placement)  # type: ignore[arg-type]


def speeds_of(comparison: Comparison) -> tuple[Curve, ...]:
    """Measured tokens a second of answers by tokens in the cache."""
    found = []
    for number, side in enumerate(comparison.sides):
        speed = side.seen.speed
        points = [
            (float(depth.depth), depth.decode.median, depth.decode.low, depth.decode.high)
            for depth in (speed.depths if speed else ())
            if depth.decode is not None
        ]
        if points:
            found.append(Curve(letter(number), tuple(sorted(points))))
    return tuple(found)


def points_of(comparison: Comparison) -> tuple[PrecisionPoint, ...]:
    """Bits per weight and divergence of what was measured against one reference with one text; of
    several the one that most share."""
    found: dict[object, list[PrecisionPoint]] = {}
    for number, side in enumerate(comparison.sides):
        quality, bits = side.seen.quality, side.variant.precision.bits_per_weight
        if quality is None or quality.divergence is None or bits is None:
            continue
        mean = quality.divergence.mean
        point = PrecisionPoint(letter(number), bits, max(0.0, mean.value), mean.error)
        found.setdefault(quality.divergence.reference.content, []).append(point)
    for number, side in enumerate(comparison.sides):
        quality, bits = side.seen.quality, side.variant.precision.bits_per_weight
        if quality is not None and bits is not None and side.is_reference(comparison.sides):
            point = PrecisionPoint(letter(number), bits, 0.0, 0.0)
            found.get(quality.model.content, []).append(point)
    most = max(map(len, found.values()), default=0)
    return tuple(next((points for points in found.values() if len(points) == most), ()))
