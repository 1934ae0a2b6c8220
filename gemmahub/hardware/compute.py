"""How many operations a second a machine can do, as far as names, cores and widths tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.hardware.datasheet import published_flops

if TYPE_CHECKING:
    from gemmahub.hardware.records import Cpu, Device

_CLOCK: Final = 3_000_000_000
"""Cycles a second of a core under load: an ESTIMATE, between servers and desktops."""

_PER_CYCLE: Final = (
    # Two fused multiply-adds of eight numbers. AVX-512 gives llama.cpp little more: 16 cores of a
    # Xeon W read a prompt of Llama 7B at 28 tokens/s, 16 of an i9-13900K at 55
    # (XiongjieDai/GPU-Benchmarks-on-LLM-Inference#1, ggml-org/llama.cpp#34).
    ("avx2", 32),
    ("asimd", 16),
)
"""FP32 operations a cycle of a core by instruction set, the widest first."""


def device_flops(device: Device) -> int | None:
    """FP32 operations a second by the data sheet; None where it does not know the device, or only
    a part of one is here."""
    return None if "/" in device.id else published_flops(device.name)


def cpu_flops(cpu: Cpu) -> int | None:
    """FP32 operations a second by cores, an assumed clock and the width of the instructions."""
    cores = cpu.performance_cores or cpu.physical_cores.value or cpu.usable.value
    width = next((count for name, count in _PER_CYCLE if name in cpu.instruction_sets), None)
    if not cores or width is None:
        return None
    return min(cores, cpu.usable.value or cores) * width * _CLOCK
