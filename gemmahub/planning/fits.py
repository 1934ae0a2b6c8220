"""Whether variants fit in what is free now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.planning.fit import Fit, fit_of
from gemmahub.planning.model import machine_of, model_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.catalog.records import Catalog
    from gemmahub.hardware import records as hardware
    from gemmahub.registry.variants import Variant


def fits_of(variants: Iterable[Variant], catalog: Catalog, machine: hardware.Machine) -> list[Fit]:
    """For each variant whether it fits in what is free; equal models are looked at once."""
    try:
        place = machine_of(machine)
    except GemmahubError as error:
        return [Fit.unknown(error.message) for _ in variants]
    known: dict[str, Fit] = {}
    found = []
    for variant in variants:
        key = variant.memory or variant.reference
        if key not in known:
            try:
                known[key] = fit_of(model_of(variant, catalog), place)
            except (GemmahubError, OSError) as error:
                known[key] = Fit.unknown(one_line(str(error)))
        found.append(known[key])
    return found
