"""What a load depends on, from ``config.json`` and the headers of the weights. Pure Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, GemmahubError, LoadFailed
from gemmahub.formats.detect import open_model
from gemmahub.formats.folder import CONFIG
from gemmahub.memory import UnknownArchitecture, from_config, from_gguf
from gemmahub.memory.ranges import RANGES
from gemmahub.text import one_line
from gemmahub_transformers.engine import GGUF
from gemmahub_transformers.packings import method_of, transformers_loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gemmahub.engines.contract import Artifact, Loadable
    from gemmahub.formats.tensor import Tensor
    from gemmahub.memory import MemoryArchitecture

_PLAIN: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_MOST_STREAMS: Final = 64
_EMBEDDING: Final = re.compile(r"(^|\.)(embed_tokens|token_embd)\.weight$")
# The towers beside the text model in checkpoints of Gemma3ForConditionalGeneration, Gemma3n and
# Gemma4 (huggingface/transformers, ``models/*/modeling_*.py``).
NOT_TEXT: Final = frozenset(
    {
        "vision_tower",
        "multi_modal_projector",
        "audio_tower",
        "embed_audio",
        "embed_vision",
        "vision_embedder",
    }
)
_NOT_LOADED: Final = re.compile(r"^rope_freqs\.|\.rotary_emb\.")


@dataclass(frozen=True, slots=True)
class CheckpointHeader:
    """A model as Transformers would load it; ``architecture`` says where its memory is not known.

    ``path`` is the folder, or the GGUF file; ``config`` that of the folder, of a GGUF file its
    metadata. ``tensors`` are those that stay in memory. ``method`` is how they are packed, by
    Transformers' own name (``bitsandbytes``), empty where they are plain. ``dtype`` is what the
    model computes in, by PyTorch's name. ``text_only`` says that the towers for images and sound,
    which the checkpoint has, are left out. ``soft_capped``: attention scores are capped, for which
    PyTorch has no fused kernel. ``loads`` says whether Transformers reads it. ``streams`` are the
    copies of the hidden state that go through the layers side by side (``altup_num_inputs``).
    """

    path: Path
    config: Mapping[str, Any]
    architecture: MemoryArchitecture | UnknownArchitecture
    tensors: tuple[Tensor, ...]
    method: str
    dtype: str
    text_only: bool
    soft_capped: bool
    vocabulary: int
    loads: Loadable
    streams: int = 1

    @property
    def gguf(self) -> bool:
        """Whether it is a GGUF file, whose weights are unpacked."""
        return self.path.is_file()

    @property
    def known(self) -> MemoryArchitecture:
        """The architecture.

        Raises: BackendError where its memory is not known.
        """
        if isinstance(self.architecture, UnknownArchitecture):
            name = one_line(self.architecture.name, 60) or "nameless"
            raise BackendError(
                f"the memory use of a {name} model in PyTorch is unknown: "
                f"{self.architecture.reason}",
                "plan Gemma 3, 3n or 4; other models load without a plan",
            )
        return self.architecture

    @property
    def layers(self) -> int:
        """Number of decoder layers, 0 where it is not known."""
        if not isinstance(self.architecture, UnknownArchitecture):
            return len(self.architecture.layers)
        return _number(self.config, "num_hidden_layers", "layers")

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained for, 0 where it is not known."""
        if not isinstance(self.architecture, UnknownArchitecture):
            return self.architecture.context_length
        return _number(self.config, "max_position_embeddings", "context_length")

    def weights_bytes(self, item_bytes: int) -> int:
        """Of all tensors that stay in memory, when plain ones are of ``item_bytes``.

        Packed ones keep their size; a GGUF file is unpacked as a whole.
        """
        total = 0
        for tensor in self.tensors:
            plain = self.gguf or tensor.type in _PLAIN
            total += tensor.parameters * item_bytes if plain else _bytes(tensor)
        return total


