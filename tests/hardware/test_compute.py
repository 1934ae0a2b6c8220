"""Operations a second from names, cores and widths."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmahub.hardware.compute import cpu_flops, device_flops
from gemmahub.hardware.cpu import unknown_cpu
from gemmahub.hardware.datasheet import published_flops
from gemmahub.hardware.records import Cpu, Device, Figure, Kind

FREE = Figure(24 << 30, "test")


def cpu(cores: int, usable: int, *sets: str, fast: int | None = None) -> Cpu:
    return replace(
        unknown_cpu("test"),
        physical_cores=Figure(cores, "test", unit="cores"),
        usable=Figure(usable, "test", unit="CPUs"),
        performance_cores=fast,
        instruction_sets=sets,
    )


def test_a_device_is_found_by_its_name_and_a_part_of_it_is_not() -> None:
    whole = Device("cuda:0", "NVIDIA GeForce RTX 3090", "NVIDIA", Kind.DISCRETE, FREE, FREE)
    assert device_flops(whole) == 35_600 * 10**9
    assert device_flops(replace(whole, id="cuda:0/mig:1")) is None
    assert device_flops(replace(whole, name="GeForce RTX 30")) is None
    assert published_flops(None) is None


@pytest.mark.parametrize(
    ("processor", "flops"),
    [
        (cpu(16, 32, "avx2", "fma"), 16 * 32 * 3 * 10**9),
        (cpu(16, 32, "avx2", "avx512f"), 16 * 32 * 3 * 10**9),
        (cpu(16, 32, "avx2", fast=8), 8 * 32 * 3 * 10**9),
        (cpu(16, 2, "avx2"), 2 * 32 * 3 * 10**9),
        (cpu(4, 4, "asimd"), 4 * 16 * 3 * 10**9),
        (cpu(4, 4), None),
        (unknown_cpu("test"), None),
    ],
)
def test_a_processor_counts_by_cores_that_may_be_used_and_width(
    processor: Cpu, flops: int | None
) -> None:
    assert cpu_flops(processor) == flops
