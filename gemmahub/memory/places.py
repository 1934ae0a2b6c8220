"""What one place holds of a plan, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PART_NAMES: Final = {
    "weights": "weights",
    "kv_cache": "KV cache",
    "compute": "compute",
    "output": "output",
    "projector": "projector",
    "drafter": "model that drafts",
    "overhead": "driver overhead",
    "saved": "saved context",
}
"""The parts of a place as people read them, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """What one place (an accelerator, or the host) holds, in bytes. ``saved_bytes`` are what a
    server keeps to go back to, ``drafter_bytes`` all that comes with a file that drafts."""

    device: str
    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    output_bytes: int
    projector_bytes: int
    overhead_bytes: int
    capacity_bytes: int
    free_bytes: int
    saved_bytes: int = 0
    drafter_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        return (
            self.weights_bytes
            + self.kv_cache_bytes
            + self.compute_bytes
            + self.output_bytes
            + self.projector_bytes
            + self.overhead_bytes
            + self.saved_bytes
            + self.drafter_bytes
        )
