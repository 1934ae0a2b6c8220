"""How near a prediction from other measured models came to what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.service.known_speeds import place_of_plans, seen_speed
from gemmahub.text import format_rate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.measurements.records import SpeedResult
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class Prediction:
    """Decode speed in tokens a second at a depth: what others predict, and what was measured."""

    depth: int
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """0.1 for a prediction that is 10 % too high."""
        return self.predicted / self.measured - 1

    @property
    def text(self) -> str:
        """As people read it."""
        how = "high" if self.error > 0 else "low"
        return (
            f"other models measured here predict {format_rate(self.predicted)} at depth "
            f"{self.depth:,}, {abs(self.error):.0%} too {how}"
        )


def prediction(
    here: Installation,
    variant: Variant,
    result: SpeedResult,
    beside: Iterable[tuple[Variant, SpeedResult]] = (),
) -> Prediction | None:
    """What the roofline, fitted to other models, gives for one that was measured just now;
    ``beside`` are more of them than those that are installed. None where nothing alike was
    measured, and for what a plan does not place so."""
    from gemmahub.planning.predicting import predicted_speed

    machine = here.machine_for()
    usual = result.conditions.place == place_of_plans(machine) and result.parallel == 1
    if not usual or not any(each.decode for each in result.depths):
        return None
    known = here.measured(machine).speeds
    others = [
        (other, known[other.reference])
        for other in here.registry.installed().variants
        if other.reference in known and other.reference != variant.reference
    ]
    others += [
        (other, seen_speed(found))
        for other, found in beside
        if found.model.content != result.model.content and any(each.decode for each in found.depths)
    ]
    depth, measured = seen_speed(result).nearest
    speed = predicted_speed(variant, here.registry.catalog, machine, others, depth)
    return None if speed is None else Prediction(depth, speed.likely, measured)
