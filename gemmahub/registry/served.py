"""A model that a server offers, as a variant: nothing of it is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.formats.kinds import EMBEDDING, TEXT, WHAT
from gemmahub.memory.families import embeds
from gemmahub.precision.report import stated_report
from gemmahub.registry.variants import Variant

if TYPE_CHECKING:
    from gemmahub.engines.contract import ServedModel


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
