"""The use case of ``gemmahub list``: the models here, those that a filter shows, in an order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.recommend.speed import FILLED
from gemmahub.service.companions import owned
from gemmahub.service.known_speeds import speed_json
from gemmahub.service.model_facts import engines_by_format, facts_of_variant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.catalog.replaced import Outdated
    from gemmahub.engines.contract import BrokenEntry
    from gemmahub.planning.fit import Fit
    from gemmahub.recommend.speed import SeenSpeed
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation
    from gemmahub.service.model_facts import ModelFacts
    from gemmahub.service.model_filter import Selection


@dataclass(frozen=True, slots=True)
class ListedModels:
    """Models with their fits; what lies ``beside`` them, each with the model that it belongs to;
    speeds that were measured here by reference; entries that are broken, files that were replaced.
    """

    rows: tuple[tuple[Variant, Fit], ...]
    beside: tuple[tuple[Variant, Variant | None], ...]
    speeds: Mapping[str, SeenSpeed]
    broken: tuple[BrokenEntry, ...]
    outdated: tuple[tuple[Variant, Outdated], ...]

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub list --json``."""
        return {
            "models": [
                variant.as_json()
                | {
                    "fit": fit.as_json(),
                    "measured_speed": speed_json(self.speeds.get(variant.reference)),
                }
                for variant, fit in self.rows
            ],
            "companions": [
                each.as_json() | {"of": owner and owner.reference} for each, owner in self.beside
            ],
            "broken": [
                {"path": str(entry.path), "store": entry.store, "reason": entry.reason}
                for entry in self.broken
            ],
        }


def listed_models(
    here: Installation, *, catalogue: bool, outdated: bool, selection: Selection
) -> ListedModels:
    """The models that are here, with ``catalogue`` also those that the catalogue knows.

    A filter shows models, what belongs to them, and nothing else.
    """
    models = here.registry.models(catalogue=catalogue)
    if outdated:
        models = models.only_outdated()
    machine = here.as_used()
    fits = here.fits(models.variants, machine)
    speeds = here.measured(machine).speeds
    engines = engines_by_format(here.plugins_manager) if selection.names_engines else {}

    def facts(row: tuple[Variant, Fit]) -> ModelFacts:
        seen = speeds.get(row[0].reference)
        rate = None if seen is None else seen.at(FILLED)
        return facts_of_variant(*row, speed=rate, engines=engines)

    rows = tuple(selection.of(zip(models.variants, fits, strict=True), facts))
    beside, replaced = owned(models), models.outdated
    if selection.conditions:
        kept = {variant.reference for variant, _ in rows}
        beside = [(each, owner) for each, owner in beside if owner and owner.reference in kept]
        replaced = tuple((each, why) for each, why in replaced if each.reference in kept)
    broken = () if selection.conditions else models.broken
    return ListedModels(rows, tuple(beside), speeds, broken, replaced)
