"""Writes a tiny image projector with random weights, for the tests of engines that read images."""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from random import Random
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.gguf_writer import gguf_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOKENS: Final = 16
"""What one image takes of the context: 8 x 8 patches of 8 pixels, 2 x 2 of which are one token."""

_IMAGE, _PATCH, _MERGED, _WIDTH, _WIDE = 64, 8, 2, 32, 64
_SPREAD: Final = 0.3  # wide enough that another picture gives another answer


def write_projector(path: Path, text_width: int, *, seed: int = 0) -> int:
    """Writes a Gemma 3 projector of one layer for 64 x 64 pixels; returns the bytes of the file.

    ``text_width`` is the embedding length of the text model that it belongs to. The names and
    shapes are those that llama.cpp reads (``tools/mtmd/clip.cpp``); all tensors are F32.
    """
    header, full = gguf_header(_metadata(text_width), _tensors(text_width))
    draw = Random(seed)
    values = array("f", (draw.gauss(0, _SPREAD) for _ in range((full - len(header)) // 4)))
    if sys.byteorder == "big":
        values.byteswap()
    path.write_bytes(header + values.tobytes())
    return full


def _metadata(text_width: int) -> dict[str, Any]:
    vision = {
        "image_size": _IMAGE,
        "patch_size": _PATCH,
        "projector.scale_factor": _MERGED,
        "embedding_length": _WIDTH,
        "feed_forward_length": _WIDE,
        "block_count": 1,
        "attention.head_count": 2,
        "attention.layer_norm_epsilon": 1e-6,
        "projection_dim": text_width,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    return {
        "general.architecture": "clip",
        "general.name": "Tiny projector",
        "clip.has_vision_encoder": True,
        "clip.has_audio_encoder": False,
        "clip.projector_type": "gemma3",
        "clip.use_gelu": True,
        **{f"clip.vision.{key}": value for key, value in vision.items()},
    }


def _tensors(text_width: int) -> list[tuple[str, tuple[int, ...], str]]:
    weights: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (_PATCH, _PATCH, 3, _WIDTH),
        "v.patch_embd.bias": (_WIDTH,),
        "v.position_embd.weight": (_WIDTH, (_IMAGE // _PATCH) ** 2),
        "v.post_ln.weight": (_WIDTH,),
        "v.post_ln.bias": (_WIDTH,),
        "mm.input_projection.weight": (text_width, _WIDTH),
        "mm.soft_emb_norm.weight": (_WIDTH,),
    }
    square = (_WIDTH, _WIDTH)
    layer = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_out"), square)
    layer |= {"ffn_up": (_WIDTH, _WIDE), "ffn_down": (_WIDE, _WIDTH)}
    for name, shape in layer.items():
        weights |= {f"v.blk.0.{name}.weight": shape, f"v.blk.0.{name}.bias": shape[1:]}
    for name in ("ln1", "ln2"):
        weights |= {f"v.blk.0.{name}.{part}": (_WIDTH,) for part in ("weight", "bias")}
    return [(name, shape, "F32") for name, shape in weights.items()]


def write_png(
    path: Path, width: int, height: int, colour: Callable[[int, int], tuple[int, int, int]]
) -> None:
    """Writes a PNG picture; ``colour`` gives red, green and blue (0 to 255) at column and row."""
    rows = b"".join(
        b"\0" + bytes(part for x in range(width) for part in colour(x, y)) for y in range(height)
    )
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
