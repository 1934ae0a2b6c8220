"""What every reader of a model file hands out: a list of tensors, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final


@dataclass(frozen=True, slots=True)
class StorageType:
    """How one tensor's numbers are stored.

    ``block_size`` is in weights, ``block_bytes`` in bytes; both are None when not known.
    """

    name: str
    block_size: int | None
    block_bytes: int | None

    def bytes_for(self, shape: tuple[int, ...]) -> int | None:
        """Bytes of a tensor of ``shape`` (the contiguous dimension first), None if unknown."""
        if self.block_size is None or self.block_bytes is None:
            return None
        return prod(shape) // self.block_size * self.block_bytes


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a model file.

    ``shape`` is as the file gives it; ``parameters`` is the number of weights (for packed formats
    such as MLX that is not the product of the stored shape); ``bytes`` is None when the type's size
    is not known.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    bytes: int | None


UNKNOWN_PACKING: Final = "packed by "
"""Begins the name of a type whose words hold an unknown number of weights: ``packed by aqlm``."""
