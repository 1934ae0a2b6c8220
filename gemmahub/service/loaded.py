"""The use case: what engines hold in memory now."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.precision.report import stated_report
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import LoadedModel
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class LoadedRow:
    """A model in memory; ``variant`` is what it is, None where no store here has it."""

    model: LoadedModel
    variant: Variant | None = None

    @property
    def precision(self) -> str:
        """Measured where the file is here, else what the engine states."""
        if self.variant is not None:
            return self.variant.precision.short
        return stated_report(self.model.label, self.model.backend).summary

    @property
    def mismatch(self) -> str:
        """What is to be said when engine and file do not agree on the label; empty when they do."""
        measured = self.variant.precision.label if self.variant else None
        declared = self.model.label
        if not measured or not declared or measured.casefold() == declared.casefold():
            return ""
        return f"{self.model.name}: {self.model.backend} says {declared}, the file says {measured}"

    def as_json(self) -> dict[str, Any]:
        """The object of ``gemmahub ps --json``."""
        found = asdict(self.model)
        found["precision"] = self.variant.precision.as_json() if self.variant else None
        return found | {"mismatch": self.mismatch or None}


@dataclass(frozen=True, slots=True)
class LoadedModels:
    """All of them, and why an engine could not be asked."""

    rows: tuple[LoadedRow, ...]
    remarks: tuple[str, ...] = ()


def loaded_models(here: Installation) -> LoadedModels:
    """What the engines that are servers hold in memory, and servers of ours that run now. One that
    fails is a remark."""
    from gemmahub.engines.servers import models_in_memory
    from gemmahub.http.limits import ExchangeError
    from gemmahub.http.values import NotJson
    from gemmahub.service.serving.known import known_servers

    models, remarks = models_in_memory(here.plugins_manager)
    for server in known_servers(here.config.data):
        try:
            models += server.loaded()
        except (ExchangeError, NotJson) as error:
            remarks.append(f"{one_line(server.address)}: {error}")
    known = _by_reference(here.registry.installed().variants) if models else {}
    rows = tuple(LoadedRow(model, known.get(model.reference.casefold())) for model in models)
    return LoadedModels(rows, tuple(remarks))


def _by_reference(variants: Iterable[Variant]) -> dict[str, Variant]:
    """Variants by their references, and by the names that stores have for them."""
    return {name: variant for variant in variants for name in names_of(variant)}


def names_of(variant: Variant) -> set[str]:
    """What a model may be called where it is loaded, casefolded."""
    names = [variant.reference, *(artifact.reference for artifact in variant.artifacts)]
    return {name.casefold() for name in names if name}
