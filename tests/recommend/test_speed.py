"""Estimated speeds: held against published ones, and what they have to depend on."""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from gemmahub.recommend.speed import (
    Bandwidths,
    MemoryTraffic,
    estimate,
)
from gemmahub.recommend.speed_figures import PLACES
from tests.recommend.published import machine_with, planned, published, variants

GB = 10**9


def traffic(variant: str, *interfaces: str, filled: int = 4096, **settings: Any) -> MemoryTraffic:
    return planned(variant, interfaces, filled, **settings)[1]


def test_published_speeds_are_inside_the_band() -> None:
    rows = published()
    assert len(rows) == 22
    assert sum(row.inside for row in rows) >= 20
    assert median(abs(row.error) for row in rows) < 0.15


def test_bands_are_narrow_where_several_machines_were_measured() -> None:
    for name in ("cuda", "rocm unified", "metal unified"):
        assert PLACES[name].high / PLACES[name].low <= 1.8
    assert PLACES["vulkan unified"].high / PLACES["vulkan unified"].low > 3


def test_a_long_context_is_slower() -> None:
    """31B on two RTX 5060 Ti: 20.9 tokens/s at 8,192 and 14.0 at 131,072 (antonkrug.eu)."""
    two = Bandwidths((448 * GB, 448 * GB), None)
    reference = "gemma-4-31b-it:ud-q4_k_xl-qat"
    short, long = (
        traffic(reference, "cuda", "cuda", context=131_072, filled=filled).speed(two)
        for filled in (8192, 131_072)
    )
    assert long.low < 14.0 < long.high
    assert short.likely / long.likely == pytest.approx(20.9 / 14.0, rel=0.1)


def test_no_more_is_read_than_the_context_holds() -> None:
    reference = "gemma-4-31b-it:ud-q4_k_xl-qat"
    assert traffic(reference, "cuda", context=8192, filled=131_072) == traffic(
        reference, "cuda", context=8192, filled=8192
    )


def test_each_change_of_place_takes_time() -> None:
    one, three = (traffic("gemma-4-26b-a4b-it:q4_0-qat", *["cuda"] * count) for count in (1, 3))
    assert one.hops == 0
    assert three.hops == 2
    slower = 1 / three.speed(Bandwidths((256 * GB,) * 3, None)).likely
    assert slower - 1 / one.speed(Bandwidths((256 * GB,), None)).likely == pytest.approx(
        0.4e-3, rel=0.01
    )


def test_a_cache_in_system_memory_is_read_there() -> None:
    reference = "gemma-4-31b-it:ud-q4_k_xl-qat"
    apart = traffic(reference, "cuda", cache_in_memory=True)
    assert apart.hops == 2 * 60
    assert apart.host == traffic(reference, "cuda").bytes - apart.devices[0]
    assert apart.host > GB


def test_layers_on_the_host_are_read_at_its_rate() -> None:
    reference = "gemma-4-31b-it:ud-q4_k_xl-qat"
    half = traffic(reference, "cuda", gpu_layers=31)
    assert half.host > 7 * GB
    assert half.hops == 1
    found = half.speed(Bandwidths((936 * GB,), 50 * GB))
    cpu_alone = half.host / (PLACES["cpu"].share * 50 * GB)
    assert 1 / found.likely > cpu_alone
    assert found.high / found.low == pytest.approx(PLACES["cpu"].high / PLACES["cpu"].low, rel=0.1)


@pytest.mark.parametrize(
    ("variant", "device", "host", "slowest", "fastest"),
    [
        # RTX 4060 Laptop, DDR5 in two channels (guessed rate): digg.com/ai/khrz0nro
        ("gemma-4-26b-a4b-it:ud-q4_k_xl-qat", 256, 55, 20, 20),
        # RTX 3060, DDR4-2666 in two channels (guessed rate): gemmaclaw#334
        ("gemma-4-26b-a4b-it:q4_k_m", 360, 30, 12, 15),
    ],
)
def test_experts_in_system_memory_are_as_fast_as_published(
    variant: str, device: int, host: int, slowest: float, fastest: float
) -> None:
    apart = traffic(variant, "cuda", experts_in_memory=30)
    experts = sum(variants()[variant].weights.experts)
    assert apart.host == pytest.approx(experts * 8 / 128, rel=1e-6)
    assert apart.copied == experts
    assert apart.hops == 2 * 30
    likely = apart.speed(Bandwidths((device * GB,), host * GB)).likely
    assert 0.8 * slowest < likely < 1.25 * fastest


def test_an_unknown_bandwidth_is_not_a_speed_and_counts_as_the_slowest() -> None:
    reference = "gemma-4-12b-it:q4_k_m"
    on_gpu = traffic(reference, "cuda")
    unknown = Bandwidths((None,), 50 * GB)
    assert estimate(on_gpu, unknown, None) is None
    machine = machine_with("cuda")
    assert unknown.at_worst(machine).devices[0] == pytest.approx(
        machine.devices[0].free_bytes / 0.09
    )
    assert Bandwidths((None,), None).at_worst(machine_with("vulkan unified")) == Bandwidths(
        (29 * GB,), 29 * GB
    )
    # Its low end is the likely speed in 15 GB/s.
    host = traffic(reference)
    worst = host.speed(Bandwidths((), None).at_worst(machine_with())).low
    assert worst == pytest.approx(host.speed(Bandwidths((), 15 * GB)).likely, rel=0.02)
    assert Bandwidths((100,), 7).at_worst(machine) == Bandwidths((100,), 7)


def test_a_bandwidth_of_a_place_that_is_not_used_may_be_unknown() -> None:
    found = estimate(traffic("gemma-4-12b-it:q4_k_m", "cuda"), Bandwidths((GB,), None), None)
    assert found is not None


def test_the_basis_names_both_memories_where_both_are_read() -> None:
    half = traffic("gemma-4-31b-it:ud-q4_k_xl-qat", "cuda", gpu_layers=31)
    found = estimate(half, Bandwidths((936 * GB,), 50 * GB, "one", "other"), None)
    assert found is not None
    assert found.basis == (
        "estimate from one and other; published speeds of processors differ by three times"
    )


def test_the_basis_says_what_the_band_rests_on() -> None:
    on_gpu = traffic("gemma-4-12b-it:q4_k_m", "vulkan unified")
    found = estimate(on_gpu, Bandwidths((90 * GB,), 90 * GB, "90 GB/s (a data sheet)"), None)
    assert found is not None
    assert found.basis == (
        "estimate from 90 GB/s (a data sheet); no speeds of such devices are published"
    )
