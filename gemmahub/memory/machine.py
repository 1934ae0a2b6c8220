"""The machine that a plan is made for: its accelerators and its host memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from gemmahub.memory.builds import LIBRARY_RULES, EngineRules

DeviceKind = Literal["cuda", "rocm", "vulkan", "metal", "rpc", "other", "cpu"]

MIB: Final = 1 << 20

CONTEXT_OVERHEAD: Final[dict[DeviceKind, int]] = {
    "cuda": 512 * MIB,
    "rocm": 512 * MIB,
    "vulkan": 256 * MIB,
    "metal": 64 * MIB,
    "rpc": 0,
    "other": 256 * MIB,
    "cpu": 0,
}
"""What a driver takes for its context, kernels and libraries, besides what llama.cpp allocates.

ESTIMATES, not measured for this table: they differ by driver, chip and number of compiled kernels,
for CUDA by about a factor of two either way. llama.cpp keeps 1 GiB of each device free for them
(``--fit-target``, ``common/common.h``). ``rpc`` are devices of workers on other machines, which
have their contexts before they say what is free; ``other`` are devices that only a plugin knows.
"""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """An accelerator. ``unified``: its memory is the host's (Apple, integrated graphics), but for
    ``carved_bytes`` of the free ones, which the firmware took from the host before it counted."""

    name: str
    kind: DeviceKind
    capacity_bytes: int
    free_bytes: int
    unified: bool = False
    carved_bytes: int = 0

    def taken_from_host(self, placed: int) -> int:
        """How many of the bytes that are placed here are host memory; its own are used first."""
        if not self.unified and self.kind != "metal":
            return 0
        return max(0, placed - self.carved_bytes)


@dataclass(frozen=True, slots=True)
class MachineMemory:
    """Accelerators in the engine's order, and host memory; the CPU is not among the devices.
    ``rules`` are those of the engine that runs there."""

    devices: tuple[DeviceMemory, ...]
    host_capacity_bytes: int
    host_free_bytes: int
    rules: EngineRules = LIBRARY_RULES

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the accelerators."""
        return tuple(device.name for device in self.devices)


Device, Machine = DeviceMemory, MachineMemory
"""Their former names, for scripts that import them."""
