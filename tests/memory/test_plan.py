"""Weights by device, plans, and the largest settings that fit."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.catalog.records import StoredTypes
from gemmahub.catalog.tensors import tensors_by_layer, variant_tensors
from gemmahub.errors import FormatError
from gemmahub.formats.tensor import Tensor
from gemmahub.memory import (
    DeviceMemory,
    ImageMemory,
    MachineMemory,
    MemoryArchitecture,
    MemoryPlan,
    MemorySettings,
    Weights,
    largest_context,
    layers_that_fit,
    plan_memory,
    weights_by_layer,
    weights_of,
)
from gemmahub.memory.weight_sums import HOST
from gemmahub.memory.weights import layer_devices
from gemmahub.precision.mix import mix_of, mix_of_counted

if TYPE_CHECKING:
    from collections.abc import Callable

GIB = 1 << 30


def model(reference: str) -> tuple[MemoryArchitecture, Weights, int]:
    """Record, weights and bytes of all tensors of a catalogued variant."""
    name, variant = reference.split(":")
    found = load_catalog().model(name)
    assert found is not None
    types = next(v.types for v in found.variants if v.name == variant)
    assert types is not None
    tensors = variant_tensors(found.architecture, types)
    total = sum(tensor.bytes or 0 for tensor in tensors)
    return memory_architecture(found.architecture), weights_of(tensors), total


def machine(*free_gib: float, ram_gib: float = 64, kind: str = "cuda") -> MachineMemory:
    devices = tuple(
        DeviceMemory(f"{kind}:{i}", kind, int(free * GIB), int(free * GIB))  # type: ignore[arg-type]
        for i, free in enumerate(free_gib)
    )
    return MachineMemory(devices, int(ram_gib * GIB), int(ram_gib * GIB))


GEMMA3, WEIGHTS3, BYTES3 = model("gemma-3-4b-it:q4_0-qat")
E2B, WEIGHTS_E2B, BYTES_E2B = model("gemma-4-e2b-it:q4_0-qat")
SETTINGS = MemorySettings(8192)


def check(plan: MemoryPlan) -> None:
    """What holds for every plan."""
    memory = plan.as_json()["memory"]
    parts = ("weights", "kv_cache", "compute", "output", "projector", "overhead", "saved")
    assert memory["total_bytes"] == sum(memory[f"{part}_bytes"] for part in parts)
    assert memory["total_bytes"] == sum(d["total_bytes"] for d in memory["devices"])
    assert sum(p.kv_cache_bytes for p in plan.places) == plan.kv_cache.bytes
    assert plan.fits == (plan.headroom_bytes >= 0)


def test_weights_are_all_tensors() -> None:
    assert WEIGHTS3.bytes == BYTES3
    assert WEIGHTS_E2B.bytes == BYTES_E2B
    assert WEIGHTS3.tied
    assert len(WEIGHTS3.layers) == 34


def test_on_the_cpu_the_tied_table_is_there_once() -> None:
    plan = plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine())
    check(plan)
    assert plan.gpu_layers == 0
    assert plan.places[0].weights_bytes == BYTES3 == plan.mapped_bytes
    assert 0 < plan.repack_bytes < BYTES3


def test_without_mmap_gemma_4_holds_the_tied_table_twice() -> None:
    mapped = plan_memory(E2B, WEIGHTS_E2B, SETTINGS, machine())
    copied = plan_memory(E2B, WEIGHTS_E2B, replace(SETTINGS, mmap=False), machine())
    more = copied.total_bytes - mapped.total_bytes
    assert more == WEIGHTS_E2B.token_table
    assert (mapped.mapped_bytes > 0, copied.mapped_bytes) == (True, 0)


def test_on_an_accelerator_the_tables_stay_on_the_host() -> None:
    plan = plan_memory(E2B, WEIGHTS_E2B, SETTINGS, machine(24))
    check(plan)
    gpu, host = plan.places
    assert plan.gpu_layers == 36
    assert host.weights_bytes == WEIGHTS_E2B.input
    assert gpu.weights_bytes == BYTES_E2B - WEIGHTS_E2B.input + WEIGHTS_E2B.token_table
    assert (host.kv_cache_bytes, gpu.overhead_bytes > 0) == (0, True)
    assert plan.notes


def test_metal_reads_the_mapped_file_in_place() -> None:
    plan = plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine(24, kind="metal"))
    assert sum(p.weights_bytes for p in plan.places) == BYTES3


def test_unified_memory_is_counted_once_more_against_the_host() -> None:
    plan = plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine(24, ram_gib=4, kind="metal"))
    assert plan.headroom_bytes == 4 * GIB - plan.total_bytes
    discrete = plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine(24, ram_gib=4))
    assert discrete.headroom_bytes == 4 * GIB - discrete.places[-1].total_bytes


def test_the_last_layers_go_to_the_accelerator() -> None:
    assert layer_devices(4, 2, [8]) == (HOST, HOST, HOST, 0, 0)
    assert layer_devices(4, 99, [8]) == (0,) * 5
    assert layer_devices(4, 3, []) == layer_devices(4, 0, [8]) == (HOST,) * 5


def test_several_accelerators_share_by_free_memory() -> None:
    assert layer_devices(7, 8, [3 * GIB, GIB]) == (0, 0, 0, 0, 0, 0, 1, 1)
    assert layer_devices(3, 4, [0, 0]) == (0, 0, 1, 1)
    plan = plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine(18, 6))
    check(plan)
    first, second, _ = plan.places
    assert first.kv_cache_bytes > second.kv_cache_bytes > 0


def test_projector_lies_on_the_first_accelerator() -> None:
    images = ImageMemory(850 << 20, 100 << 20)
    with_gpu = plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine(24), images=images)
    without = plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine(), images=images)
    assert with_gpu.places[0].projector_bytes == without.places[0].projector_bytes == 950 << 20
    check(with_gpu)
    check(without)


def test_json_has_the_contract_s_keys() -> None:
    found = json.loads(json.dumps(plan_memory(GEMMA3, WEIGHTS3, SETTINGS, machine(24)).as_json()))
    assert set(found) == {
        "settings", "placement", "memory", "basis", "engine", "fits", "headroom_bytes",
    }  # fmt: skip
    assert found["placement"] == {
        "experts_in_memory": 0, "cache_in_memory": False, "flags": ["--gpu-layers", "all"],
    }  # fmt: skip
    assert found["settings"] == {
        "context": 8192,
        "cache_type_k": "f16",
        "cache_type_v": "f16",
        "flash_attention": True,
        "full_swa_cache": False,
        "ubatch": 512,
        "parallel": 1,
        "outputs_max": 1,
        "gpu_layers": 35,
    }
    assert found["basis"] == "formula"
    assert found["engine"] == "llama.cpp 0.3.36"
    assert {"device", "total_bytes", "capacity_bytes", "free_bytes"} == set(
        found["memory"]["devices"][0]
    )


@pytest.mark.parametrize("gpu_layers", [0, 1, 17, 34, 35])
def test_partial_offload_loses_nothing(gpu_layers: int) -> None:
    plan = plan_memory(GEMMA3, WEIGHTS3, replace(SETTINGS, gpu_layers=gpu_layers), machine(24))
    check(plan)
    weights = sum(place.weights_bytes for place in plan.places)
    assert weights == BYTES3 + (WEIGHTS3.token_table if gpu_layers else 0)


def test_more_layers_leave_less_on_the_host() -> None:
    plans = [
        plan_memory(GEMMA3, WEIGHTS3, replace(SETTINGS, gpu_layers=n), machine(24))
        for n in range(1, 36)
    ]
    for one, next_ in pairwise(plans):
        assert one.places[0].weights_bytes <= next_.places[0].weights_bytes
        assert one.places[-1].weights_bytes >= next_.places[-1].weights_bytes


def test_a_type_of_unknown_size_is_reported() -> None:
    with pytest.raises(FormatError, match="XYZ"):
        weights_of([Tensor("blk.0.ffn_up.weight", "XYZ", (4, 4), 16, None)])


@given(free=st.floats(3.0, 20.0), cache_type=st.sampled_from(["f16", "q8_0"]))
@hypothesis_settings(max_examples=25)
def test_largest_context_is_the_largest(free: float, cache_type: str) -> None:
    host = machine(free)
    settings = MemorySettings(4096, cache_type, cache_type)
    context = largest_context(GEMMA3, WEIGHTS3, settings, host)
    assert 0 <= context <= GEMMA3.context_length
    if context:
        fitting = plan_memory(GEMMA3, WEIGHTS3, replace(settings, context=context), host)
        assert fitting.fits
    if context < GEMMA3.context_length:
        larger = replace(settings, context=context + 256)
        assert not plan_memory(GEMMA3, WEIGHTS3, larger, host).fits


def by_bisection(plan_at: Callable[[int], MemoryPlan], top: int) -> int:
    """The largest number of steps that fits, asked for in the plainest way."""
    if plan_at(top).fits:
        return top
    low, high = 0, top
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if plan_at(middle).fits else (low, middle)
    return low


@pytest.mark.parametrize("gpus", [(), (4,), (2.5, 6), (9, 3, 3)], ids=str)
@pytest.mark.parametrize("name", ["gemma-3-4b-it:q4_0-qat", "gemma-4-31b-it:q4_0-qat"])
def test_largest_context_is_what_bisection_finds_in_fewer_plans(
    name: str, gpus: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, weights, total = model(name)
    plans = asked = 0

    def counted(*values: Any, **images: Any) -> MemoryPlan:
        nonlocal plans
        plans += 1
        return plan_memory(*values, **images)

    monkeypatch.setattr("gemmahub.memory.limits.plan_memory", counted)
    cases = product((0.3, 0.6, 1.0, 1.4), ("f16", "q8_0"), (None, 10), (1, 4), (True, False))
    for room, cache_type, gpu_layers, parallel, flash in cases:
        free = [total / GIB * room + gpu for gpu in gpus]
        host = machine(*free, ram_gib=total / GIB + 6 * room)
        settings = MemorySettings(
            4096,
            cache_type,
            cache_type if flash else "f16",
            flash_attention=flash,
            gpu_layers=gpu_layers,
            parallel=parallel,
            outputs_max=parallel,
        )

        def at(steps: int, s: MemorySettings = settings, m: MachineMemory = host) -> MemoryPlan:
            return plan_memory(architecture, weights, replace(s, context=256 * steps), m)

        expected = by_bisection(at, architecture.context_length // 256)
        assert largest_context(architecture, weights, settings, host) == 256 * expected
        asked += 1
    # Bisection takes one plan where all fits, else two more than the context has bits.
    assert plans <= 5 * asked


@given(free=st.floats(0.5, 8.0))
@hypothesis_settings(max_examples=25)
def test_layers_that_fit_are_the_most(free: float) -> None:
    host = machine(free)
    layers = layers_that_fit(GEMMA3, WEIGHTS3, SETTINGS, host)

    def fits(count: int) -> bool:
        plan = plan_memory(GEMMA3, WEIGHTS3, replace(SETTINGS, gpu_layers=count), host)
        return all(place.total_bytes <= place.free_bytes for place in plan.places[:-1])

    assert fits(layers)
    assert layers == 35 or not fits(layers + 1)


def test_without_accelerators_there_are_no_layers_to_place() -> None:
    assert layers_that_fit(GEMMA3, WEIGHTS3, SETTINGS, machine()) == 0


def test_limits() -> None:
    assert largest_context(GEMMA3, WEIGHTS3, SETTINGS, machine(100)) == 131072
    assert largest_context(GEMMA3, WEIGHTS3, SETTINGS, machine(100), limit=10000) == 9984
    assert largest_context(GEMMA3, WEIGHTS3, SETTINGS, machine(1)) == 0


def test_weights_by_layer_are_those_of_all_tensors() -> None:
    catalog = load_catalog()
    variants = [v for v in catalog.variants if v.types is not None]
    assert len(variants) > 30
    for variant in variants:
        model = catalog.model(variant.model)
        assert model is not None
        assert variant.types is not None
        grouped = tensors_by_layer(model.architecture, variant.types)
        tensors = variant_tensors(model.architecture, variant.types)
        assert weights_by_layer(grouped.model, grouped.layers) == weights_of(tensors)
        assert mix_of_counted(grouped.counted()) == mix_of(tensors)


def test_experts_are_counted_apart() -> None:
    catalog = load_catalog()
    moe, dense = catalog.model("gemma-4-26b-a4b-it"), catalog.model("gemma-4-31b-it")
    assert moe is not None
    assert dense is not None
    types = StoredTypes(default="Q4_0")
    weights = weights_of(variant_tensors(moe.architecture, types))
    width, hidden, experts = 2816, 704, 128
    scales = 4 * experts  # F32, of the down projections
    assert set(weights.experts) == {3 * width * hidden * experts * 18 // 32 + scales}
    assert sum(weights_of(variant_tensors(dense.architecture, types)).experts) == 0
