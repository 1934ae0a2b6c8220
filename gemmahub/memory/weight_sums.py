"""What the tensors of a model sum up to, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST: Final = -1
"""The device number of host memory."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of the tensors by part of the model; made once for a file.

    ``layers`` has an entry for each decoder layer, ``largest`` the bytes of the largest tensor in
    it. ``tied``: the output layer reads the token embedding. ``repackable`` are the bytes of layers
    that a CPU may copy into another order, ``experts`` those of which a token reads a part only.
    """

    token_table: int
    input: int
    layers: tuple[int, ...]
    largest: tuple[int, ...]
    repackable: tuple[int, ...]
    experts: tuple[int, ...]
    output: int
    tied: bool

    @property
    def bytes(self) -> int:
        """All tensors of the file."""
        return self.input + sum(self.layers) + self.output

    def experts_on_host(self, placement: Sequence[int], experts_in_memory: int) -> int:
        """Bytes of the experts that are kept on the host, of layers that are on accelerators."""
        pairs = zip(self.experts[:experts_in_memory], placement, strict=False)
        return sum(size for size, device in pairs if device != HOST)

    @property
    def output_layer(self) -> int:
        """What lies where the output layer lies, the copy of a tied table included."""
        return self.output + (self.token_table if self.tied else 0)
