"""The types of weights in ``.sbs`` files, and the bytes that a tensor of each takes.

Sources: google/gemma.cpp compression/types.h@035273c1 (``enum class Type``, ``SfpStream``,
``NuqStream::PackedEnd``) and gemma/model_store.cc@0acc653c (the letters of files before 2025).
SFP is a float of 8 bits with 2 or 3 bits of mantissa; NUQ has indices of 4 bits into 16 values,
which are stored once for each group of 256 weights.
"""

from __future__ import annotations

from typing import Final

NAMES: Final = ("unknown", "F32", "BF16", "SFP", "NUQ", "F64", "U32", "U64")
"""``enum class Type`` as it was until 2025; later numbers differ between versions."""
LETTERS: Final = {"F": "F32", "B": "BF16", "$": "SFP", "2": "NUQ"}
"""What begins the name of a tensor in files before 2025."""
NUQ_GROUP: Final = 256
NUQ_CLUSTERS: Final = 16

_BYTES: Final = {"F32": 4, "BF16": 2, "SFP": 1, "F64": 8, "U32": 4, "U64": 8}


def type_name(number: int) -> str:
    """The name of a type; ``type 9`` for one that is not known here."""
    return NAMES[number] if 0 < number < len(NAMES) else f"type {number}"


def bytes_of(kind: str, weights: int) -> int | None:
    """Bytes of so many weights without padding; None where the type is not known."""
    if kind == "NUQ":
        return NUQ_CLUSTERS * -(-weights // NUQ_GROUP) + -(-weights // 2)
    size = _BYTES.get(kind)
    return None if size is None else size * weights


def weights_of(kind: str, size: int) -> int | None:
    """Weights in so many bytes, the other way round; of NUQ whole groups."""
    if kind == "NUQ":
        group = NUQ_CLUSTERS + NUQ_GROUP // 2
        return size * NUQ_GROUP // group
    each = _BYTES.get(kind)
    return None if each is None else size // each
