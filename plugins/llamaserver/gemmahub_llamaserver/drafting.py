"""Speculative decoding: a small model, or a head of Gemma 4, drafts tokens that the model checks.

A head (``gemma4-assistant``) reads the caches of its model and has none of its own; see
``common/speculative.cpp`` and ``src/models/gemma4-assistant.cpp`` of llama.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, IntegrityError, LoadFailed
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile

DRAFTED_TOKENS: Final = 3
"""Tokens that are drafted at once: llama.cpp's default."""

_HEAD: Final = "-assistant"  # what follows the architecture of its model


def draft_type(drafter: Path, model: ModelFile) -> str:
    """How llama-server calls what this file does for a model: ``--spec-type``.

    Raises: LoadFailed for a file that is no model, or one for another model.
    """
    from gemmahub.formats.detect import open_model

    name = one_line(drafter.name, 80)
    if not drafter.is_file():
        raise LoadFailed(f"there is no drafter {one_line(str(drafter))}", "name another file")
    try:
        found = open_model(drafter)
    except (FormatError, IntegrityError) as error:
        raise LoadFailed(f"{name} cannot draft: {error.message}", error.hint) from None
    is_head = _architecture(found).endswith(_HEAD)
    if is_head and not _fits(found, model):
        raise _for_another(name, "it is a head of another model")
    if not _words(found) or _words(found) != _words(model):
        raise _for_another(name, "its vocabulary is another one")
    return "draft-mtp" if is_head else "draft-simple"


def _fits(head: ModelFile, model: ModelFile) -> bool:
    """Whether a head continues what this model computes."""
    own, its_model = _architecture(head), _architecture(model)
    width = head.metadata.get(f"{own}.embedding_length_out")
    return (
        own == its_model + _HEAD
        and width is not None
        and width == model.metadata.get(f"{its_model}.embedding_length")
    )


def _architecture(model: ModelFile) -> str:
    return str(model.metadata.get("general.architecture", ""))


def _words(model: ModelFile) -> tuple[Any, ...]:
    """What tells one vocabulary from another; empty for a file that has no words."""
    table = next((t for t in model.tensors if t.name == "token_embd.weight"), None)
    if table is None:
        return ()
    return (table.shape[-1], model.metadata.get("tokenizer.ggml.model"))


def _for_another(name: str, why: str) -> LoadFailed:
    return LoadFailed(
        f"{name} cannot draft for this model: {why}", "name one that was made for it, or none"
    )
