"""Packed weights of safetensors as what they are: one tensor for each weight, with its true count.

A reader for each layout says what one weight is; this module finds the weights and puts them
together. What no reader knows keeps its bytes and is named so: its weights are not counted. The
table of all layouts, and what each was checked against, is in docs/reference/layouts.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.layouts import bytewise, libraries, words
from gemmahub.formats.layouts.parts import Parts, declared_in
from gemmahub.formats.tensor import UNKNOWN_PACKING, Tensor
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.formats.layouts.parts import Declared, Reader, Weight

_READERS: Final[dict[str, tuple[tuple[str, Reader], ...]]] = {
    "weight": ((".weight", bytewise.weight),),
    "weight_packed": ((".weight_packed", bytewise.packed_weight),),
    "qweight": ((".qweight", words.words),),
    "B": ((".B", words.marlin),),
    "q_weight": ((".q_weight", libraries.exl2),),
    "trellis": ((".trellis", libraries.exl3),),
    "codes": ((".codes", libraries.aqlm),),
    "W_q": ((".W_q", libraries.hqq),),
    "_data": (
        (".weight._data._data", libraries.quanto),
        (".weight._data", libraries.quanto),
    ),
    "_weight_qdata": (("._weight_qdata", libraries.torchao),),
    "__qdata": ((".weight.__qdata", libraries.torchao),),
}
"""By what stands behind the last dot of a name: the whole end, and what reads it."""
_BLOCKS: Final = "_blocks"
_METHODS: Final = words.METHODS | bytewise.METHODS | libraries.METHODS | {""}
_WORDS: Final = frozenset({"U8", "I8", "I16", "U16", "I32", "U32"})
_UNNAMED: Final = "an unnamed tool"
_WORTH_A_WORD: Final = 0.01
"""Share of the bytes from which words that nobody knows make the whole unknown."""


def with_packed_joined(
    stored: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[Tensor, ...]:
    """The tensors of a model with each packed weight as one; ``config`` is its ``config.json``.

    ``shape`` stays that of the words; ``parameters`` counts the weights in them; ``bytes`` are
    those of words, scales, zero points and orders.
    """
    declared = declared_in(config)
    joined: dict[str, Tensor] = {}
    taken: set[str] = set()
    for name, tensor in stored.items() if declared.method in _METHODS else ():
        found = _weight(tensor, stored, declared)
        if found is not None:
            module, weight = found
            beside = [module + end for end in weight.beside if module + end in stored]
            size = sum(stored[each].bytes or 0 for each in (name, *beside))
            logical = module if name.endswith(_BLOCKS) else f"{module}.weight"
            joined[name] = Tensor(logical, weight.type, tensor.shape, weight.parameters, size)
            taken.update(beside)
    tensors = [joined.get(n, t) for n, t in stored.items() if n not in taken]
    return tuple(_with_unknown_named(tensors, declared))


def _weight(
    tensor: Tensor, stored: Mapping[str, Tensor], declared: Declared
) -> tuple[str, Weight] | None:
    """The module that a tensor is the weight of, and how it is stored; None if it is not packed."""
    name = tensor.name
    if name.endswith(_BLOCKS):
        module = name.removesuffix(_BLOCKS)
        found = bytewise.blocks(Parts(module, tensor, stored), declared)
        return None if found is None else (module, found)
    for end, reader in _READERS.get(name.rpartition(".")[2], ()):
        if name.endswith(end):
            module = name.removesuffix(end)
            found = reader(Parts(module, tensor, stored), declared)
            return None if found is None else (module, found)
    return None


def _with_unknown_named(tensors: list[Tensor], declared: Declared) -> list[Tensor]:
    """Words that no reader knows get a type that says so, where they are a part worth a word."""
    # Without a method a list of numbers is one, such as an order of the tokens.
    least = 0 if declared.method else 1
    words_ = [t for t in tensors if t.type in _WORDS and len(t.shape) > least]
    size = sum(tensor.bytes or 0 for tensor in words_)
    if size <= _WORTH_A_WORD * sum(tensor.bytes or 0 for tensor in tensors):
        return tensors
    names = {tensor.name for tensor in words_}
    kind = UNKNOWN_PACKING + (one_line(declared.method, 40) or _UNNAMED)
    return [replace(t, type=kind) if t.name in names else t for t in tensors]
