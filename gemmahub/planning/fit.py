"""Whether a model fits in what is free now, and how long a context it then keeps.

With the settings that ``gemmahub run`` uses by default: an f16 cache, one sequence, all layers on
the accelerators where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError
from gemmahub.memory import MemorySettings, largest_context, layers_that_fit, plan_memory
from gemmahub.planning.model import known_places_of, model_of
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.catalog.records import Catalog
    from gemmahub.hardware import records as hardware
    from gemmahub.memory import MachineMemory, MemoryModel
    from gemmahub.registry.variants import Variant

USEFUL_CONTEXT: Final = 4096
"""Tokens below which a model fits in name only: a question with a page of text and its answer."""

RESERVE_BYTES: Final = 1 << 30
"""What should stay free for others: llama.cpp's own margin (``--fit-target``, ``common/common.h``
of ggml-org/llama.cpp@0c1e57098)."""

_LEAST: Final = 256  # the smallest cache there is
_BATCH: Final = 512  # gemmahub's backend makes a batch as long as a ubatch


@dataclass(frozen=True, slots=True)
class Fit:
    """An answer. ``fits`` is None where it is not known; ``reason`` then says why.

    ``largest_context`` in tokens is what fits, at most what the model was trained for;
    ``short_bytes`` is what is missing for the smallest context. ``tight``: it fits, with less than
    ``USEFUL_CONTEXT`` tokens, or with less than ``RESERVE_BYTES`` left beside that many.
    """

    fits: bool | None
    largest_context: int | None = None
    short_bytes: int | None = None
    reason: str = ""
    tight: bool = False

    @classmethod
    def unknown(cls, reason: str) -> Fit:
        """No answer, and why."""
        return cls(None, reason=reason)

    @classmethod
    def not_loadable(cls, reason: str) -> Fit:
        """No engine here can load it, and why."""
        return cls(False, reason=reason)

    @property
    def loadable(self) -> bool:
        """Whether it is only a matter of memory."""
        return self.fits is not False or self.short_bytes is not None

    @property
    def short(self) -> str:
        """As a column has it: ``fits · 131,072``, ``too big · 3.10 GiB short``, ``not loadable``,
        ``?``."""
        if self.fits is None:
            return "?"
        if not self.loadable:
            return "not loadable"
        if not self.fits:
            return f"too big · {format_gib(self.short_bytes or 0)} short"
        return f"{'tight' if self.tight else 'fits'} · {self.largest_context:,}"

    def as_json(self) -> dict[str, Any]:
        """The contract's ``fit`` object."""
        return {
            "fits": self.fits,
            "largest_context": self.largest_context,
            "short_bytes": self.short_bytes,
            "reason": self.reason,
        }


def fits_of(variants: Iterable[Variant], catalog: Catalog, machine: hardware.Machine) -> list[Fit]:
    """For each variant whether it fits in what is free; equal models are looked at once."""
    places, reason = known_places_of(machine)
    if not places:
        return [
            Fit.not_loadable(variant.problem) if variant.problem else Fit.unknown(reason)
            for variant in variants
        ]
    known: dict[str, Fit] = {}
    found = []
    for variant in variants:
        if variant.problem:
            found.append(Fit.not_loadable(variant.problem))
            continue
        key = variant.memory or variant.reference
        if key not in known:
            try:
                known[key] = fit_in(model_of(variant, catalog), places)
            except (GemmahubError, OSError) as error:
                known[key] = Fit.unknown(one_line(str(error)))
        found.append(known[key])
    return found


def fit_in(model: MemoryModel, places: Iterable[MachineMemory]) -> Fit:
    """Whether a model fits in one of the places of a machine, and where it fits best."""
    return max((fit_of(model, place) for place in places), key=_how_well)


def _how_well(fit: Fit) -> tuple[bool, bool, int, int]:
    return bool(fit.fits), not fit.tight, fit.largest_context or 0, -(fit.short_bytes or 0)


def fit_of(model: MemoryModel, machine: MachineMemory) -> Fit:
    """Whether a model fits on a machine. Depends on nothing else."""
    architecture, weights = model
    settings = MemorySettings(context=_LEAST, batch=_BATCH)
    smallest = plan_memory(architecture, weights, settings, machine)
    if not smallest.fits:
        short = -smallest.headroom_bytes
        reason = f"{format_gib(short)} more memory is needed"
        return Fit(False, 0, short, f"{reason}{_with_fewer_layers(model, machine)}")
    largest = largest_context(architecture, weights, settings, machine)
    useful = min(USEFUL_CONTEXT, architecture.context_length or USEFUL_CONTEXT)
    if largest < useful:
        return Fit(True, largest, None, f"not even {useful:,} tokens fit", tight=True)
    left = plan_memory(
        architecture, weights, replace(settings, context=useful), machine
    ).headroom_bytes
    if left < RESERVE_BYTES:
        reason = f"only {format_gib(left)} would stay free with {useful:,} tokens"
        return Fit(True, largest, None, reason, tight=True)
    return Fit(True, largest)


def _with_fewer_layers(model: MemoryModel, machine: MachineMemory) -> str:
    """A word on the layers that accelerators do have room for, where the rest fits on the host."""
    if not machine.devices:
        return ""
    architecture, weights = model
    useful = min(USEFUL_CONTEXT, architecture.context_length or USEFUL_CONTEXT)
    settings = MemorySettings(context=useful, batch=_BATCH)
    layers = layers_that_fit(architecture, weights, settings, machine)
    part = plan_memory(architecture, weights, replace(settings, gpu_layers=layers), machine)
    return f"; it fits with --gpu-layers {layers}" if part.fits else ""
