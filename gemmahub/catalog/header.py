"""A GGUF header made from the catalogue: what llama.cpp needs to say what a model would take.

The file is sparse: it has the full length of the model and takes some ten KB on disk. It has no
vocabulary and no weights. The keys are those that llama.cpp reads (``src/llama-model.cpp`` of
ggml-org/llama.cpp@0c1e57098); those of one family alone are in ``memory/families/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.errors import GemmahubError
from gemmahub.formats.gguf_writer import GgufValue, write_gguf
from gemmahub.memory.families import find

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.catalog.records import Architecture, CatalogVariant, Model, StoredTypes

_EPSILON: Final = 1e-6  # of the norms; no figure of memory depends on it


def header_metadata(architecture: Architecture) -> dict[str, Any]:
    """The GGUF metadata that llama.cpp needs for that architecture, without a vocabulary."""
    a = architecture
    layers = range(a.layers)
    found: dict[str, Any] = {
        "context_length": a.context_length,
        "embedding_length": a.embedding_length,
        "block_count": a.layers,
        "feed_forward_length": _one_or_all(list(a.feed_forward_length)),
        "attention.head_count": a.heads,
        "attention.head_count_kv": _one_or_all([a.kv_heads(i) for i in layers]),
        "attention.layer_norm_rms_epsilon": _EPSILON,
        "attention.key_length": a.head_dim_global,
        "attention.value_length": a.head_dim_global,
        "attention.sliding_window": a.sliding_window,
        "vocab_size": a.vocabulary,
    }
    if a.final_softcap:
        found["final_logit_softcapping"] = a.final_softcap
    if a.experts:
        found |= {"expert_count": a.experts, "expert_used_count": a.experts_used}
        found["expert_feed_forward_length"] = a.expert_feed_forward_length
    if (family := find(a.name)) is not None:
        if family.pattern != "implied":
            local = GgufValue("bool", [a.is_local(i) for i in layers])
            found["attention.sliding_window_pattern"] = local
        found |= family.header_keys(memory_architecture(a))
    general = {"general.architecture": a.name, "tokenizer.ggml.model": "no_vocab"}
    return general | {f"{a.name}.{key}": value for key, value in found.items()}


def write_header(architecture: Architecture, types: StoredTypes, path: Path) -> int:
    """Write the header of a file that is described by ``types``; its full length in bytes.

    Raises: OSError when the file system refuses, also a file of that length.
    """
    tensors = variant_tensors(architecture, types)
    metadata = header_metadata(architecture)
    if types.vocabulary:
        metadata[f"{architecture.name}.vocab_size"] = types.vocabulary
    return write_gguf(path, metadata, [(t.name, t.shape, t.type) for t in tensors])


def write_catalog_header(model: Model, variant: CatalogVariant, path: Path) -> int:
    """Write the header of a catalogued variant; its full length in bytes.

    Raises: GemmahubError when its types are not known; OSError as :func:`write_header` does.
    """
    if variant.types is None:
        raise GemmahubError(
            f"the tensor types of {variant.reference} are unknown",
            "pull the file: its header lists them",
        )
    return write_header(model.architecture, variant.types, path)


def _one_or_all(values: list[int]) -> int | list[int]:
    """One number where all layers are alike, as llama.cpp's converter writes it."""
    return values if len(set(values)) > 1 else values[0]
