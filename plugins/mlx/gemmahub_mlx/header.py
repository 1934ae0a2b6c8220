"""What memory depends on, from ``config.json`` and the headers of the safetensors. Pure Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, GemmahubError, LoadFailed
from gemmahub.formats.folder import read_config, safetensors_shards
from gemmahub.formats.reader import MOST_TENSORS
from gemmahub.formats.safetensors import DTYPE_BITS, read_safetensors
from gemmahub.formats.source import LocalFile
from gemmahub.memory import UnknownArchitecture, from_config
from gemmahub.memory.ranges import RANGES
from gemmahub.text import one_line
from gemmahub_mlx.families import habits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from gemmahub.formats.tensor import Tensor
    from gemmahub.memory import MemoryArchitecture

# What mlx-lm 0.32.2 leaves out when it loads the text model (``sanitize`` in
# mlx_lm/models/gemma3.py, gemma3n.py, gemma4.py and gemma4_text.py).
_NOT_TEXT: Final = frozenset(
    {
        "vision_tower",
        "multi_modal_projector",
        "audio_tower",
        "embed_audio",
        "embed_vision",
        "vision_embedder",
    }
)
_COMPUTED: Final = {"F32": "F32", "F16": "F16", "BF16": "BF16", "U8": "BF16"}
_EMBEDDING: Final = re.compile(r"(^|\.)embed_tokens\.(weight|scales)$")


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """A text model as mlx-lm would load it; ``architecture`` says where its memory is not known.

    ``weights_bytes`` are those of the tensors that it keeps, ``item_bytes`` the size of a number
    that it computes with, of the type ``dtype`` (``bf16``), ``vocabulary`` the rows of its output.
    """

    config: Mapping[str, Any]
    architecture: MemoryArchitecture | UnknownArchitecture
    weights_bytes: int
    dtype: str
    item_bytes: int
    vocabulary: int

    @property
    def known(self) -> MemoryArchitecture:
        """The architecture.

        Raises: BackendError where its memory is not known.
        """
        if isinstance(self.architecture, UnknownArchitecture):
            name = one_line(self.architecture.name, 60) or "nameless"
            raise BackendError(
                f"the memory use of a {name} model in MLX is unknown: {self.architecture.reason}",
                "plan Gemma 3, 3n or 4; other models load without a plan",
            )
        return self.architecture

    @property
    def layers(self) -> int:
        """Number of decoder layers, 0 where it is not known."""
        return _number(self.config, "num_hidden_layers", "layers")

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained for, 0 where it is not known."""
        return _number(self.config, "max_position_embeddings", "context_length") or (
            0
            if isinstance(self.architecture, UnknownArchitecture)
            else self.architecture.context_length
        )


def read_header(folder: Path) -> ModelHeader:
    """The model in ``folder``; files without weights are enough.

    Raises: LoadFailed for a folder that cannot be read.
    """
    try:
        config = read_config(folder)
        files, _ = safetensors_shards(folder)
        tensors: list[Tensor] = []
        for file in files:
            with LocalFile(file) as source:
                tensors += read_safetensors(source).tensors
            if len(tensors) > MOST_TENSORS:
                raise LoadFailed(
                    f"the model has more than {MOST_TENSORS:,} tensors", "load another one"
                )
    except GemmahubError as error:
        raise LoadFailed(error.message, error.hint) from None
    architecture = from_config(config)
    dtype = _dtype(tensors)
    return ModelHeader(
        config=config,
        architecture=architecture,
        weights_bytes=sum(_bytes(tensor) for tensor in _kept(tensors, architecture)),
        dtype=dtype.lower(),
        item_bytes=DTYPE_BITS[dtype] // 8,
        vocabulary=_number(config, "vocab_size", "vocabulary")
        or getattr(architecture, "vocabulary", 0),
    )


def _kept(
    tensors: Iterable[Tensor], architecture: MemoryArchitecture | UnknownArchitecture
) -> Iterable[Tensor]:
    """The tensors that mlx-lm keeps of a file."""
    layers = () if isinstance(architecture, UnknownArchitecture) else architecture.layers
    own = [layer.owns_cache for layer in layers]
    habits = habits_of(architecture.name)
    for tensor in tensors:
        if _NOT_TEXT.intersection(tensor.name.split(".")):
            continue
        if habits.left_out and habits.left_out.search(tensor.name):
            continue
        pattern = habits.left_out_when_shared
        shared = pattern.search(tensor.name) if pattern else None
        if shared and int(shared[1]) < len(own) and not own[int(shared[1])]:
            continue
        yield tensor


def _bytes(tensor: Tensor) -> int:
    if tensor.bytes is None:
        raise LoadFailed(
            f"tensor {one_line(tensor.name[:80], 80)} has the type {tensor.type}, of unknown size",
            "MLX loads F32, F16, BF16 and its own packed weights",
        )
    return tensor.bytes


def _dtype(tensors: Iterable[Tensor]) -> str:
    """The type that the model computes with: that of the embedding, or of its scales.

    Formats whose scales are bytes (mxfp4, nvfp4, mxfp8) are unpacked to bfloat16, which is the
    default of ``mx.dequantize``.
    """
    kinds = {_COMPUTED.get(t.type) for t in tensors if _EMBEDDING.search(t.name)} - {None}
    if len(kinds) != 1:
        raise LoadFailed(
            "the folder has no token embedding of a type that MLX computes with",
            "convert the model with mlx_lm.convert",
        )
    return str(kinds.pop())


def _number(config: Mapping[str, Any], key: str, field: str) -> int:
    """A number of the configuration or of its text part; 0 where none is in the field's range."""
    text = config.get("text_config")
    for said in (config, text if isinstance(text, dict) else {}):
        value = said.get(key)
        if value in RANGES[field] and value:
            return int(value)
    return 0
