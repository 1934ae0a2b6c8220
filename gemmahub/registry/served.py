"""A model that a server offers, as a variant; measured only where it is a file here, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.errors import BackendMissing, NotFound
from gemmahub.formats.kinds import EMBEDDING, TEXT, WHAT
from gemmahub.memory.families import embeds
from gemmahub.precision.report import stated_report
from gemmahub.registry.variants import Variant
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.engines.contract import ServedModel
    from gemmahub.engines.servers import ServedModels
    from gemmahub.registry.variants import Models


def served_variants(models: Iterable[ServedModel], installed: Models) -> list[Variant]:
    """The variants of models that servers offer. Of one whose file is surely here (a store has it,
    with a known checksum, and the server states the label that it has) the precision is the
    file's, which was measured."""
    files = {
        str(place.path): file
        for file in installed.files
        for place in file.artifacts
        if place.sha256
    }
    found = []
    for model in models:
        file = files.get(model.file) if model.file else None
        label = (file.precision.label or "") if file else ""
        same = bool(label) and label.casefold() == model.precision.casefold()
        found.append(_measured(model, file) if file and same else served_variant(model))
    return found


def named_model(name: str, served: ServedModels) -> ServedModel | None:
    """The model under that reference; None where no server is called so.

    Raises: BackendMissing where its server is one that fails, with the reason.
    """
    for model in served.models:
        if model.reference == name:
            return model
    for entry in served.broken:
        if entry.reference.endswith("://") and name.startswith(entry.reference):
            raise BackendMissing(
                f"{one_line(name)} cannot be used: {entry.reason}", "gemmahub list shows it"
            )
    return None


def missing_at_server(name: str, served: ServedModels) -> NotFound | None:
    """The failure for a model that a server does not have; None where no server is called so."""
    scheme = f"{name.partition('://')[0]}://"
    offered = [one.reference for one in served.models if one.reference.startswith(scheme)]
    if not offered:
        return None
    near = nearest(name, offered) or offered[:5]
    return NotFound(f"no server offers {one_line(name)}", f"it has: {', '.join(near)}")


def _measured(model: ServedModel, file: Variant) -> Variant:
    note = f"measured from {file.reference}, the file that {model.place} reports as loaded"
    return replace(
        served_variant(model),
        parameters=file.parameters,
        size_bytes=file.size_bytes,
        precision=file.precision,
        architecture=file.architecture,
        kind=file.kind,
        what=file.what,
        notes=(one_line(note, 300),),
    )


def served_variant(model: ServedModel) -> Variant:
    """The variant, by what its server states."""
    kind = EMBEDDING if embeds(model.architecture) else TEXT
    return Variant(
        reference=model.reference,
        name=model.name,
        format="served",
        parameters=0,
        size_bytes=None,
        precision=stated_report(model.precision, model.place or model.backend),
        architecture={
            "name": model.architecture or None,
            "layers": None,
            "embedding_length": None,
            "context_length": model.context_trained,
            "sliding_window": None,
        },
        capabilities=("text", "image") if model.images else ("text",),
        chat_template=None,
        served=model,
        kind=kind,
        what=WHAT[kind],
    )
