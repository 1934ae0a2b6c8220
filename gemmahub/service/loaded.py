"""The use case: what engines hold in memory now."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gemmahub.errors import GemmahubError
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import LoadedModel
    from gemmahub.engines.manager import BackendOffer
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class LoadedRow:
    """A model in memory; ``variant`` is what it is, None where no store here has it."""

    model: LoadedModel
    variant: Variant | None = None

    @property
    def precision(self) -> str:
        """Measured where the file is here, else the engine's own label."""
        return self.variant.precision.short if self.variant else self.model.label

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
    """What the engines that are servers hold in memory. One that fails is a remark."""
    manager = here.plugins_manager
    models: list[LoadedModel] = []
    remarks: list[str] = []
    for offer in manager.backends():
        if not _is_server(offer):
            continue
        answer = manager.availability(offer)
        if not answer.ok:
            remarks.append(f"{offer.backend.name}: {answer.reason}")
            continue
        try:
            models += _loaded_by(offer)
        except GemmahubError as error:
            remarks.append(f"{offer.backend.name}: {error.message}")
    known = _by_reference(here.registry.installed().variants) if models else {}
    rows = tuple(LoadedRow(model, known.get(model.reference.casefold())) for model in models)
    return LoadedModels(rows, tuple(remarks))


def _is_server(offer: BackendOffer) -> bool:
    """Whether the backend says what it has loaded: a session of ours dies with its command."""
    from gemmahub.engines.contract import Backend

    return getattr(type(offer.backend), "loaded", Backend.loaded) is not Backend.loaded


def _loaded_by(offer: BackendOffer) -> list[LoadedModel]:
    try:
        return list(offer.backend.loaded())
    except GemmahubError:
        raise
    except Exception as error:
        raise GemmahubError(
            one_line(f"loaded() failed: {type(error).__name__}: {error}")
        ) from error


def _by_reference(variants: Iterable[Variant]) -> dict[str, Variant]:
    """Variants by the names that stores have for them."""
    return {
        artifact.reference.casefold(): variant
        for variant in variants
        for artifact in variant.artifacts
        if artifact.reference
    }
