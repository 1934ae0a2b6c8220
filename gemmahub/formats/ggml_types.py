"""GGML tensor types and llama.cpp file types.

Source: ``ggml/include/ggml.h`` (``enum ggml_type``), ``ggml/src/ggml-common.h`` (block layouts) and
``include/llama.h`` (``enum llama_ftype``) of the llama.cpp that llama-cpp-python 0.3.36 carries
(ggml-org/llama.cpp@0c1e57098). A test of the llama.cpp plugin holds this table against the engine.
"""

from __future__ import annotations

from typing import Final

from gemmahub.formats.foreign_types import FORK_TYPES, REMOVED_TYPES
from gemmahub.formats.tensor import StorageType

GGML_TYPES: Final[dict[int, StorageType]] = {
    number: StorageType(name, block_size, block_bytes)
    for number, name, block_size, block_bytes in (
        (0, "F32", 1, 4),
        (1, "F16", 1, 2),
        (2, "Q4_0", 32, 18),
        (3, "Q4_1", 32, 20),
        (6, "Q5_0", 32, 22),
        (7, "Q5_1", 32, 24),
        (8, "Q8_0", 32, 34),
        (9, "Q8_1", 32, 36),
        (10, "Q2_K", 256, 84),
        (11, "Q3_K", 256, 110),
        (12, "Q4_K", 256, 144),
        (13, "Q5_K", 256, 176),
        (14, "Q6_K", 256, 210),
        (15, "Q8_K", 256, 292),
        (16, "IQ2_XXS", 256, 66),
        (17, "IQ2_XS", 256, 74),
        (18, "IQ3_XXS", 256, 98),
        (19, "IQ1_S", 256, 50),
        (20, "IQ4_NL", 32, 18),
        (21, "IQ3_S", 256, 110),
        (22, "IQ2_S", 256, 82),
        (23, "IQ4_XS", 256, 136),
        (24, "I8", 1, 1),
        (25, "I16", 1, 2),
        (26, "I32", 1, 4),
        (27, "I64", 1, 8),
        (28, "F64", 1, 8),
        (29, "IQ1_M", 256, 56),
        (30, "BF16", 1, 2),
        (34, "TQ1_0", 256, 54),
        (35, "TQ2_0", 256, 66),
        (39, "MXFP4", 32, 17),
        (40, "NVFP4", 64, 36),
        (41, "Q1_0", 128, 18),
        (42, "Q2_0", 64, 18),
    )
}

CACHE_TYPES: Final = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""Types that llama.cpp takes for a KV cache (``common/arg.cpp``); others load and then abort."""

USUAL_CACHE_TYPES: Final = ("f16", "q8_0", "q4_0")
"""Those that are tried and offered, the best first; each further one buys context."""

GGML_TYPES_BY_NAME: Final[dict[str, StorageType]] = {t.name: t for t in GGML_TYPES.values()}


def ggml_type(number: int) -> StorageType:
    """The type with that number. One that llama.cpp does not read has no size here: it is named,
    or by its number where nobody is known to use it."""
    known = GGML_TYPES.get(number)
    if known is not None:
        return known
    name = REMOVED_TYPES.get(number) or FORK_TYPES.get(number) or f"type {number} (unknown)"
    return StorageType(name, None, None)


# general.file_type -> what the publisher calls the file.
FILE_TYPE_LABELS: Final[dict[int, str]] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    4: "Q4_1_SOME_F16",
    5: "Q4_2",
    6: "Q4_3",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    33: "Q4_0_4_4",
    34: "Q4_0_4_8",
    35: "Q4_0_8_8",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}

_SIZES: Final = {"Small": "S", "Medium": "M", "Large": "L"}


def label_of_ftype(said: object) -> str:
    """The label of a file type as files write it (``Q4_K_M``), by its number or by the name that
    llama.cpp prints (``Q4_K - Medium``, ``all F32``; ``llama_model_ftype_name`` of
    ``src/llama-model-loader.cpp``). Empty where it is none, or only guessed."""
    if isinstance(said, int) and not isinstance(said, bool):
        return FILE_TYPE_LABELS.get(said, "")
    if not isinstance(said, str) or said.startswith("(guessed)"):
        return ""
    name, _, size = said.removeprefix("all ").partition(" - ")
    label = f"{name}_{_SIZES[size]}" if size in _SIZES else name
    return label if label.replace("_", "").isalnum() and len(label) < 40 else ""
