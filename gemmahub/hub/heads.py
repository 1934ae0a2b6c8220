"""Heads that draft for a model: the one that the catalogue names, else one of its repository."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.errors import NotFound
from gemmahub.formats.kinds import DRAFTER, kind_of
from gemmahub.hub.failures import no_drafter
from gemmahub.precision.labels import label_in_name, model_sizes
from gemmahub.text import format_bytes, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.catalog.records import Catalog, CatalogFile
    from gemmahub.hub.records import HubFile, HubModel


def known_head(catalog: Catalog, model: HubModel) -> CatalogFile | None:
    """The head that the catalogue names for a model."""
    name, _, variant = model.catalogued.partition(":")
    known = catalog.variant(name, variant)
    return known.drafter if known else None


def head_beside(model: HubModel) -> HubFile | None:
    """A head for a GGUF in its own repository: of its size where both names say one, of its label
    before one of none and others, the smallest of those."""
    if model.format != "gguf":
        return None
    sizes = model_sizes(model.files[0].name) or model_sizes(model.repository.name)
    ranked = []
    for file in model.repository.files:
        if not file.name.lower().endswith(".gguf") or kind_of(file.path) != DRAFTER:
            continue
        own = model_sizes(file.name)
        if not own or not sizes or own & sizes:
            label = label_in_name(file.name)
            fits = 0 if label == model.label else 1 if label is None else 2
            ranked.append((fits, file.size, file.path, file))
    return min(ranked, key=lambda each: each[:3])[-1] if ranked else None


def with_head(
    model: HubModel, catalog: Catalog, look: Callable[[CatalogFile], HubFile | None]
) -> HubModel:
    """The model with the head that drafts for it. Raises: NotFound."""
    known = known_head(catalog, model)
    found = head_beside(model) if known is None else look(known)
    if found is None and known is None:
        raise no_drafter(model.catalogued or model.reference)
    if found is None and known is not None:
        raise NotFound(
            f"{known.repository} no longer has {known.file}", "pull the model without --draft"
        )
    return replace(model, drafter=found)


def with_head_left(model: HubModel, catalog: Catalog) -> HubModel:
    """The model with a note on the head that is left, and on the command that takes it."""
    known, beside = known_head(catalog, model), head_beside(model)
    if known is not None:
        name, size = known.file, known.bytes
    elif beside is not None:
        name, size = beside.name, beside.size
    else:
        return model
    command = command_line("pull", model.catalogued or model.reference, "--draft")
    shown = f"{one_line(name, 120)}, {format_bytes(size)}"
    note = f"its draft head is not fetched ({shown}): run {command}"
    return replace(model, notes=(*model.notes, note))
