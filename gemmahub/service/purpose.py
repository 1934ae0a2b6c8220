"""Whether a file can do what is asked of it, said before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.errors import LoadFailed, UsageError
from gemmahub.text import one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from gemmahub.registry.variants import Variant

_MODELS: Final = "gemmahub list shows the installed models"
_USES: Final = {
    "drafter": "`gemmahub run MODEL --drafter FILE` uses it beside its model",
    "adapter": "`gemmahub run MODEL --adapter FILE` uses it with its model",
    "projector": "it is used automatically when it is beside its model",
    "imatrix": _MODELS,
    "vocabulary": _MODELS,
    "module": "it belongs to the model in the folder above it",
    "piece": _MODELS,
}
"""What to do with a file of each kind that is no model."""


def check_is_model(variant: Variant) -> None:
    """Raises: UsageError for a file that only belongs to a model."""
    if not variant.is_model:
        what = variant.what.partition(":")[0]
        raise UsageError(
            f"{one_line(variant.reference)} is {what}, not a model", _USES[variant.kind]
        )


def check_loadable(variant: Variant) -> None:
    """Raises: LoadFailed for a file that no engine here can load, as its header says."""
    if variant.problem:
        raise LoadFailed(
            f"{one_line(variant.reference)} can be neither planned nor run: {variant.problem}",
            variant.remedy or "use another file of the model: see gemmahub search",
        )


def check_words(variant: Variant) -> None:
    """Raises: LoadFailed for a file without a vocabulary, with which an engine aborts at the first
    text; its memory can be planned."""
    from gemmahub.engines.llama_files import NO_VOCABULARY
    from gemmahub.formats.gguf_values import VOCABULARY_KIND

    kind = variant.header.metadata.get(VOCABULARY_KIND) if variant.header else None
    if kind in NO_VOCABULARY:
        raise LoadFailed(
            f"{one_line(variant.reference)} has no vocabulary ({VOCABULARY_KIND} is {kind}): "
            "it can be planned but not run",
            "use another file of the model: see gemmahub search",
        )


def check_purpose(variant: Variant, needs: str = "") -> None:
    """Raises: UsageError for what is no model, for a model that embeds where it should write, and
    the other way round."""
    name, wanted = one_line(variant.reference), needs == "embed"
    check_is_model(variant)
    if variant.embeds and not wanted:
        raise UsageError(
            f"{name} is {variant.what}",
            f"use `{command_line('embed', name, 'TEXT')}`, or another model for answers",
        )
    if wanted and not variant.embeds:
        raise UsageError(
            f"{name} writes text: it cannot embed",
            f"use `{command_line('run', name)}`, or EmbeddingGemma for embeddings",
        )
