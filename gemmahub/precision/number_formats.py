"""What a storage type holds: the number format behind ``Q4_K``, ``BF16`` or ``MLX 4-bit g64``."""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class NumberFormat(NamedTuple):
    """A number format; ``bits`` are those of one weight without block scales."""

    name: str
    bits: float


# Codebook types (IQ*) and ternary types store indices, not integers, and are named so.
_BY_TYPE: Final[dict[str, NumberFormat]] = {
    "F64": NumberFormat("float64", 64),
    "F32": NumberFormat("float32", 32),
    "F16": NumberFormat("float16", 16),
    "BF16": NumberFormat("bfloat16", 16),
    "F8_E4M3": NumberFormat("float8", 8),
    "F8_E5M2": NumberFormat("float8", 8),
    "F8_E8M0": NumberFormat("float8", 8),
    "MXFP4": NumberFormat("mxfp4", 4),
    "NVFP4": NumberFormat("nvfp4", 4),
    "TQ1_0": NumberFormat("ternary", 1.6),
    "TQ2_0": NumberFormat("ternary", 2),
    "BOOL": NumberFormat("int8", 8),
    # gemma.cpp's own: a float of 8 bits, and indices into 16 values (compression/types.h@035273c1).
    "SFP": NumberFormat("float8", 8),
    "NUQ": NumberFormat("codebook4", 4),
}
_BY_NAME: Final = {
    "MXFP8": NumberFormat("mxfp8", 8),
    "NF4": NumberFormat("nf4", 4),
    "FP4": NumberFormat("fp4", 4),
}
_Q: Final = re.compile(r"Q(\d)_\w+")
_IQ: Final = re.compile(r"IQ(\d)_\w+")
_INT: Final = re.compile(r"[IU](\d+)")
_SUB_BYTE_FLOAT: Final = re.compile(r"F(4|6)_\w+|F4")
# The layouts of safetensors (``formats/layouts``): "GPTQ 4-bit g128", "INT4 g32", "bnb NF4".
_PACKED: Final = re.compile(r"(?:[\w-]+ )?(?:(\d+)-bit|INT(\d+)|(MXFP8|NF4|FP4))(?: g\d+)?")
_OF_A_LIBRARY: Final = re.compile(r"(?:quanto|torchao) (F8_\w+)")
_MLX: Final = re.compile(r"MLX (?:(mxfp4|nvfp4|mxfp8)|(\d+)-bit)\b.*")


def number_format(type_name: str) -> NumberFormat:
    """The number format of a storage type; an unknown type is called by its own name."""
    if known := _BY_TYPE.get(type_name):
        return known
    if match := _Q.fullmatch(type_name):
        return NumberFormat(f"int{match[1]}", int(match[1]))
    if match := _IQ.fullmatch(type_name):
        return NumberFormat(f"codebook{match[1]}", int(match[1]))
    if match := _MLX.fullmatch(type_name):
        if match[1]:
            return NumberFormat(match[1], int(match[1][-1]))
        return NumberFormat(f"int{match[2]}", int(match[2]))
    if match := _PACKED.fullmatch(type_name):
        bits_ = match[1] or match[2]
        kind = "codebook" if type_name.startswith(("EXL3", "AQLM")) else "int"
        if type_name.startswith("BitNet"):
            return NumberFormat("ternary", 2)
        return NumberFormat(f"{kind}{bits_}", int(bits_)) if bits_ else _BY_NAME[match[3]]
    if match := _OF_A_LIBRARY.fullmatch(type_name):
        return NumberFormat("float8", 8)
    if match := _INT.fullmatch(type_name):
        return NumberFormat(f"int{match[1]}", int(match[1]))
    if match := _SUB_BYTE_FLOAT.fullmatch(type_name):
        bits = int(match[1] or 4)
        return NumberFormat(f"float{bits}", bits)
    return NumberFormat(type_name, 0)
