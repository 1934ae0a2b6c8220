"""How MLX packed one weight: what ``config.json`` says, and what the shapes say.

With words of 32 bits, ``columns of words * 32 / columns of scales`` is ``bits * group size``. The
product comes from the shapes; which bits and which group size it is, config says. Where the scales
are bytes, the product alone names the mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.formats.tensor import Tensor

AFFINE: Final = "affine"
_BITS: Final = (2, 3, 4, 5, 6, 8)
_GROUP_SIZES: Final = (64, 32, 128)  # of mode affine, MLX's default first
_LARGEST: Final = 1 << 16
_LONGEST_MODE: Final = 20  # characters; more is the name of no mode
_PREFIXES: Final = frozenset({"language_model", "model"})


class Packing(NamedTuple):
    """Bits of a weight, weights that share a scale, and mode ("affine", "mxfp4", ...)."""

    bits: int
    group_size: int
    mode: str

    @property
    def name(self) -> str:
        """The type's name: ``MLX 4-bit g64``, ``MLX mxfp4 g32``."""
        kind = f"{self.bits}-bit" if self.mode == AFFINE else one_line(self.mode)
        return f"MLX {kind} g{self.group_size}"


_DEFAULT: Final = Packing(4, 64, AFFINE)
_FLOAT_MODES: Final[dict[str, Packing]] = {
    mode: Packing(bits, group_size, mode)
    for mode, bits, group_size in (("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32))
}


@dataclass(frozen=True, slots=True)
class DeclaredPacking:
    """What config says of one module; ``own`` where it names the module itself."""

    packing: Packing
    quantized: bool
    own: bool

    @property
    def name(self) -> str:
        """The type's name, or that it is not quantised."""
        return self.packing.name if self.quantized else "not quantized"


class DeclaredPackings:
    """The ``quantization`` object of a ``config.json``; None for a model that has none."""

    def __init__(self, config: Mapping[str, Any] | None) -> None:
        self._config = config
        self._own = {_bare(name): entry for name, entry in (config or {}).items()}

    def of(self, module: str) -> DeclaredPacking:
        """What it says of ``module``: its own entry, else the general one.

        The prefixes ``model.`` and ``language_model.`` are left out, in whatever order: tools
        rename a model's tensors and not what config says of them.
        """
        if self._config is None:
            return DeclaredPacking(_DEFAULT, quantized=False, own=False)
        own = self._config.get(module, self._own.get(_bare(module)))
        return _said(_packing(self._config, None), own)


def _said(general: Packing, own: Any) -> DeclaredPacking:
    if own is False:
        return DeclaredPacking(general, quantized=False, own=True)
    if isinstance(own, dict):
        return DeclaredPacking(_packing(own, general), quantized=True, own=True)
    return DeclaredPacking(general, quantized=True, own=own is True)


def find_packing(
    weight: Tensor, scales: Tensor, biases: Tensor | None, said: DeclaredPacking
) -> tuple[Packing | None, str]:
    """How ``weight`` is packed by its shapes, and a note where that is not what config says.

    None where no packing fits; then the tensors are left as they are stored.
    """
    product = _product(weight, scales)
    if product is None:
        return None, "the shapes of packed weights and scales do not fit each other"
    floats = biases is None and (scales.type == "U8" or scales.type.startswith("F8"))
    found = _float_packing(product) if floats else _affine_packing(product, said.packing)
    if found is None:
        return None, f"the shapes give {product} bits per group, which no packing has"
    if said.quantized and found == said.packing:
        return found, ""
    return found, f"config.json says {said.name}, but the tensors are {found.name}"


def _product(weight: Tensor, scales: Tensor) -> int | None:
    """Bits of a group, without its scale."""
    if len(weight.shape) < 2 or weight.shape[:-1] != scales.shape[:-1]:
        return None
    words, groups = weight.shape[-1], scales.shape[-1]
    return words * 32 // groups if words and groups and words * 32 % groups == 0 else None


def _float_packing(product: int) -> Packing | None:
    fits = [p for p in _FLOAT_MODES.values() if p.bits * p.group_size == product]
    return fits[0] if fits else None


def _affine_packing(product: int, said: Packing) -> Packing | None:
    """The packing nearest to what is said: the same group size, else the same bits, else any."""
    fits = [
        Packing(product // size, size, AFFINE)
        for size in dict.fromkeys((said.group_size, *_GROUP_SIZES))
        if product % size == 0 and product // size in _BITS
    ]
    # min() keeps the first of equals, so that what is said comes before MLX's default.
    return min(
        fits, key=lambda p: (p.group_size != said.group_size, p.bits != said.bits), default=None
    )


def _bare(name: str) -> str:
    """A module's name without the parts that say where in the whole model it lies."""
    parts = name.split(".")
    first = next((n for n, part in enumerate(parts) if part not in _PREFIXES), len(parts) - 1)
    return ".".join(parts[first:])


def _packing(entry: Mapping[str, Any], general: Packing | None) -> Packing:
    """Bits, group size and mode of an entry; what it leaves out has the mode's default."""
    mode = entry.get("mode")
    if not isinstance(mode, str) or len(mode) > _LONGEST_MODE:
        mode = general.mode if general is not None else AFFINE
    default = _FLOAT_MODES.get(mode, _DEFAULT)
    if general is not None and general.mode == mode:
        default = general
    return Packing(
        bits=_positive(entry.get("bits"), default.bits),
        group_size=_positive(entry.get("group_size"), default.group_size),
        mode=mode,
    )


def _positive(value: Any, default: int) -> int:
    # 32 bits and groups of 128 are the most that any packing has.
    return value if type(value) is int and 0 < value <= _LARGEST else default
