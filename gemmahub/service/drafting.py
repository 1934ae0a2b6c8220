"""Which file drafts tokens for a model, and whether that has made it faster here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.errors import BackendMissing, NotFound, UsageError
from gemmahub.text import one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gemmahub.catalog.records import CatalogFile
    from gemmahub.engines.contract import Adapter, Settings
    from gemmahub.memory import MemoryModel
    from gemmahub.registry.variants import Variant
    from gemmahub.service.installation import Installation


@dataclass(frozen=True, slots=True)
class DraftSpeeds:
    """Measured tokens a second of a model on this machine, None where nothing was measured."""

    with_drafts: float | None = None
    without: float | None = None

    @property
    def faster(self) -> bool:
        """Whether both were measured, and drafts make it faster."""
        return bool(self.with_drafts and self.without and self.with_drafts > self.without)

    @property
    def text(self) -> str:
        """As people read it."""
        if self.with_drafts and self.without:
            return (
                f"measured here: {self.with_drafts:,.1f} tokens/s with drafts, "
                f"{self.without:,.1f} without ({self.with_drafts / self.without:.2f}x)"
            )
        missing = "--no-draft" if self.with_drafts else "--draft"
        return f"to measure whether they help, get an answer with {missing}"


def check_draft_options(wanted: bool | None, drafter: Path | None) -> None:
    """Raises: UsageError."""
    if drafter is not None and wanted is False:
        raise UsageError("--drafter and --no-draft cannot be combined", "leave out one of them")


def drafts_here(here: Installation, variant: Variant) -> bool:
    """Whether the engine that would run a variant by itself lets others draft for it."""
    try:
        choices = [here.choose(artifact) for artifact in variant.artifacts[:1]]
    except BackendMissing:
        return False
    return any("drafter" in choice.offer.backend.capabilities for choice in choices)


def draft_model(variant: Variant, drafter: Path) -> MemoryModel:
    """What the memory of a drafter depends on.

    Raises: FormatError, IntegrityError for a file that cannot draft for this variant; GemmahubError
    where its memory is not known.
    """
    from gemmahub.formats.detect import open_model
    from gemmahub.memory.drafter import check_drafter, drafter_model

    found = open_model(drafter)
    for artifact in variant.artifacts[:1]:
        check_drafter(found, open_model(artifact.files[0] if artifact.files else artifact.path))
    return drafter_model(found)


def drafter_of(here: Installation, variant: Variant) -> Path | None:
    """The drafter that the catalogue names, where it is here, else one that lies beside the model
    and may fit it."""
    from gemmahub.stores.scan import drafter_beside

    known = known_drafter(here, variant)
    if known is not None:
        name = known.file.rpartition("/")[2]
        for other in here.registry.installed().companions:
            for artifact in other.artifacts:
                if artifact.path.name == name and _size(artifact.path) == known.bytes:
                    return artifact.path
    places = (place.path for place in variant.artifacts if place.format == "gguf")
    return next(filter(None, map(drafter_beside, places)), None)


def demanded_drafter(here: Installation, variant: Variant) -> Path:
    """As :func:`drafter_of`. Raises: NotFound where there is none."""
    found = drafter_of(here, variant)
    if found is not None:
        return found
    known = known_drafter(here, variant)
    if known is None:
        hint = "use --drafter FILE"
    else:
        hint = f"{command_line('pull', variant.reference, draft=True)} downloads it"
    raise NotFound(f"no drafter of {one_line(variant.reference)} is on this machine", hint)


def known_drafter(here: Installation, variant: Variant) -> CatalogFile | None:
    """The drafter that the catalogue names for a variant."""
    from gemmahub.planning.model import catalogued

    entry = catalogued(variant, here.registry.catalog)
    return entry[1].drafter if entry else None


def chosen_drafter(
    here: Installation, variant: Variant, settings: Settings, wanted: bool | None
) -> tuple[Path | None, DraftSpeeds | None]:
    """The file that drafts, and what was measured of it: the one of the settings, or a known one
    where it is ``wanted``, or where nobody said and drafts made this model faster here.

    Raises: NotFound where one is wanted and none is here.
    """
    from gemmahub.service.known_speeds import place_of_plans

    if wanted is False or variant.served is not None:
        return None, None
    place = "cpu" if settings.gpu_layers == 0 else place_of_plans(here.as_used())
    speeds = here.speeds.speeds(place)
    drafter = settings.drafter
    if drafter is None and wanted:
        drafter = demanded_drafter(here, variant)
    adapters = settings.adapters

    def measured(drafter: Path) -> DraftSpeeds:
        names = speed_name(variant, drafter, adapters), speed_name(variant, None, adapters)
        return DraftSpeeds(*map(speeds.get, names))

    if drafter is not None:
        return drafter, measured(drafter)
    plain = speed_name(variant, None, adapters)
    if any(name.startswith(f"{plain} + ") for name in speeds):
        drafter = drafter_of(here, variant)
    if drafter is None:
        return None, None
    found = measured(drafter)
    return (drafter if found.faster else None), found


def speed_name(variant: Variant, drafter: Path | None, adapters: Sequence[Adapter] = ()) -> str:
    """By which name the speeds of a model are kept: those with adapters, or with a file that
    drafts, are not the model's own. How strongly an adapter counts takes no time."""
    beside = [f"adapter {adapter.path.name}" for adapter in adapters]
    beside += [drafter.name] if drafter is not None else []
    return " + ".join((variant.reference, *beside))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def head_reference(here: Installation, variant: Variant) -> str:
    """What a source calls the draft head of a variant. Raises: NotFound."""
    from gemmahub.hub.failures import no_drafter

    known = known_drafter(here, variant)
    if known is None:
        raise no_drafter(variant.reference)
    return f"hf://{known.repository}/{known.file}"
