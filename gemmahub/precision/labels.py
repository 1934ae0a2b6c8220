"""Labels: what a publisher calls a file (``Q4_K_M``), told from names."""

from __future__ import annotations

import re
from typing import Final

# As they stand in file names, repositories and tags. Longer ones come first: Q4_0_4_4 and Q4_K_M
# before Q4_0 and Q4_K.
_NAMES: Final = re.compile(
    r"(?<![A-Za-z0-9])(?P<label>(?:UD[-_])?(?:"
    r"(?:IQ[1-6]_(?:K[LSTV]?|KSS|XXS|XS|NL|BN|S|M)|Q[2-8]_KV?|Q[4-8]_0)_R(?:4|8|16)"
    r"|Q4_0_[48]_[48]|IQ4_NL_[48]_[48]"
    r"|IQ[1-6]_(?:KSS|K[LST]|K|XXS|XS|NL|BN|S|M|XXL|XL|L)"
    r"|Q[2-8]_K_(?:XXL|XL|XXS|XS|S|M|L)|Q8_KV|Q[2-8]_K|Q[1-8]_[01]"
    r"|TQ[12]_0|MXFP[48](?:_MOE)?|NVFP4|BF16|F16|F32|FP16|FP32|FP8|SFP"
    r"|W[2-8]A(?:16|8|4)|INT[2-8]|[2-8]-?bit))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_BITS: Final = re.compile(
    r"(?:UD[-_])?(?:(?:I?Q|TQ)(\d)_(?:[0-9KSML]|XXS|XS|NL|BN|XL|XXL)(?:[LSTV]|SS)?(?:_.*)?"
    r"|(?:MXFP|NVFP|FP|BF|F|INT)(\d+)(?:_(?:E\dM\d\w*|MOE))?|W(\d)A\d+|(\d)-?bit(?: \S+)?)",
    re.IGNORECASE,
)
_SIZE: Final = re.compile(r"(?<![a-z0-9.])(?:e|a)?\d+(?:\.\d+)?[bm](?![a-z0-9])")
_METHODS: Final = re.compile(
    r"(?<![A-Za-z0-9])(AWQ|GPTQ|AutoRound|EXL2|EXL3|HQQ)(?![A-Za-z])", re.IGNORECASE
)
_SPELLED: Final = {"autoround": "auto-round"}

_BEST_FIRST: Final = ("F16", "BF16", "Q8_0", "F32")


def label_in_name(name: str) -> str | None:
    """The last label in a file or repository name, in upper case (``4bit`` as it is)."""
    found = [match["label"] for match in _NAMES.finditer(name)]
    if not found:
        return None
    label = found[-1].upper().replace("UD_", "UD-")
    return label.lower().replace("-", "") if label.endswith("BIT") else label


def with_label(name: str, label: str) -> str:
    """A file's name without its end, with another label in place of its own: ``g-4b-Q4_0``."""
    found = [match.span() for match in _NAMES.finditer(name)]
    begin, end = found[-1] if found else (len(name), len(name))
    rest = (name[:begin].rstrip("-_. ") + name[end:]).rstrip("-_. ")
    return f"{rest}-{label}".lstrip("-")


def model_sizes(name: str) -> set[str]:
    """Model sizes in a name: {"4b"}, {"26b", "a4b"}."""
    return set(_SIZE.findall(name.lower().replace("_", "-")))


def method_in_name(name: str) -> str | None:
    """The method of quantizing that a name tells: ``AWQ``."""
    found = _METHODS.findall(name)
    return _SPELLED.get(found[-1].lower(), found[-1].upper()) if found else None


def projector_rank(name: str) -> int:
    """Which of several projectors to take, the least first: F16 runs on every backend of llama.cpp,
    F32 takes twice the memory."""
    label = label_in_name(name) or ""
    return _BEST_FIRST.index(label) if label in _BEST_FIRST else len(_BEST_FIRST)


def label_bits(label: str) -> int | None:
    """The bits that a label names: 4 for ``Q4_K_M``, ``4bit`` and ``4-bit AWQ``, 16 for ``BF16``;
    None for one that names none."""
    match = _BITS.fullmatch(label)
    if match is None:  # also a type that nobody knows: its name is no promise
        return 8 if label.upper() == "SFP" else None
    return int(next(filter(None, match.groups())))
