"""How fast a model would be here, by what other models showed of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.planning.candidates import installed_candidates
from gemmahub.planning.model import places_of
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.ranking import measurements_of
from gemmahub.recommend.records import Measured
from gemmahub.recommend.settings import Chooser
from gemmahub.recommend.speed import estimate, reached

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.catalog.records import Catalog
    from gemmahub.hardware.records import Machine
    from gemmahub.recommend.speed import SeenSpeed, Speed
    from gemmahub.registry.variants import Variant


def predicted_speed(
    variant: Variant,
    catalog: Catalog,
    machine: Machine,
    others: Iterable[tuple[Variant, SeenSpeed]],
    depth: int,
) -> Speed | None:
    """The decode speed that the roofline, fitted to what was seen of others, gives a variant with
    ``depth`` tokens in its cache; None where not enough is known of it, or of others of its size.
    """
    try:
        chooser = Chooser(places_of(machine)[0], Requirements())
    except GemmahubError:
        return None
    seen = [
        candidate
        for other, speed in others
        for candidate in installed_candidates(
            other, catalog, Measured(speeds={other.reference: speed})
        )
    ]
    for candidate in installed_candidates(variant, catalog):
        plan = chooser.on_accelerators(candidate)
        if plan is not None:
            traffic = chooser.traffic(candidate, plan.memory, depth)
            ratio = reached(traffic, measurements_of(seen, chooser))
            return None if ratio is None else estimate(traffic, chooser.bandwidths, ratio)
    return None
