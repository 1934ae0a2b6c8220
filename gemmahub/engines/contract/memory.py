"""What a model takes, or would take, as its engine says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemmahub.engines.contract.settings import Settings


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """What one device holds, or would hold; ``device`` as the engine names it: ``CPU``, ``CUDA0``.

    All in bytes. Host memory that a GPU driver pins counts as ``CPU``. ``repack_bytes`` are copies
    of weights in another order, besides the weights; only a real load knows them.
    ``projector_bytes`` are an image projector and the buffers in which it computes, where a session
    has one loaded. ``drafter_bytes`` are weights, cache and buffers of what drafts tokens.
    ``overhead_bytes`` are what a driver takes and what the engine leaves alone by its own limit;
    None where the engine does not say, then it is estimated.
    """

    device: str
    weights_bytes: int = 0
    kv_cache_bytes: int = 0
    compute_bytes: int = 0
    output_bytes: int = 0
    repack_bytes: int = 0
    projector_bytes: int = 0
    drafter_bytes: int = 0
    overhead_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DryLoad:
    """What the engine itself says it would allocate; nothing was allocated, no weights were read.

    ``settings`` are those in effect, ``context`` is in tokens. ``cells_global`` and
    ``cells_window`` are the positions that one layer's cache holds, 0 where no layer is of that
    kind. ``compute_bytes`` are the buffers of a computation, ``output_bytes`` those of its results.
    ``weights_bytes`` counts a tensor for each device that holds it. ``devices`` add up to the
    whole. ``basis`` says how the figures were come by: ``dry load`` where the engine's own code
    said them, ``formula`` where the plugin calculates what the engine will do. How exact the
    figures are, the backend says. ``notes`` are sentences for people: what the figures rest on.
    """

    engine: str
    settings: Settings
    context: int
    kv_cache_bytes: int
    kv_cache_global_bytes: int
    kv_cache_window_bytes: int
    cells_global: int
    cells_window: int
    compute_bytes: int
    output_bytes: int
    weights_bytes: int
    flash_attention: bool
    devices: tuple[DeviceUse, ...]
    basis: str = "dry load"
    notes: tuple[str, ...] = ()
