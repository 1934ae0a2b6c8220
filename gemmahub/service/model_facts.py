"""What a filter knows of a model: of one that is here, of the catalogue's, of a search result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.precision.training import QAT, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gemmahub.engines.manager import PluginManager
    from gemmahub.planning.fit import Fit
    from gemmahub.registry.variants import Variant
    from gemmahub.service.searching import FileRow


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a filter knows of a model, by its keys; None and empty for what is not known. ``size``
    in bytes, ``context`` in tokens, ``speed`` in tokens a second."""

    name: tuple[str, ...]
    format: tuple[str, ...]
    kind: tuple[str, ...]
    label: tuple[str, ...]
    engine: tuple[str, ...]
    store: tuple[str, ...]
    bits: float | None
    params: int | None
    size: int | None
    context: int | None
    speed: float | None
    fits: bool | None
    qat: bool | None
    installed: bool

    def value(self, key: str) -> Any:
        """What it has under that key."""
        return getattr(self, key)


def engines_by_format(manager: PluginManager) -> dict[str, tuple[str, ...]]:
    """The names of the backends that run each format."""
    found: dict[str, list[str]] = {}
    for offer in manager.backends():
        for form in offer.backend.formats:
            found.setdefault(form, []).append(offer.backend.name)
    return {form: tuple(names) for form, names in found.items()}


def facts_of_variant(
    variant: Variant,
    fit: Fit,
    *,
    speed: float | None = None,
    engines: Mapping[str, Collection[str]] | None = None,
) -> ModelFacts:
    """What is known of a model that is here or in the catalogue."""
    precision, served = variant.precision, variant.served
    backends = (served.backend,) if served is not None else (engines or {}).get(variant.format, ())
    return ModelFacts(
        name=(variant.reference, variant.name),
        format=(variant.format,),
        kind=(variant.kind,),
        label=(precision.label or "",),
        engine=tuple(backends),
        store=variant.places,
        bits=precision.bits_per_weight,
        params=variant.parameters or None,
        size=variant.size_bytes,
        context=fit.largest_context if fit.fits else None,
        speed=speed,
        fits=fit.fits,
        qat=_qat(precision.training.value),
        installed=variant.runnable,
    )


def _qat(training: str) -> bool | None:
    return None if training == UNKNOWN else training == QAT


def facts_of_file(
    repository: str, row: FileRow, engines: Mapping[str, Collection[str]] | None = None
) -> ModelFacts:
    """What is known of a file in a search result."""
    file = row.file
    return ModelFacts(
        name=(file.reference, file.catalogued, repository),
        format=(file.format,),
        kind=(file.kind,),
        label=(file.label or "",),
        engine=tuple((engines or {}).get(file.format, ())),
        store=(),
        bits=row.bits_per_weight,
        params=None,
        size=file.size_bytes,
        context=row.fit.largest_context if row.fit.fits else None,
        speed=None,
        fits=row.fit.fits,
        qat=file.qat,
        installed=False,
    )
