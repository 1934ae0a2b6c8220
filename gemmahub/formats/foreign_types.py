"""Tensor types and file types that llama.cpp does not read: those of a fork, and removed ones.

Sources: ``ggml/include/ggml.h`` and ``include/llama.h`` of ikawrakow/ik_llama.cpp (numbers from 97
on; the sizes of its rows are its own matter), and for the removed ones the comments in
``ggml/include/ggml.h`` of ggml-org/llama.cpp.
"""

from __future__ import annotations

from typing import Final

REMOVED_TYPES: Final[dict[int, str]] = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}
_INSTEAD: Final = {"IQ4_NL_4_4": "IQ4_NL", "IQ4_NL_4_8": "IQ4_NL", "IQ4_NL_8_8": "IQ4_NL"}
"""What holds the same weights and is still read; for all others that is Q4_0."""

FORK: Final = "ik_llama.cpp"
FORK_TYPES: Final[dict[int, str]] = {
    97: "Q8_0_X4",
    98: "Q8_1_X4",
    99: "Q8_2_X4",
    133: "Q6_0",
    134: "IQ1_BN",
    135: "IQ2_BN",
    136: "Q8_K64",
    137: "IQ2_K",
    138: "IQ3_K",
    139: "IQ4_K",
    140: "IQ5_K",
    141: "IQ6_K",
    144: "IQ4_KS",
    145: "IQ2_KS",
    146: "IQ4_KSS",
    151: "Q8_KV",
    152: "IQ5_KS",
    153: "IQ2_KT",
    154: "IQ3_KT",
    155: "IQ4_KT",
    156: "IQ3_KS",
    157: "IQ2_KL",
    158: "IQ1_KT",
    202: "Q4_0_R8",
    206: "Q5_0_R4",
    208: "Q8_0_R8",
    210: "Q2_K_R4",
    211: "Q3_K_R4",
    212: "Q4_K_R4",
    213: "Q5_K_R4",
    214: "Q6_K_R4",
    216: "IQ2_XXS_R4",
    217: "IQ2_XS_R4",
    218: "IQ3_XXS_R4",
    219: "IQ1_S_R4",
    220: "IQ4_NL_R4",
    221: "IQ3_S_R4",
    222: "IQ2_S_R4",
    223: "IQ4_XS_R8",
    229: "IQ1_M_R4",
    230: "BF16_R16",
    233: "Q6_0_R4",
    335: "IQ2_BN_R4",
    337: "IQ2_K_R4",
    338: "IQ3_K_R4",
    339: "IQ4_K_R4",
    340: "IQ5_K_R4",
    344: "IQ4_KS_R4",
    352: "IQ5_KS_R4",
    397: "Q8_K_R16",
    398: "Q8_KV_R8",
    399: "Q8_K_R8",
}
FORK_LABELS: Final[dict[int, str]] = {
    135: "Q6_0",
    136: "IQ1_BN",
    137: "IQ2_BN",
    138: "IQ2_K",
    139: "IQ3_K",
    140: "IQ4_K",
    141: "IQ5_K",
    142: "IQ6_K",
    145: "IQ4_KS",
    146: "IQ3_KL",
    147: "IQ2_KS",
    148: "IQ4_KSS",
    149: "Q8_KV",
    150: "IQ5_KS",
    151: "IQ2_KT",
    152: "IQ3_KT",
    153: "IQ4_KT",
    154: "IQ3_KS",
    155: "IQ2_KL",
    156: "IQ1_KT",
    202: "Q4_0_R8",
    207: "Q8_0_R8",
    208: "Q5_0_R4",
    210: "Q2_K_R4",
    211: "Q3_K_R4",
    214: "Q4_K_R4",
    216: "Q5_K_R4",
    218: "Q6_K_R4",
    219: "IQ2_XXS_R4",
    220: "IQ2_XS_R4",
    223: "IQ3_XXS_R4",
    224: "IQ1_S_R4",
    225: "IQ4_NL_R4",
    226: "IQ3_S_R4",
    229: "IQ2_M_R4",
    230: "IQ4_XS_R8",
    231: "IQ1_M_R4",
    232: "BF16_R16",
    335: "Q6_0_R4",
    337: "IQ2_BN_R4",
    338: "IQ2_K_R4",
    339: "IQ3_K_R4",
    340: "IQ4_K_R4",
    341: "IQ5_K_R4",
    345: "IQ4_KS_R4",
    350: "IQ5_KS_R4",
    398: "Q8_KV_R8",
    399: "Q8_K_R8",
}
"""``general.file_type`` of the fork's files."""

_REMOVED_NAMES: Final = frozenset(REMOVED_TYPES.values())
_FORK_NAMES: Final = frozenset(FORK_TYPES.values())


def unread_by_llamacpp(type_name: str) -> str | None:
    """Why llama.cpp does not read a tensor type, and what does; None where it may."""
    if type_name in _REMOVED_NAMES:
        return f"llama.cpp no longer reads {type_name}: fetch {_INSTEAD.get(type_name, 'Q4_0')}"
    if type_name in _FORK_NAMES:
        return f"llama.cpp does not read {type_name}, which is a type of {FORK}"
    if type_name.startswith("type "):
        return f"llama.cpp of this version does not know tensor {type_name}"
    return None
