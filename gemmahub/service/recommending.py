"""The use case: what a machine runs best."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmahub.hardware.records import Machine
    from gemmahub.planning.recommending import Recommendation
    from gemmahub.recommend.goals import Requirements
    from gemmahub.service.installation import Installation


def recommend(
    here: Installation, wanted: Requirements, machine: Machine | None = None
) -> tuple[Recommendation, ...]:
    """What this machine, or another one, runs best, ranked and with reasons; at least one.

    Raises: NotFound for an unknown model; DoesNotFit when nothing fits.
    """
    from gemmahub.planning.recommending import recommendations

    place = machine or here.machine_for()
    measured = here.measured(place)
    return recommendations(here.registry, place, wanted, measured)
