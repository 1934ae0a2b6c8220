"""The description of one array, as zarr has it: type, shape, chunks. Versions 2 and 3.

Sources: zarr-specs ``docs/v2/v2.0.rst`` and ``docs/v3/core``; names of types that zarr has not
(``bfloat16``, ``int4``): google/tensorstore ``tensorstore/driver/zarr/dtype.cc``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.json_text import parse_object
from gemmahub.text import one_line
from gemmahub_jax.ocdbt_node import damaged

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_DESCRIPTION: Final = 64 << 10
"""Bytes; real ones have less than 1,000."""
DESCRIPTIONS: Final = (".zarray", "zarr.json")
"""How the description of an array is called in version 2 and 3."""
_MOST_DIMENSIONS: Final = 16
_LONGEST: Final = 1 << 40
_MOST_WEIGHTS: Final = 1 << 48
_TYPES: Final[dict[str, tuple[str, int]]] = {
    "bfloat16": ("BF16", 16),
    "float16": ("F16", 16),
    "float32": ("F32", 32),
    "float64": ("F64", 64),
    "float8_e4m3fn": ("F8_E4M3", 8),
    "float8_e5m2": ("F8_E5M2", 8),
    "int2": ("INT2", 2),
    "int4": ("INT4", 4),
    "int8": ("INT8", 8),
    "int16": ("I16", 16),
    "int32": ("I32", 32),
    "int64": ("I64", 64),
    "uint4": ("U4", 4),
    "uint8": ("U8", 8),
    "uint16": ("U16", 16),
    "uint32": ("U32", 32),
    "uint64": ("U64", 64),
    "bool": ("BOOL", 8),
}
_NUMPY: Final = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "u8": "uint64",
    "b1": "bool",
}


@dataclass(frozen=True, slots=True)
class ZarrArray:
    """An array: ``dtype`` as JAX calls it, ``shape`` with the slowest dimension first.

    ``chunks`` is how many pieces it is stored in.
    """

    dtype: str
    shape: tuple[int, ...]
    chunks: int

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return prod(self.shape)

    @property
    def type_name(self) -> str:
        """The type as gemmahub calls it: ``BF16``, ``INT4``."""
        return _TYPES[self.dtype][0] if self.dtype in _TYPES else self.dtype

    @property
    def nbytes(self) -> int | None:
        """Bytes of its numbers as a device holds them, not compressed: two INT4 in a byte, as XLA
        has them. None for a type of unknown size."""
        if self.dtype not in _TYPES:
            return None
        return -(-self.size * _TYPES[self.dtype][1] // 8)


def parse_array(raw: bytes, what: str) -> ZarrArray:
    """The array that a description names ``what``. Raises: IntegrityError."""
    said = parse_object(raw, what)
    version = said.get("zarr_format")
    if version == 2:
        dtype, chunks = said.get("dtype"), said.get("chunks")
    elif version == 3:
        dtype, chunks = said.get("data_type"), _object(_object(said, "chunk_grid"), "configuration")
        chunks = chunks.get("chunk_shape")
    else:
        raise damaged(what, f"its zarr_format is {one_line(repr(version), 40)}")
    if not isinstance(dtype, str) or not dtype:
        raise damaged(what, "it names no type")
    shape, pieces = _lengths(said.get("shape"), 0, what), _lengths(chunks, 1, what)
    if len(shape) != len(pieces):
        raise damaged(what, "shape and chunks have different dimensions")
    if prod(shape) > _MOST_WEIGHTS:
        raise damaged(what, "it has more numbers than any real array")
    count = prod(-(-length // piece) for length, piece in zip(shape, pieces, strict=True))
    return ZarrArray(_NUMPY.get(dtype.lstrip("<>|="), dtype), shape, count)


def _object(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = said.get(key)
    return found if isinstance(found, dict) else {}


def _lengths(said: object, least: int, what: str) -> tuple[int, ...]:
    if not isinstance(said, list) or len(said) > _MOST_DIMENSIONS:
        raise damaged(what, "it has no shape")
    for length in said:
        if type(length) is not int or not least <= length <= _LONGEST:
            raise damaged(what, f"a length cannot be {one_line(repr(length), 40)}")
    return tuple(said)
