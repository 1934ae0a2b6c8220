"""How people write the ways in which MLX packs weights: ``4bit``, ``8bit-g32``, ``mxfp4``."""

from __future__ import annotations

import re
from typing import Final

from gemmahub.formats.mlx_packing import AFFINE, Packing

UNPACKED: Final = ("F32", "F16", "BF16")
"""What weights that are not packed are stored as."""
MADE: Final = (
    *(f"{bits}bit" for bits in (2, 3, 4, 5, 6, 8)),
    *(f"{bits}bit-g{size}" for bits in (4, 8) for size in (32, 128)),
    "MXFP4",
    "NVFP4",
    "MXFP8",
)
"""Examples of all kinds; each number of bits can have groups of 32, 64 or 128 weights."""

_AFFINE: Final = re.compile(r"(?:mlx )?([234568])-?bit(?:[ _-]?g(32|64|128))?", re.IGNORECASE)
_MODES: Final = {
    "mxfp4": Packing(4, 32, "mxfp4"),
    "nvfp4": Packing(4, 16, "nvfp4"),
    "mxfp8": Packing(8, 32, "mxfp8"),
}
_GROUP: Final = 64  # MLX's default


def packing_of(text: str) -> Packing | None:
    """The packing that is meant; None for what is none."""
    text = text.strip()
    if match := _AFFINE.fullmatch(text):
        return Packing(int(match[1]), int(match[2] or _GROUP), AFFINE)
    name, _, group = text.lower().removeprefix("mlx ").partition(" ")
    mode = _MODES.get(name)
    return mode if mode is not None and group in ("", f"g{mode.group_size}") else None


def label_of_packing(packing: Packing) -> str:
    """The shortest label: ``4bit``, ``4bit-g32``, ``MXFP4``."""
    if packing.mode != AFFINE:
        return packing.mode.upper()
    group = "" if packing.group_size == _GROUP else f"-g{packing.group_size}"
    return f"{packing.bits}bit{group}"
