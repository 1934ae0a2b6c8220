"""What a label promises of the tensors, and whether they keep it.

- A type (``Q4_0``, ``Q4_K_M``, ``BF16``) promises that this type, or those that llama.cpp mixes
  under that label, has the largest share of the weights: of all, or of those outside the
  embeddings, for which every quantizer takes a better type.
- A number of bits (``4bit``, ``W4A16``, ``4-bit AWQ``) promises it of the largest share.
- A recipe of Unsloth (``UD-Q4_K_XL``) names no type: it promises about so many bits.
- A label that nobody here knows promises nothing.

Source of the mixes: llama.cpp ``src/llama-quant.cpp``, the default type of each file type.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.precision.labels import label_bits, label_in_name
from gemmahub.precision.number_formats import number_format
from gemmahub.text import percent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    WholeAndBody: TypeAlias = tuple[Mapping[str, float], Mapping[str, float]]
    """Shares of the weights by type, the largest first: of all, and of those of no embedding."""

_RECIPE: Final = re.compile(r"^UD[-_]", re.IGNORECASE)
_NUMBER_OF_BITS: Final = re.compile(r"\d-?bit(?: \S+)?|INT\d|W\dA\d+", re.IGNORECASE)
_NEAR: Final = 1  # bits that most weights of a recipe may have more or less
_NAMED: Final = re.compile(r"W\dA\d+", re.IGNORECASE)
_REPACKED: Final = re.compile(r"(\w+)_R(?:4|8|16)")
_SIZED: Final = re.compile(r"(I?Q\d_K)_(?:XXL|XL|XXS|XS|S|M|L)")

_MIXES: Final[dict[str, frozenset[str]]] = {
    "IQ3_XS": frozenset({"IQ3_S", "IQ3_XXS"}),
    "IQ3_M": frozenset({"IQ3_S"}),
    "IQ3_KL": frozenset({"IQ3_K"}),
    "IQ2_M": frozenset({"IQ2_S"}),
    "IQ2_M_R4": frozenset({"IQ2_S_R4"}),
    "IQ2_S": frozenset({"IQ2_XS", "IQ2_S"}),
    "Q2_K_S": frozenset({"Q2_K"}),
    "MXFP4_MOE": frozenset({"MXFP4"}),
    "Q4_1_SOME_F16": frozenset({"Q4_1"}),
    "FP16": frozenset({"F16"}),
    "FP32": frozenset({"F32"}),
    "FP8": frozenset({"F8_E4M3", "F8_E5M2", "torchao F8_E4M3", "quanto F8_E4M3"}),
    "SFP": frozenset({"SFP", "F8_E4M3", "F8_E5M2"}),
}


def promised_types(label: str) -> frozenset[str]:
    """The storage types that a file with this label should mostly consist of."""
    bare = _RECIPE.sub("", label).upper()
    if bare in _MIXES:
        return _MIXES[bare]
    if match := _SIZED.fullmatch(bare):
        return frozenset({match[1]})
    if match := _REPACKED.fullmatch(bare):
        return frozenset({bare, match[1]})
    return frozenset({bare, label})


@dataclass(frozen=True, slots=True)
class Promise:
    """``types`` or ``bits`` (give or take ``near``) of the largest share; neither: nothing."""

    types: frozenset[str] = frozenset()
    bits: int | None = None
    near: int = 0

    @property
    def holds_of_all(self) -> bool:
        """Whether it promises nothing."""
        return not self.types and self.bits is None

    def covers(self, type_: str) -> bool:
        """Whether weights of a type are what is promised."""
        if self.bits is None:
            return type_ in self.types
        return abs(number_format(type_).bits - self.bits) <= self.near


def promise_of(label: str) -> Promise:
    """What a label promises."""
    bits = label_bits(label)
    if _RECIPE.match(label):
        return Promise(bits=bits, near=_NEAR)
    if _NUMBER_OF_BITS.fullmatch(label):
        return Promise(bits=bits)
    # A type's own name is a promise, too; what neither is a label nor a known type is none.
    if label_in_name(label) is None and bits is None and not number_format(label).bits:
        return Promise()
    return Promise(promised_types(label))


def is_kept(promise: Promise, both: WholeAndBody) -> bool:
    """Whether what is promised has the largest share."""
    return any(_is_largest(promise, shares) for shares in both)


def _is_largest(promise: Promise, shares: Mapping[str, float]) -> bool:
    if promise.holds_of_all or not shares:
        return True
    kept = sum(share for type_, share in shares.items() if promise.covers(type_))
    others: dict[str, float] = {}
    for type_, share in shares.items():
        if not promise.covers(type_):
            name = number_format(type_).name if promise.bits is not None else type_
            others[name] = others.get(name, 0.0) + share
    return kept >= max(others.values(), default=0.0)


def same_promise(one: str, other: str) -> bool:
    """Whether two labels can be true of the same file: one's promise contains the other's, or one
    promises nothing."""
    first, second = promise_of(one), promise_of(other)
    if first.holds_of_all or second.holds_of_all:
        return True
    if first.bits is not None and second.bits is not None:
        return abs(first.bits - second.bits) <= max(first.near, second.near)
    if first.types and second.types:
        return first.types <= second.types or second.types <= first.types
    with_bits, types = (
        (first, second.types) if first.types == frozenset() else (second, first.types)
    )
    return all(with_bits.covers(type_) for type_ in types)


def best_label(stated: str | None, named: str | None, main_type: str, both: WholeAndBody) -> str:
    """The label of a file that says one of itself and is named by another, either of them or none.

    Where they contradict each other it is the one that the tensors keep. A recipe's name, or one
    that says more than a number of bits, stays where the tensors keep it.
    """
    if stated is None or named is None:
        return stated or named or main_type
    if _RECIPE.match(named) or _NAMED.fullmatch(named):
        return named if is_kept(promise_of(named), both) else stated
    contradict = not same_promise(named, stated)
    names_it = is_kept(promise_of(named), both) and not is_kept(promise_of(stated), both)
    return named if contradict and names_it else stated


def broken_promises(label: str, named: str | None, both: WholeAndBody) -> list[str]:
    """What the name or the label promises and the tensors do not keep, as sentences."""
    found = []
    if named and not same_promise(named, label) and not is_kept(promise_of(named), both):
        found.append(f"named {named}, but its metadata says {label}")
    promise = promise_of(label)
    if is_kept(promise, both):
        return found
    shares = both[0]
    dominant = next(type_ for type_ in shares if not promise.covers(type_))
    own = " and ".join(f"{percent(s)} are {t}" for t, s in shares.items() if promise.covers(t))
    own = own or f"none are {label}"
    return [
        *found,
        f"labelled {label}, but {percent(shares[dominant])} of the weights are {dominant} "
        f"and {own}",
    ]
