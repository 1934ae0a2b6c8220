"""The largest settings that fit a machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.memory.kv_cache import PADDING
from gemmahub.memory.plan import MemoryPlan, plan_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.machine import MachineMemory
    from gemmahub.memory.projector import ImageMemory
    from gemmahub.memory.settings import MemorySettings
    from gemmahub.memory.weight_sums import Weights

UNLIMITED_CONTEXT: Final = 1 << 20
"""How far to look where a model does not say what context it was trained for, tokens."""

_HALVE_EVERY: Final = 4


def largest_context(
    architecture: MemoryArchitecture,
    weights: Weights,
    settings: MemorySettings,
    machine: MachineMemory,
    *,
    limit: int | None = None,
    images: ImageMemory | None = None,
) -> int:
    """The largest context in steps of 256 tokens that fits with these settings, 0 if none does.

    ``limit`` is the context the model was trained for unless another is given. 256 tokens more do
    not fit, or are beyond the limit. With settings whose buffers do not grow steadily (ggml packs
    some contexts worse than larger ones) a context far beyond may fit again.
    """
    top = max(1, (limit or architecture.context_length or UNLIMITED_CONTEXT) // PADDING)

    def plan(steps: int) -> MemoryPlan:
        return plan_memory(
            architecture,
            weights,
            replace(settings, context=steps * PADDING),
            machine,
            images=images,
        )

    largest = plan(top)
    # Scores have a column for each cell; with flash attention only masks have one.
    compute = largest.compute
    grows = compute.input_bytes if settings.flash_attention else compute.compute_bytes
    return PADDING * last_that_fits(
        lambda steps: plan(steps).headroom_bytes,
        top,
        largest.headroom_bytes,
        (largest.kv_cache.global_bytes + grows) // top,
        largest.kv_cache.cells.streams,
    )


def layers_that_fit(
    architecture: MemoryArchitecture,
    weights: Weights,
    settings: MemorySettings,
    machine: MachineMemory,
    *,
    images: ImageMemory | None = None,
) -> int:
    """The largest ``gpu_layers`` that the accelerators have room for, whatever the host has."""
    top = len(architecture.layers) + 1
    if not machine.devices:
        return 0

    def room(layers: int) -> int:
        chosen = replace(settings, gpu_layers=layers)
        return _accelerator_room(plan_memory(architecture, weights, chosen, machine, images=images))

    # With all layers on accelerators no weights are copied there, so all may fit where one layer
    # less does not.
    if room(top) >= 0:
        return top
    return last_that_fits(room, top - 1, room(top - 1), _layer_bytes(weights, machine), 1)


def experts_that_stay(
    architecture: MemoryArchitecture,
    weights: Weights,
    settings: MemorySettings,
    machine: MachineMemory,
    *,
    images: ImageMemory | None = None,
) -> int | None:
    """The smallest ``experts_in_memory`` of at least 1 with which the accelerators have room for
    the rest, whatever the host has; None where they never have."""
    layers = len(architecture.layers)

    def room(moved: int) -> int:
        chosen = replace(settings, experts_in_memory=layers - moved)
        return _accelerator_room(plan_memory(architecture, weights, chosen, machine, images=images))

    if room(0) < 0:
        return None
    most = layers - 1
    return layers - last_that_fits(room, most, room(most), _layer_bytes(weights, machine), 1)


def _accelerator_room(plan: MemoryPlan) -> int:
    """What is left on the fullest accelerator."""
    return min(place.free_bytes - place.total_bytes for place in plan.places[:-1])


def _layer_bytes(weights: Weights, machine: MachineMemory) -> int:
    """What one layer more takes of an accelerator, about."""
    return sum(weights.layers) // max(1, len(weights.layers) * len(machine.devices))


def last_that_fits(
    room: Callable[[int], int], top: int, room_at_top: int, slope: int, stride: int
) -> int:
    """The largest number up to ``top`` that leaves room, the next one not; 0 if not even 1 does.

    Room is nearly linear, so each guess lies where the line through the two guesses before meets
    zero; the first uses ``slope``, the room that a step takes. Room goes down in stairs that are
    ``stride`` steps wide, so guesses are at their ends. Halving now and then makes sure of an end
    where room is far from linear.
    """
    low, high = 0, top + 1
    at, left = top, room_at_top
    tries = 0
    while True:
        if left >= 0:
            low = at
        else:
            high = at
        if high - low <= 1:
            return low
        tries += 1
        guess = (low + high) // 2 if tries % _HALVE_EVERY == 0 else at + left // max(1, slope)
        guess = min(max(guess - guess % stride, low + 1), high - 1)
        found = room(guess)
        # Where a step more takes no room at all, the slope says nothing.
        slope = (left - found) // (guess - at) or slope
        at, left = guess, found
