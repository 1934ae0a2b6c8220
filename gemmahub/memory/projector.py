"""What an image projector takes besides its own tensors while it computes an image.

Measured with llama.cpp 0.3.36 on the CPU backend (``benchmarks/projector_table.py``), flash
attention on, for the largest image that llama.cpp takes: Gemma 3 and 3n scale to one size, Gemma 4
goes up to 1,120 tokens. The buffers of an audio encoder are reserved as soon as such a file is
loaded. Flash attention is on where the backend has it; without it Gemma 4 needs gigabytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.memory.families import every

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gemmahub.formats.tensor import Tensor

# Loaded by each encoder, under one name for both (load_tensors, tools/mtmd/clip.cpp).
_LOADED_BY_BOTH: Final = ("v.class_embd", "v.patch_embd.", "v.norm_embd.")


@dataclass(frozen=True, slots=True)
class ImageMemory:
    """What images take, in bytes: the projector's tensors, and the buffer that is there besides
    while the largest image is computed; None where that was not measured.

    It lies on the first accelerator, as llama.cpp places it (``tools/mtmd/clip.cpp``).
    """

    projector_bytes: int
    buffer_bytes: int | None = None

    @property
    def known_bytes(self) -> int:
        """What is known of both together."""
        return self.projector_bytes + (self.buffer_bytes or 0)


def image_buffer_bytes(metadata: Mapping[str, Any], tensors: Iterable[Tensor]) -> int | None:
    """Bytes besides those of ``tensors``, None for a projector that was not measured.

    These are the compute buffers of vision and audio, and tensors that llama.cpp loads twice.
    """
    families = every().values()
    audio = metadata.get("clip.audio.projector_type")
    left_out = any(audio in family.audio_left_out for family in families)
    if left_out or not metadata.get("clip.has_audio_encoder"):
        audio = None
    encoder: tuple[Any, ...] = (
        metadata.get("clip.vision.projector_type", metadata.get("clip.projector_type")),
        metadata.get("clip.vision.embedding_length"),
        metadata.get("clip.vision.image_size"),
        audio,
    )
    buffers = next((f.image_buffers[encoder] for f in families if encoder in f.image_buffers), None)
    if buffers is None or audio is None:
        return buffers
    return buffers + sum(t.bytes or 0 for t in tensors if t.name.startswith(_LOADED_BY_BOTH))
