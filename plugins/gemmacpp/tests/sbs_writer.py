"""Writes ``.sbs`` files after the published format, for tests: small models with weights of zero.

Sources: google/gemma.cpp io/blob_store.cc@0d8948f7 (container), io/fields.cc@4b26b039 (records),
gemma/configs.h@0224dcbd and util/mat.h@02548acc (their fields). Nothing of the reader is used.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

TYPES = {"F32": 1, "BF16": 2, "SFP": 3, "NUQ": 4, "F64": 5}


def word(value: int) -> bytes:
    return struct.pack("<I", value & 0xFFFFFFFF)


def text(value: str) -> bytes:
    content = value.encode()
    count = -(-len(content) // 4)
    return word(count) + content.ljust(4 * count, b"\0")


def real(value: float) -> bytes:
    return struct.pack("<f", value)


def record(*fields: bytes) -> bytes:
    content = b"".join(fields)
    return word(len(content) // 4) + content


def items(values: Sequence[bytes]) -> bytes:
    return word(len(values)) + b"".join(values)


def tensor_bytes(kind: str, weights: int) -> int:
    if kind == "NUQ":
        return 16 * -(-weights // 256) + -(-weights // 2)
    return {"F32": 4, "BF16": 2, "SFP": 1, "F64": 8}[kind] * weights


def layer(dim: int, hidden: int, heads: int, kv_heads: int, head: int, shares: int = -1) -> bytes:
    numbers = [dim, 0, hidden, heads, kv_heads, head, 0, 0, 0, 1, 1, 0, 0, 0, 1]
    later = [0, 0, 0, 0, shares]  # norm_v .. kv_share_layer_idx
    return record(*(word(number) for number in [*numbers, *later]))


def config(
    name: str = "Gemma3_1B",
    wrapping: int = 0,
    weight: str = "SFP",
    layers: Sequence[bytes] = (),
    windows: Sequence[int] = (),
    dim: int = 64,
    vocabulary: int = 512,
    context: int = 4096,
) -> bytes:
    return record(
        word(3), text(name), word(15), word(wrapping), word(TYPES[weight]), word(len(layers)),
        word(dim), word(vocabulary), word(context), word(0), real(0.0), real(0.0), word(0), word(0),
        word(0), items(layers), items([word(window) for window in windows]), word(1),
        record(*(word(0) for _ in range(7))), word(1), word(1), word(106), items([]), word(1),
    )  # fmt: skip


def mat(name: str, kind: str | int, rows: int, cols: int, stride: int | None = None) -> bytes:
    number = TYPES[kind] if isinstance(kind, str) else kind
    size = 1 if number in (3, 4) else {1: 4, 2: 2, 5: 8}.get(number, 1)
    elements = tensor_bytes("NUQ", rows * cols) if number == 4 else rows * cols
    return record(
        text(name), word(number), word(size), word(elements), word(rows), word(cols), real(1.0),
        word(cols if stride is None else stride),
    )  # fmt: skip


def container(blobs: Mapping[str, bytes] | Iterable[tuple[str, bytes]], version: int = 2) -> bytes:
    """The file of these blobs."""
    pairs = list(blobs.items() if hasattr(blobs, "items") else blobs)
    before = 256 if version == 2 else -(-(16 + 32 * len(pairs)) // 256) * 256
    payload, places, at = b"", b"", before
    for _, content in pairs:
        places += struct.pack("<QQ", at + len(payload), len(content))
        payload += content + bytes(-len(content) % 256)
    keys = b"".join(key.encode().ljust(16, b"\0") for key, _ in pairs)
    directory = keys + places
    if version == 1:
        size = -(-(before + len(payload)) // 65536) * 65536
        head = struct.pack("<4sIQ", b"SBS\n", len(pairs), size) + directory
        return (head.ljust(before, b"\0") + payload).ljust(size, b"\0")
    size = -(-(before + len(payload) + len(directory) + 16) // 65536) * 65536
    head = struct.pack("<4sIQ", b"SBS\n", 0, 65536).ljust(before, b"\0")
    tail = directory + struct.pack("<4sIQ", b"SBS\n", len(pairs), size)
    return head + payload + bytes(size - before - len(payload) - len(tail)) + tail


def model_blobs(kind: str = "SFP", layers: int = 2, **changes: object) -> dict[str, bytes]:
    """A model of some layers: 512 words, width 64; its embedding is BF16."""
    dim, hidden, heads, kv, head = 64, 1024, 4, 1, 32
    shapes = [("c_embedding", "BF16", 512, dim), ("c_final_norm", "BF16", 1, dim)]
    for index in range(layers):
        shapes += [
            (f"qkv_ein_{index}", kind, (heads + 2 * kv) * head, dim),
            (f"att_ein_{index}", kind, dim, heads * head),
            (f"gating_ein_{index}", kind, 2 * hidden, dim),
            (f"linear_w_{index}", kind, dim, hidden),
            (f"pre_att_ns_{index}", "BF16", 1, dim),
        ]
    described = [layer(dim, hidden, heads, kv, head) for _ in range(layers)]
    windows = [512 if index % 2 == 0 else 4096 for index in range(layers)]
    settings = {"weight": kind, "layers": described, "windows": windows} | changes
    blobs = {name: bytes(tensor_bytes(type_, rows * cols)) for name, type_, rows, cols in shapes}
    return blobs | {
        "config": config(**settings),  # type: ignore[arg-type]
        "tokenizer": b"\n\x0esome-tokenizer",
        "toc": b"".join(mat(*shape) for shape in shapes),
    }


def write_sbs(path: Path, version: int = 2, **changes: object) -> Path:
    """A whole model file."""
    path.write_bytes(container(model_blobs(**changes), version))  # type: ignore[arg-type]
    return path