def place_of(artifact: Artifact) -> Path:
    """The folder of a model, also where one of its files names it; a GGUF file itself.

    Raises: LoadFailed where there is none.
    """
    path = artifact.path
    if artifact.format == GGUF:
        if not path.is_file():
            raise LoadFailed(f"there is no file {one_line(str(path), 200)}", "see `gemmahub list`")
        if len(artifact.files) > 1:
            raise LoadFailed(
                f"{one_line(path.name, 120)} is one of {len(artifact.files)} parts, and "
                "Transformers reads GGUF files of one part only",
                "use llama.cpp for it, or a folder of safetensors",
            )
        return path
    folder = path if path.is_dir() else path.parent
    if not path.exists() or not (folder / CONFIG).is_file():
        raise LoadFailed(
            f"there is no folder with a config.json at {one_line(str(path), 200)}",
            "name the folder of a safetensors model; see `gemmahub list`",
        )
    return folder


def read_header(place: Path) -> CheckpointHeader:
    """The model of a folder or a GGUF file; files without weights are enough.

    Raises: LoadFailed for a model that cannot be read, or is damaged or incomplete.
    """
    try:
        model = open_model(place)
    except GemmahubError as error:
        if place.is_dir() and not any(place.glob("*.safetensors")) and any(place.glob("*.bin")):
            raise LoadFailed(
                f"{one_line(place.name, 120)} has its weights as pickles (.bin), which can run "
                "code, and no safetensors",
                "use a safetensors folder of the model; most repositories have one",
            ) from None
        raise LoadFailed(error.message, error.hint) from None
    config = model.metadata
    if place.is_file():
        architecture = from_gguf(config, model.tensors)
        kept = [t for t in model.tensors if not _NOT_LOADED.search(t.name)]
        return CheckpointHeader(
            place, config, architecture, tuple(kept), "", "float32", False,
            config.get(f"{architecture.name}.attn_logit_softcapping") is not None,
            getattr(architecture, "vocabulary", 0), transformers_loads(model),
        )  # fmt: skip
    architecture = from_config(config)
    method = method_of(config)
    text_only = isinstance(config.get("text_config"), dict) and not method
    return CheckpointHeader(
        path=place,
        config=config,
        architecture=architecture,
        tensors=tuple(_kept(model.tensors, text_only)),
        method=method,
        dtype=_dtype(config, model.tensors),
        text_only=text_only,
        soft_capped=_said(config, "attn_logit_softcapping") is not None,
        vocabulary=_number(config, "vocab_size", "vocabulary")
        or getattr(architecture, "vocabulary", 0),
        loads=transformers_loads(model),
        streams=_streams(config),
    )


def _streams(config: Mapping[str, Any]) -> int:
    said = _said(config, "altup_num_inputs")
    return said if isinstance(said, int) and 1 <= said <= _MOST_STREAMS else 1


def _kept(tensors: Iterable[Tensor], text_only: bool) -> Iterable[Tensor]:
    """The tensors that are a part of the model.

    An output beside the embedding stays, also where config.json says that they are one: where the
    numbers differ, Transformers keeps both.
    """
    for tensor in tensors:
        beside = text_only and NOT_TEXT.intersection(tensor.name.split("."))
        if not beside and not _NOT_LOADED.search(tensor.name):
            yield tensor


def _bytes(tensor: Tensor) -> int:
    if tensor.bytes is None:
        raise LoadFailed(
            f"tensor {one_line(tensor.name[:80], 80)} has the type "
            f"{one_line(tensor.type, 60)}, of unknown size",
            "use a folder in BF16, or a GGUF file with llama.cpp",
        )
    return tensor.bytes


def _dtype(config: Mapping[str, Any], tensors: Iterable[Tensor]) -> str:
    """The type that the folder names, else that of its embedding, else of any plain tensor."""
    for key in ("dtype", "torch_dtype"):
        said = str(_said(config, key)).removeprefix("torch.")
        if said in _PLAIN.values():
            return said
    listed = list(tensors)
    named = [tensor for tensor in listed if _EMBEDDING.search(tensor.name)]
    kinds = (_PLAIN.get(tensor.type) for tensor in (*named, *listed))
    return next(filter(None, kinds), "bfloat16")


def _said(config: Mapping[str, Any], key: str) -> Any:
    """What the configuration, or its text part, says; None where neither does."""
    text = config.get("text_config")
    for said in (config, text if isinstance(text, dict) else {}):
        if said.get(key) is not None:
            return said[key]
    return None


def _number(config: Mapping[str, Any], key: str, field: str) -> int:
    """A number of the configuration or of its text part; 0 where none is in the field's range."""
    value = _said(config, key)
    return int(value) if value in RANGES[field] and value else 0
