"""The largest settings that fit a machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.memory.kv_cache import PADDING
from gemmahub.memory.plan import MemoryPlan, plan_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.machine import Machine
    from gemmahub.memory.settings import MemorySettings
    from gemmahub.memory.weights import Weights

UNLIMITED_CONTEXT: Final = 1 << 20
"""How far to look where a model does not say what context it was trained for, tokens."""


def largest_context(
    architecture: MemoryArchitecture,
    weights: Weights,
    settings: MemorySettings,
    machine: Machine,
    *,
    limit: int | None = None,
    projector_bytes: int = 0,
    image_buffer_bytes: int = 0,
) -> int:
    """The largest context in steps of 256 tokens that fits with these settings, 0 if none does.

    ``limit`` is the context the model was trained for unless another is given. 256 tokens more do
    not fit, or are beyond the limit.
    """
    top = limit or architecture.context_length or UNLIMITED_CONTEXT

    def fits(steps: int) -> bool:
        plan = plan_memory(
            architecture,
            weights,
            replace(settings, context=steps * PADDING),
            machine,
            projector_bytes=projector_bytes,
            image_buffer_bytes=image_buffer_bytes,
        )
        return plan.fits

    return PADDING * _largest(fits, max(1, top // PADDING))


def layers_that_fit(
    architecture: MemoryArchitecture,
    weights: Weights,
    settings: MemorySettings,
    machine: Machine,
    *,
    projector_bytes: int = 0,
    image_buffer_bytes: int = 0,
) -> int:
    """The largest ``gpu_layers`` that the accelerators have room for, whatever the host has."""
    top = len(architecture.layers) + 1
    if not machine.devices:
        return 0

    def fits(layers: int) -> bool:
        plan = plan_memory(
            architecture,
            weights,
            replace(settings, gpu_layers=layers),
            machine,
            projector_bytes=projector_bytes,
            image_buffer_bytes=image_buffer_bytes,
        )
        return accelerators_fit(plan)

    # With all layers on accelerators no weights are copied there, so all may fit where one layer
    # less does not.
    return top if fits(top) else _largest(fits, top - 1)


def accelerators_fit(plan: MemoryPlan) -> bool:
    """Whether each accelerator has room for its part."""
    return all(place.total_bytes <= place.free_bytes for place in plan.places[:-1])


def _largest(fits: Callable[[int], bool], top: int) -> int:
    """The number behind which it stops fitting, by bisection; 0 if not even 1 fits."""
    if fits(top):
        return top
    low, high = 0, top
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
