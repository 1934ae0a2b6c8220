"""What other context lengths and cache types would take, and the largest of each that fits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.memory import largest_context, plan_memory
from gemmahub.memory.settings import is_quantised

if TYPE_CHECKING:
    from gemmahub.memory import ImageMemory, MachineMemory, MemoryModel, MemorySettings

_FIRST: Final = 4096
_UNKNOWN: Final = 131072  # tokens: how far to go where a model does not say what it was trained for


@dataclass(frozen=True, slots=True)
class ContextTotal:
    """All places together at one context and cache type, and what stays free there (negative: what
    is missing), in bytes. ``cache_type`` is ``q8_0``, or ``q8_0/f16`` where keys and values differ.
    """

    context: int
    cache_type: str
    total_bytes: int
    headroom_bytes: int

    @property
    def fits(self) -> bool:
        return self.headroom_bytes >= 0

    @property
    def share(self) -> float:
        """The part of what is free that it takes, 1 where it does not fit."""
        free = self.total_bytes + self.headroom_bytes
        return self.total_bytes / free if self.fits and free else 1.0

    def as_json(self) -> dict[str, Any]:
        """An entry of ``contexts`` in ``gemmahub compare --json``."""
        return asdict(self) | {"fits": self.fits}


def context_lengths(asked: int, trained: int) -> list[int]:
    """Powers of two from 4,096 to the trained context, and the one that was asked for."""
    last = trained or max(asked, _UNKNOWN)
    found, power = {asked}, _FIRST
    while power <= last:
        found.add(power)
        power *= 2
    return sorted(found)


def context_totals(
    model: MemoryModel,
    settings: MemorySettings,
    machine: MachineMemory,
    images: ImageMemory | None,
) -> tuple[tuple[ContextTotal, ...], tuple[tuple[str, int], ...]]:
    """Totals by context and cache type, and the largest context that fits by cache type.

    Without flash attention quantised types are left out: llama.cpp refuses them.
    """
    architecture, weights = model
    totals, largest = [], []
    for keys, values in _type_pairs(settings):
        name = keys if keys == values else f"{keys}/{values}"
        chosen = replace(settings, cache_type_k=keys, cache_type_v=values)
        for context in context_lengths(settings.context, architecture.context_length):
            found = plan_memory(
                architecture, weights, replace(chosen, context=context), machine, images=images
            )
            totals.append(ContextTotal(context, name, found.total_bytes, found.headroom_bytes))
        largest.append(
            (name, largest_context(architecture, weights, chosen, machine, images=images))
        )
    return tuple(totals), tuple(largest)


def _type_pairs(settings: MemorySettings) -> list[tuple[str, str]]:
    """Pairs of types for keys and values; the one that was asked for is among them."""
    found = [(name, name) for name in USUAL_CACHE_TYPES]
    if not settings.flash_attention:
        found = [pair for pair in found if not is_quantised(pair[1])]
    asked = (settings.cache_type_k, settings.cache_type_v)
    return found if asked in found else [*found, asked]
