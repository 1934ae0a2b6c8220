"""The machine that a plan is made for: its accelerators and its host memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DeviceKind = Literal["cuda", "rocm", "vulkan", "metal", "other", "cpu"]

MIB: Final = 1 << 20

CONTEXT_OVERHEAD: Final[dict[DeviceKind, int]] = {
    "cuda": 512 * MIB,
    "rocm": 512 * MIB,
    "vulkan": 256 * MIB,
    "metal": 64 * MIB,
    "other": 256 * MIB,
    "cpu": 0,
}
"""What a driver takes for its context, kernels and libraries, besides what llama.cpp allocates.

ESTIMATES, not measured for this table: they differ by driver, chip and number of compiled kernels,
for CUDA by about a factor of two either way. llama.cpp keeps 1 GiB of each device free for them
(``--fit-target``, ``common/common.h``). ``other`` are devices of which only a plugin knows.
"""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """An accelerator. ``unified``: its memory is the host's (Apple, integrated graphics)."""

    name: str
    kind: DeviceKind
    capacity_bytes: int
    free_bytes: int
    unified: bool = False

    @property
    def shares_host(self) -> bool:
        """Whether what it takes is taken from host memory."""
        return self.unified or self.kind == "metal"


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """Accelerators in the engine's order, and host memory; the CPU is not among the devices."""

    devices: tuple[DeviceMemory, ...]
    host_capacity_bytes: int
    host_free_bytes: int


Device, Machine = DeviceMemory, MachineMemory
"""Their former names, for scripts that import them."""
