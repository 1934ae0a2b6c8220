"""What a model file is: a model that answers, or something that belongs to one.

:func:`kind_of` decides for local files, folders, stores and the hub alike: keys and tensors first,
and the name only where nothing of the file was read. Sources: ggml-org/llama.cpp
``gguf-py/gguf/constants.py`` (``general.type``, ``adapter.type``, architectures, pooling types),
``convert_lora_to_gguf.py``, ``tools/imatrix/imatrix.cpp`` and ``tools/mtmd/clip-impl.h``;
huggingface/peft ``adapter_config.json``; sentence-transformers ``modules.json``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmahub.formats.tensor import Tensor

TEXT: Final = "text"
EMBEDDING: Final = "embedding"
DRAFTER: Final = "drafter"
PROJECTOR: Final = "projector"
ADAPTER: Final = "adapter"
IMATRIX: Final = "imatrix"
VOCABULARY: Final = "vocabulary"
MODULE: Final = "module"
PIECE: Final = "piece"

MODELS: Final = (TEXT, EMBEDDING)
"""The kinds that are models by themselves."""

WHAT: Final = {
    TEXT: "a language model",
    EMBEDDING: "an embedding model: it does not generate text",
    DRAFTER: "a drafter: it proposes tokens to the model that it was made for",
    PROJECTOR: "a projector (mmproj): it reads images or audio for a model",
    ADAPTER: "an adapter (LoRA): it changes the model that it was trained on",
    IMATRIX: "an importance matrix: what quantizing a model measured",
    VOCABULARY: "a vocabulary without weights",
    MODULE: "a module of an embedding model (sentence-transformers)",
    PIECE: "a piece of a model: what else it needs is not in this file",
}
"""Each kind in words."""

_DRAFTS: Final = re.compile(
    r"(?:^|[-_.0-9])(?:assistant|mtp|eagle3?|medusa|dflash|drafter)(?:[-_.]|$)", re.I
)
_NOT_CAUSAL: Final = ("dream", "llada", "llada-moe", "rnd1")  # diffusion: they do write texts
_CONTROL: Final = "controlvector"  # what is added between layers, as an adapter is
_POOLED: Final = (1, 2, 3, 4)  # mean, cls, last, rank (enum llama_pooling_type)
_LORA: Final = re.compile(r"\.lora_[abABm]")
_TEXT_PART: Final = re.compile(
    r"^(?!(?:v|a|mm|resampler)\.)", re.M
)  # a name that is none of theirs
_TABLE: Final = re.compile(r"^token_embd", re.M)
_SHARD: Final = re.compile(r".+-[0-9]{5}-of-[0-9]{5}\.safetensors", re.I)
_ENCODER: Final = re.compile(
    r"(?:Text|Bert|Encoder|Roberta)Model|.+For(?:SequenceClassification|MaskedLM)"
)

# By name alone: the parts of a path in a repository.
_NAMED: Final = (
    (PROJECTOR, re.compile(r"mmproj", re.I)),
    (IMATRIX, re.compile(r"imatrix", re.I)),
    (VOCABULARY, re.compile(r"(?:^|/)ggml-vocab-", re.I)),
    (MODULE, re.compile(r"(?:^|/)[0-9]+_(?:Dense|Pooling|Normalize|LayerNorm|CNN|LSTM)/", re.I)),
    (ADAPTER, re.compile(r"(?:^|[-_./])(?:[dqr]?s?lora|adapters?)(?![a-z])", re.I)),
    (
        DRAFTER,
        re.compile(
            r"(?:^|/)(?:mtp|draft(?:er)?s?)(?=[-_./])|[-_.](?:mtp|drafter|eagle3?)(?![a-z])"
            r"|gemma-?4(?!.*/).*[-_]assistant(?![a-z])",
            re.I,
        ),
    ),
    (EMBEDDING, re.compile(r"embed(?:ding|der)?(?!s)", re.I)),
)


def kind_of(
    name: str, metadata: Mapping[str, Any] | None = None, tensors: Iterable[Tensor] = ()
) -> str:
    """One of the keys of :data:`WHAT`.

    ``name`` is the file's, or its path in a repository. ``metadata`` is that of a GGUF file, the
    ``config.json`` of a folder, or that of a safetensors file; None where nothing was read, and the
    name has to do. So it has where the file says nothing but that it is no whole model.
    """
    if metadata is None:
        return next((kind for kind, pattern in _NAMED if pattern.search(name)), TEXT)
    # One text, a name a line: searching it costs less than looking at thousands of names.
    names = "\n".join([tensor.name for tensor in tensors])
    if metadata.get("general.type") or metadata.get("general.architecture"):
        kind = _kind_of_gguf(metadata, names)
        named = kind_of(name) if kind == PIECE else TEXT
        return kind if named in MODELS else named
    if _LORA.search(names) or metadata.get("peft_type"):
        return ADAPTER
    return _kind_of_folder(name, metadata, names)


def is_projector(name: str) -> bool:
    """Whether a GGUF file is named as llama.cpp's converter names projectors."""
    return name.lower().endswith(".gguf") and kind_of(name) == PROJECTOR


