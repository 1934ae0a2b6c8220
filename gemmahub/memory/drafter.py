"""What drafts tokens for a model: whether a file can, and what its memory depends on.

A head reads the caches of its model and has none of its own; a small model with the same words is
loaded as any other. See ``common/speculative.cpp`` of llama.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.errors import FormatError, GemmahubError
from gemmahub.memory.architecture import UnknownArchitecture
from gemmahub.memory.families import drafts_for
from gemmahub.memory.gguf_architecture import from_gguf
from gemmahub.memory.weights import weights_of
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.formats.reader import ModelFile
    from gemmahub.memory.stored import MemoryModel


def is_head(drafter: ModelFile) -> bool:
    """Whether a file is a head, which answers nothing by itself."""
    return bool(drafts_for(_architecture(drafter)))


def check_drafter(drafter: ModelFile, model: ModelFile) -> None:
    """Raises: FormatError for a file that cannot draft for this model."""
    why = ""
    if is_head(drafter) and not _continues(drafter, model):
        why = "it is the draft head of another model"
    elif not _words(drafter) or _words(drafter) != _words(model):
        why = "its vocabulary differs"
    if why:
        raise FormatError(
            f"{one_line(drafter.files[0].name, 80)} cannot draft for this model: {why}",
            "use one that was made for it, or none",
        )


def drafter_model(drafter: ModelFile) -> MemoryModel:
    """What its memory depends on. Raises: GemmahubError where that is not known."""
    found = from_gguf(drafter.metadata, drafter.tensors)
    weights = weights_of(drafter.tensors)
    why = found.reason if isinstance(found, UnknownArchitecture) else ""
    if isinstance(found, UnknownArchitecture) or len(weights.layers) != len(found.layers):
        why = why or "its layers differ from what it states"
        raise GemmahubError(
            f"the memory use of {one_line(drafter.files[0].name, 80)} is unknown: {why}",
            "--no-draft plans without it",
        )
    return found, weights


def _continues(head: ModelFile, model: ModelFile) -> bool:
    """Whether a head continues what this model computes."""
    name, wanted = _architecture(head), _architecture(model)
    width = head.metadata.get(f"{name}.embedding_length_out")
    return (
        drafts_for(name) == wanted
        and width is not None
        and width == model.metadata.get(f"{wanted}.embedding_length")
    )


def _architecture(model: ModelFile) -> str:
    return str(model.metadata.get("general.architecture"))


def _words(model: ModelFile) -> tuple[Any, ...]:
    """What tells one vocabulary from another; empty for a file that has no words."""
    table = next((t for t in model.tensors if t.name == "token_embd.weight"), None)
    if table is None:
        return ()
    return (table.shape[-1], model.metadata.get("tokenizer.ggml.model"))
