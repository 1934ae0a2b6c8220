"""Labels: what a publisher calls a file (``Q4_K_M``), and which types such a label promises."""

from __future__ import annotations

import re
from typing import Final

# As they stand in file names, repositories and tags; longest first, so that Q4_K_M wins over Q4_K.
_NAMES: Final = re.compile(
    r"(?<![A-Za-z0-9])(?P<label>(?:UD[-_])?(?:"
    r"IQ[1-4]_(?:XXS|XS|NL|S|M)"
    r"|Q[2-8]_K_(?:XXL|XL|XXS|XS|S|M|L)|Q[2-8]_K|Q[1-8]_[01]"
    r"|TQ[12]_0|MXFP[48](?:_MOE)?|NVFP4|BF16|F16|F32|FP16|FP32|FP8|SFP"
    r"|[2-8]-?bit))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_BITS: Final = re.compile(
    r"(?:UD[-_])?(?:(?:I?Q|TQ)(\d)_(?:[0-9KSM]|XXS|XS|NL)(?:_.*)?"
    r"|(?:MXFP|NVFP|FP|BF|F)(\d+)(?:_(?:E\dM\d\w*|MOE))?|(\d)bit)",
    re.IGNORECASE,
)
_SIZE: Final = re.compile(r"(?<![a-z0-9.])(?:e|a)?\d+(?:\.\d+)?[bm](?![a-z0-9])")
_PREFIX: Final = re.compile(r"^UD[-_]", re.IGNORECASE)

# Labels whose files consist mostly of a type of another name (llama.cpp src/llama-quant.cpp,
# default type of each file type).
_PROMISES: Final[dict[str, frozenset[str]]] = {
    "IQ3_XS": frozenset({"IQ3_S", "IQ3_XXS"}),
    "IQ3_M": frozenset({"IQ3_S"}),
    "IQ2_M": frozenset({"IQ2_S"}),
    "IQ2_S": frozenset({"IQ2_XS", "IQ2_S"}),
    "Q2_K_S": frozenset({"Q2_K"}),
    "MXFP4_MOE": frozenset({"MXFP4"}),
    "Q4_1_SOME_F16": frozenset({"Q4_1"}),
    "FP16": frozenset({"F16"}),
    "FP32": frozenset({"F32"}),
    "FP8": frozenset({"F8_E4M3", "F8_E5M2"}),
}


_BEST_FIRST: Final = ("F16", "BF16", "Q8_0", "F32")


def label_in_name(name: str) -> str | None:
    """The last label in a file or repository name, in upper case (``4bit`` as it is)."""
    found = [match["label"] for match in _NAMES.finditer(name)]
    if not found:
        return None
    label = found[-1].upper().replace("UD_", "UD-")
    return label.lower().replace("-", "") if label.endswith("BIT") else label


def model_sizes(name: str) -> set[str]:
    """Model sizes in a name: {"4b"}, {"26b", "a4b"}."""
    return set(_SIZE.findall(name.lower().replace("_", "-")))


def projector_rank(name: str) -> int:
    """Which of several projectors to take, the least first: F16 runs on every backend of llama.cpp,
    F32 takes twice the memory."""
    label = label_in_name(name) or ""
    return _BEST_FIRST.index(label) if label in _BEST_FIRST else len(_BEST_FIRST)


def promised_types(label: str) -> frozenset[str]:
    """The storage types that a file with this label should mostly consist of."""
    bare = _PREFIX.sub("", label).upper()
    if bare in _PROMISES:
        return _PROMISES[bare]
    if match := re.fullmatch(r"(I?Q\d_K)_\w+", bare):
        return frozenset({match[1]})
    return frozenset({bare})


def same_label(one: str, other: str) -> bool:
    """Whether two labels promise the same types."""
    return promised_types(one) == promised_types(other)


def label_bits(label: str) -> int | None:
    """The bits that a label names: 4 for ``Q4_K_M`` and ``4bit``, 16 for ``BF16``, or None."""
    match = _BITS.fullmatch(label)
    if match is None:  # also a type that nobody knows: its name is no promise
        return 8 if label.upper() == "SFP" else None
    return int(next(filter(None, match.groups())))
