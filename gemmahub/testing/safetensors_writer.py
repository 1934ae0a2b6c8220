"""Writes safetensors files that have a header and no weights; they are sparse, of full length."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING

from gemmahub.formats.safetensors import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


def write_safetensors(
    path: Path,
    tensors: Iterable[tuple[str, str, Sequence[int]]],
    metadata: Mapping[str, str] | None = None,
) -> int:
    """Writes a header of tensors (name, dtype, shape) and returns the file's length in bytes."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, dtype, shape in tensors:
        begin, end = end, end + prod(shape) * DTYPE_BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    full = 8 + len(raw) + end
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(full)
    return full