def is_drafter(architecture: str) -> bool:
    """Whether an architecture is that of draft heads."""
    return bool(_DRAFTS.search(architecture))


def shown_kind(kind: str, metadata: Mapping[str, Any]) -> str:
    """A kind in words, with the model that it is for where the file says one."""
    what = WHAT[kind]
    named = metadata.get("general.base_model.0.name")
    if not named and kind == DRAFTER:
        named = re.sub(r"[-_ ]*(?:assistant|mtp|drafter)\b", "", _text(metadata, "general.name"),
                       flags=re.I)  # fmt: skip
    if kind not in (DRAFTER, ADAPTER) or not isinstance(named, str) or not named.strip():
        return what
    head, separator, rest = what.partition(":")
    return f"{head} for {named.strip()}{separator}{rest}"


def _kind_of_gguf(metadata: Mapping[str, Any], names: str) -> str:
    architecture = _text(metadata, "general.architecture")
    type_ = _text(metadata, "general.type").casefold()
    if (
        type_ == "adapter"
        or "adapter.type" in metadata
        or architecture == _CONTROL
        or _LORA.search(names)
    ):
        return ADAPTER
    if type_ == "imatrix" or ".in_sum2" in names:
        return IMATRIX
    if type_ in ("mmproj", "projector") or architecture in ("clip", "mmproj"):
        return PROJECTOR
    if names and not _TEXT_PART.search(names):
        return PROJECTOR
    if type_ == "vocab" or not names:
        return VOCABULARY
    if is_drafter(architecture) or _is_head(names):
        return DRAFTER
    if _makes_vectors(architecture, metadata):
        return EMBEDDING
    return TEXT if _TABLE.search(names) else PIECE


def _is_head(names: str) -> bool:
    """Whether there are only the layers of a draft head: of the model it lacks the first one."""
    heads = "nextn." in names or "mtp." in names
    return heads and "blk.0." not in names


def _makes_vectors(architecture: str, metadata: Mapping[str, Any]) -> bool:
    """Whether a GGUF file pools what it computes, or looks at a text from both sides."""
    pooling = metadata.get(f"{architecture}.pooling_type")
    causal = metadata.get(f"{architecture}.attention.causal", True)
    named = any(part in architecture for part in ("embed", "bert", "t5encoder"))
    return named or pooling in _POOLED or (causal is False and architecture not in _NOT_CAUSAL)


def _kind_of_folder(name: str, config: Mapping[str, Any], names: str) -> str:
    """Of a ``config.json`` and the tensors beside it, or of a safetensors file alone."""
    text = config.get("text_config")
    text = text if isinstance(text, dict) else {}
    model_type = _text(config, "model_type") or _text(text, "model_type")
    given = config.get("architectures")
    classes = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    if not model_type and "in_features" in config and "out_features" in config:
        return MODULE
    if is_drafter(model_type) or any("Assistant" in each for each in classes):
        return DRAFTER
    if "embed" in model_type or any(map(_ENCODER.search, classes)):
        return EMBEDDING
    if True in (config.get("use_bidirectional_attention"), text.get("use_bidirectional_attention")):
        return EMBEDDING
    return PIECE if not model_type and _SHARD.fullmatch(name) and names else TEXT


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""
