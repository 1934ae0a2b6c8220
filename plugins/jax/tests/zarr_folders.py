"""Writes checkpoints whose arrays are folders, as Orbax did before it had one database for all."""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Arrays = "Mapping[str, tuple[str, tuple[int, ...]]]"


def metadata(names: Sequence[str]) -> str:
    """``_METADATA`` that lists these arrays."""
    tree = {
        str(tuple(name.split("."))): {
            "key_metadata": [{"key": key, "key_type": 2} for key in name.split(".")],
            "value_metadata": {"value_type": "jax.Array", "skip_deserialize": False},
        }
        for name in names
    }
    return json.dumps({"tree_metadata": tree, "use_zarr3": False})


def zarray(dtype: str, shape: Sequence[int], chunks: Sequence[int]) -> bytes:
    """The description of an array in version 2."""
    said = {
        "chunks": list(chunks),
        "compressor": {"id": "zstd", "level": 1},
        "dimension_separator": ".",
        "dtype": dtype,
        "fill_value": None,
        "filters": None,
        "order": "C",
        "shape": list(shape),
        "zarr_format": 2,
    }
    return json.dumps(said, separators=(",", ":")).encode()


def write_zarr(
    folder: Path, arrays: Mapping[str, tuple[str, tuple[int, ...]]], pieces: int = 1
) -> Path:
    """A checkpoint of arrays of a type and shape, cut into ``pieces`` along their first dimension.

    The chunks have no numbers in them: only their names and sizes are read.
    """
    folder.mkdir(parents=True)
    (folder / "_METADATA").write_text(metadata(list(arrays)))
    for name, (dtype, shape) in arrays.items():
        place = folder / name
        place.mkdir()
        chunks = [-(-shape[0] // pieces), *shape[1:]] if shape else []
        (place / ".zarray").write_bytes(zarray(dtype, shape, chunks))
        counts = [-(-length // chunk) for length, chunk in zip(shape, chunks, strict=True)]
        for number in product(*map(range, counts)):
            (place / (".".join(map(str, number)) or "0")).write_bytes(name.encode())
    return folder
