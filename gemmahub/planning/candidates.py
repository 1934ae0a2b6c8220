"""What may be recommended: the catalogue's variants and what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError
from gemmahub.formats.kinds import TEXT
from gemmahub.memory.families import embeds
from gemmahub.planning.model import catalogued_memory, image_memory, images_of, model_of
from gemmahub.recommend.records import NOTHING_MEASURED, Candidate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gemmahub.catalog.records import Catalog, Model
    from gemmahub.recommend.records import Measured
    from gemmahub.registry.variants import Variant


def candidates_of(
    installed: Iterable[Variant],
    catalog: Catalog,
    measured: Measured = NOTHING_MEASURED,
    *,
    models: Iterable[Model] | None = None,
) -> list[Candidate]:
    """Installed variants and those of the catalogue, or of ``models`` alone.

    Left out is what writes no text, what no engine here can load, what no memory is known of, and
    what the catalogue has from one public source only, or by its label, while it is not here.
    """
    wanted = tuple(catalog.models if models is None else models)
    names = {model.name for model in wanted}
    found = [
        candidate
        for variant in installed
        if variant.kind == TEXT and not variant.problem
        if models is None or variant.reference.partition(":")[0] in names
        for candidate in installed_candidates(variant, catalog, measured)
    ]
    here = {candidate.reference for candidate in found}
    for model in wanted:
        for variant in model.variants if not embeds(model.architecture.name) else ():
            if variant.types is None or not variant.checked or variant.reference in here:
                continue
            architecture, weights = catalogued_memory(model.architecture, variant.types)
            found.append(
                Candidate(
                    reference=variant.reference,
                    model=model,
                    label=variant.label,
                    training=variant.training,
                    architecture=architecture,
                    weights=weights,
                    images=image_memory(variant),
                    measured=measured.speeds.get(variant.reference),
                    loss=measured.losses.get(variant.reference),
                )
            )
    return found


def installed_candidates(
    variant: Variant, catalog: Catalog, measured: Measured = NOTHING_MEASURED
) -> Iterator[Candidate]:
    """What is here as a candidate; none where no memory is known of it."""
    try:
        architecture, weights = model_of(variant, catalog)
    except GemmahubError:
        return  # nothing can be promised
    yield Candidate(
        reference=variant.reference,
        model=catalog.model(variant.reference.partition(":")[0]),
        label=variant.precision.label,
        training=variant.precision.training.value,
        architecture=architecture,
        weights=weights,
        installed=True,
        images=images_of(variant, catalog),
        measured=measured.speeds.get(variant.reference),
        loss=measured.losses.get(variant.reference),
    )
