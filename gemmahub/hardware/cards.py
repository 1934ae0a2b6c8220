"""GPUs that can be named in the description of a machine, with the memory that each has.

Sizes are in MiB as ``nvidia-smi`` shows them: those of data centre cards are less than what is
sold, where the memory checks itself (46,068 of 48 GB on an L40S). Sizes of cards for PCs are the
sold ones, which drivers show to within one percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.simulate import PRESETS

if TYPE_CHECKING:
    from gemmahub.hardware.simulate import Preset

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class NamedGpu:
    """One GPU with a memory of its own. ``device`` is the name under which data sheets know it;
    ``ram`` is the system memory in GiB of the PC that stands for it, None for a server's card."""

    name: str
    device: str
    memory_bytes: int
    vendor: str
    ram: int | None = None

    @property
    def title(self) -> str:
        """As people say it, with the memory in round GB: ``RTX 3090, 24 GB``."""
        short = self.device.removeprefix("GeForce ").removeprefix("Radeon ")
        return f"{short}, {round(self.memory_bytes / (_MIB << 10)):d} GiB"


_PC: Final = (
    ("rtx-5080", "GeForce RTX 5080", 16), ("rtx-5070-ti", "GeForce RTX 5070 Ti", 16),
    ("rtx-5070", "GeForce RTX 5070", 12), ("rtx-5060-ti-16gb", "GeForce RTX 5060 Ti", 16),
    ("rtx-4080", "GeForce RTX 4080", 16), ("rtx-4070-ti-super", "GeForce RTX 4070 Ti SUPER", 16),
    ("rtx-4070", "GeForce RTX 4070", 12), ("rtx-4060-ti-16gb", "GeForce RTX 4060 Ti", 16),
    ("rtx-4060", "GeForce RTX 4060", 8), ("rtx-3090-ti", "GeForce RTX 3090 Ti", 24),
    ("rtx-3080", "GeForce RTX 3080", 10), ("rtx-3070", "GeForce RTX 3070", 8),
    ("rx-7900-xt", "Radeon RX 7900 XT", 20), ("rx-9070-xt", "Radeon RX 9070 XT", 16),
    ("arc-b580", "Arc B580", 12),
)  # fmt: skip
_SERVERS: Final = (
    ("rtx-a5000", "RTX A5000", 24_564), ("rtx-a6000", "RTX A6000", 49_140),
    ("rtx-6000-ada", "RTX 6000 Ada Generation", 49_140),
    ("rtx-pro-6000", "RTX PRO 6000 Blackwell Workstation Edition", 97_887),
    ("t4", "Tesla T4", 15_360), ("l4", "L4", 23_034), ("a10", "A10", 23_028),
    ("a10g", "A10G", 23_028), ("a40", "A40", 46_068),
    ("l40s", "L40S", 46_068), ("v100-16gb", "Tesla V100-SXM2-16GB", 16_384),
    ("v100-32gb", "Tesla V100-SXM2-32GB", 32_768), ("a100-40gb", "A100-SXM4-40GB", 40_960),
    ("a100-80gb", "A100-SXM4-80GB", 81_920), ("a100-80gb-pcie", "A100 80GB PCIe", 81_920),
    ("h100", "H100 80GB HBM3", 81_559), ("h100-pcie", "H100 PCIe", 81_559),
    ("h200", "H200", 143_771), ("mi300x", "Instinct MI300X", 196_592),
)  # fmt: skip


def _maker(device: str) -> str:
    if device.startswith(("Radeon", "Instinct")):
        return "AMD"
    return "Intel" if device.startswith("Arc") else "NVIDIA"


def _of_preset(preset: Preset) -> NamedGpu:
    size = (preset.memory or 0) * (_MIB << 10)
    return NamedGpu(preset.name, preset.device, size, preset.vendor, preset.ram)


CARDS: Final = {
    card.name: card
    for card in (
        *(_of_preset(preset) for preset in PRESETS if preset.device and preset.memory),
        *(NamedGpu(n, d, gib * (_MIB << 10), _maker(d), 64) for n, d, gib in _PC),
        *(NamedGpu(name, device, mib * _MIB, _maker(device)) for name, device, mib in _SERVERS),
    )
}
"""By name."""
