"""What the numbers of an image projector may be, looked at before llama.cpp computes with them.

Limits of ``clip_model_loader`` (``tools/mtmd/clip.cpp`` of ggml-org/llama.cpp@0c1e57098) are the
engine's own. It has none for the number of patches of an image, which its buffers grow with, nor
for layers and widths: there ours lie far above every published projector (65,536 patches,
128 layers, widths of 5,376).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_PATCHES: Final = 1 << 20
_RANGES: Final = {
    "vision.image_size": (1, 8192),  # the engine's
    "vision.patch_size": (1, 65535),  # the engine's
    "vision.projector.scale_factor": (1, 64),
    **{
        f"{part}.{key}": limits
        for part in ("vision", "audio")
        for key, limits in {
            "embedding_length": (1, 1 << 16),
            "feed_forward_length": (0, 1 << 18),
            "block_count": (0, 512),
            "projection_dim": (0, 1 << 18),
            "attention.head_count": (0, 1024),
            "attention.head_count_kv": (0, 1024),
        }.items()
    },
    "audio.num_mel_bins": (1, 4096),
}


def problem_of(metadata: Mapping[str, Any]) -> str:
    """Which number cannot be, ``""`` where each can; what is missing is the engine's to say."""
    for key, (lowest, highest) in _RANGES.items():
        value = metadata.get(f"clip.{key}")
        if value is not None and not (type(value) is int and lowest <= value <= highest):
            said = f"{value:,}" if type(value) is int else "no whole number"
            return f"its clip.{key} is {said}, not from {lowest:,} to {highest:,}"
    size, patch = (metadata.get(f"clip.vision.{key}_size") for key in ("image", "patch"))
    if size and patch and (size // patch) ** 2 > _MOST_PATCHES:
        return f"it cuts an image of {size:,} pixels into patches of {patch:,}"
    return ""
