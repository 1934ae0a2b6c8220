"""What the readers of layouts share: the tensors that belong to one weight, and what is declared.

In safetensors a packed weight is several tensors with one name before the last dot: words or bytes
that hold several weights each, and beside them scales, zero points, orders of columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemmahub.formats.safetensors import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from gemmahub.formats.tensor import Tensor

    Reader: TypeAlias = Callable[["Parts", "Declared"], "Weight | None"]

_LARGEST: Final = 1 << 16
_LONGEST: Final = 40
WIDTHS: Final = (1, 2, 3, 4, 5, 6, 7, 8)
"""Bits that a packed integer can have."""


class Weight(NamedTuple):
    """How one weight is stored: its type's name, how many numbers it holds, and the ends of the
    names of all tensors beside the main one that it takes in."""

    type: str
    parameters: int
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parts:
    """The tensors of one weight. ``main`` holds the numbers; ``module`` is what all names begin
    with."""

    module: str
    main: Tensor
    stored: Mapping[str, Tensor]

    def get(self, end: str) -> Tensor | None:
        """The tensor of this weight whose name ends so."""
        return self.stored.get(self.module + end)

    @property
    def word(self) -> int:
        """Bits of one number of the main tensor, as it is stored."""
        return DTYPE_BITS.get(self.main.type, 0)

    @property
    def lead(self) -> int:
        """How many matrices lie one behind the other: 1, or the number of experts."""
        return prod(self.main.shape[:-2])

    def matrix(self, end: str = "") -> tuple[int, int] | None:
        """Rows and columns of the main tensor or of another one; None where it has no two sizes,
        or a size of 0."""
        tensor = self.get(end) if end else self.main
        if tensor is None or len(tensor.shape) < 2 or 0 in tensor.shape:
            return None
        return tensor.shape[-2], tensor.shape[-1]


@dataclass(frozen=True, slots=True)
class Declared:
    """The ``quantization_config`` of a model: the name of its method, "" without one."""

    method: str
    config: Mapping[str, Any]

    def number(self, *keys: str) -> int:
        """A positive whole number, the first of several that is there; 0 for none."""
        return next((n for key in keys if (n := whole(self.config.get(key)))), 0)

    def part(self, *keys: str) -> Mapping[str, Any]:
        """An object inside of objects; an empty one where there is none."""
        found: Any = self.config
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}


def whole(value: Any) -> int:
    """A positive whole number of a size that bits and groups have, else 0."""
    return value if type(value) is int and 0 < value <= _LARGEST else 0


def declared_in(config: Mapping[str, Any]) -> Declared:
    """What a ``config.json`` says of its quantization, of the whole or of its text part."""
    text = config.get("text_config")
    for place in (config, text if isinstance(text, dict) else {}):
        found = place.get("quantization_config") or place.get("compression_config")
        if isinstance(found, dict):
            method = found.get("quant_method")
            named = method[:_LONGEST].lower().replace("_", "-") if isinstance(method, str) else ""
            return Declared(named, found)
    return Declared("", {})


def named(kind: str, bits: int, length: int, groups: int) -> str:
    """The name of a type: ``GPTQ 4-bit g128``; without a group where a row has one scale."""
    group = -(-length // groups) if groups > 1 else 0
    return f"{kind} {bits}-bit" + (f" g{group}" if group else "")
