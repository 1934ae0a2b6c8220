"""A plan against a real load of the real model."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.contract import DeviceUse
from gemmahub.engines.manager import load_plugins
from gemmahub.engines.resident import Resident
from gemmahub.errors import DoesNotFit, NotFound, UsageError
from gemmahub.memory import DeviceMemory, MachineMemory, MemorySettings
from gemmahub.planning import make_plan, model_of
from gemmahub.planning.verification import Verification, VerifiedPart
from gemmahub.planning.verify import loadable, verified_parts, verify
from gemmahub.service import Library

if TYPE_CHECKING:
    from gemmahub.planning import Plan

GIB = 1 << 30
MIB = 1 << 20
CPU_ONLY = MachineMemory((), 64 * GIB, 64 * GIB)


def plan_of(reference: str, machine: MachineMemory, **settings: Any) -> Plan:
    variant = Library().inspect(reference)
    chosen = MemorySettings(**{"context": 2048, "batch": 512, **settings})
    return make_plan(variant, model_of(variant, load_catalog()), chosen, machine)


@pytest.mark.parametrize(
    "settings",
    [{}, {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}, {"full_swa_cache": True, "ubatch": 128}],
)
def test_the_real_model_takes_what_was_planned(settings: dict[str, Any]) -> None:
    offer = load_plugins(only=["llamacpp"]).backend("llama.cpp")
    seen: list[float] = []
    plan = plan_of("gemma-3-270m", CPU_ONLY, gpu_layers=0, **settings)
    actual = verify(plan, offer, seen.append).verification
    assert actual is not None
    assert seen[-1] == 1.0
    assert [row.part for row in actual.parts] == ["weights", "kv_cache", "compute", "output"]
    for row in actual.parts:
        # llama.cpp prints buffers with two decimals of a MiB.
        assert row.actual_bytes == pytest.approx(row.predicted_bytes, abs=MIB // 100), row.part
    assert actual.repack_bytes <= actual.predicted_repack_bytes
    assert actual.prompt_tokens >= min(plan.memory.settings.ubatch, 1024)
    assert actual.tokens == 8
    assert not any("off the plan" in note for note in actual.notes)
    if sys.platform == "linux":
        held = actual.resident
        assert held is not None
        assert held.file_bytes is not None
        assert held.anonymous_bytes is not None
        # All that is planned was touched; Python, llama.cpp and its vocabulary come besides.
        besides = 256 * MIB
        planned = actual.predicted_anonymous_bytes + actual.repack_bytes
        assert 0 <= held.anonymous_bytes - planned < besides
        assert 0 <= held.file_bytes - actual.predicted_mapped_bytes < besides


def test_what_cannot_be_loaded_is_refused() -> None:
    plan = plan_of("gemma-3-270m", CPU_ONLY)
    assert loadable(plan) == plan.variant.artifacts[0]
    with pytest.raises(UsageError, match="text model only"):
        loadable(replace(plan, with_images=True))
    with pytest.raises(NotFound, match="not on this machine"):
        loadable(replace(plan, variant=replace(plan.variant, artifacts=())))
    with pytest.raises(DoesNotFit, match="short"):
        loadable(plan_of("gemma-3-270m", replace(CPU_ONLY, host_free_bytes=100 * MIB)))


def test_an_engine_that_does_not_say_what_it_takes() -> None:
    plan = plan_of("gemma-3-270m", CPU_ONLY)
    actual = verify(plan, load_plugins(only=["echo"]).backend("echo")).verification
    assert actual is not None
    assert actual.parts == ()
    assert "does not report what it allocated" in actual.notes[0]
    assert actual.as_json()["total_bytes"] == 0


def test_places_and_devices_are_matched_in_their_order() -> None:
    device = DeviceMemory("cuda:0", "cuda", 24 * GIB, 24 * GIB)
    plan = plan_of("gemma-3-4b-it:q4_0-qat", replace(CPU_ONLY, devices=(device,))).memory
    gpu, host = plan.places
    uses = (
        DeviceUse("CPU", host.weights_bytes, 0, host.compute_bytes * 2, host.output_bytes),
        DeviceUse("CUDA0", gpu.weights_bytes, gpu.kv_cache_bytes, gpu.compute_bytes),
        DeviceUse("CUDA1", 0, 0, 77),
    )
    rows = {(row.device, row.part): row for row in verified_parts(plan, uses)}
    assert rows["cuda:0", "kv_cache"].difference == 0
    assert rows["cpu", "compute"].difference == 1
    assert rows["CUDA1", "compute"] == VerifiedPart("CUDA1", "compute", 0, 77)
    assert ("cpu", "kv_cache") not in rows
    assert verified_parts(plan, ()) == ()
    without = verified_parts(plan, (DeviceUse("CPU", host.weights_bytes),))
    lost = {(row.device, row.part): row for row in without}["cuda:0", "weights"]
    assert (lost.actual_bytes, lost.difference) == (0, -1)


def test_notes_name_what_is_off_by_more_than_5_percent() -> None:
    rows = (
        VerifiedPart("cpu", "weights", 100, 104),
        VerifiedPart("cpu", "kv_cache", 100, 94),
        VerifiedPart("gpu:0", "compute", 0, 5),
    )
    held = Resident(400, 100, 300, "somewhere")
    actual = Verification("engine", "CPU", rows, 10, 20, 100, 200, held, 5, 3)
    text = "\n".join(actual.notes)
    assert "weights on cpu" not in text
    assert "KV cache on cpu: more than 5 % off the plan (-6.0%)" in text
    assert "compute on gpu:0: more than 5 % off the plan (not predicted)" in text
    assert "pages of a file" in text
    assert "repack" in text
    assert "unknown" in "\n".join(replace(actual, resident=None).notes)
    early = replace(actual, resident=Resident(150, 100, 50, "somewhere"))
    assert "not resident yet: they have not been written to" in "\n".join(early.notes)
    found = actual.as_json()
    assert found["parts"][1]["difference"] == pytest.approx(-0.06)
    assert found["total_bytes"] == 104 + 94 + 5 + 10
    assert found["resident"]["anonymous_bytes"] == 300
