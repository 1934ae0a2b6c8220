"""Dry loads of catalogue models that are not here: header, engine, and the plan they make."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.header import write_catalog_header
from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.asking import BackendCalls
from gemmahub.engines.contract import Artifact, DeviceUse, DryLoad, Settings
from gemmahub.engines.manager import BackendOffer, load_plugins
from gemmahub.errors import GemmahubError, NotFound, UsageError
from gemmahub.memory import DeviceMemory, MachineMemory, MemorySettings, plan_memory
from gemmahub.planning import make_plan, model_of
from gemmahub.planning.dry_load import dry_load_plan, engine_settings, with_dry_load
from gemmahub.planning.header import Header, header_of
from gemmahub.service import Library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.planning import Plan
    from gemmahub.registry.variants import Variant

GIB = 1 << 30
MIB = 1 << 20
CPU_ONLY = MachineMemory((), 256 * GIB, 256 * GIB)
ROUNDED = MIB // 200 + 1  # the log's two decimals of a MiB
KNOWN = [v.reference for v in load_catalog().variants if v.types is not None and v.format == "gguf"]


@pytest.fixture(scope="module")
def offer() -> BackendOffer:
    return load_plugins(only=["llamacpp"]).backend("llama.cpp")


@pytest.fixture(scope="module")
def calls(offer: BackendOffer) -> Iterator[BackendCalls]:
    with BackendCalls(offer) as found:
        yield found


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, so that a test sees what is left of them."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def variant_of(reference: str) -> Variant:
    """As if it were not on this machine."""
    return replace(Library().inspect(reference), artifacts=(), memory="")


def plan_of(variant: Variant, machine: MachineMemory, **settings: Any) -> Plan:
    chosen = MemorySettings(**{"context": 8192, "batch": 512, **settings})
    return make_plan(variant, model_of(variant, load_catalog()), chosen, machine)


@pytest.mark.parametrize("reference", KNOWN)
def test_engine_and_formula_agree_on_every_catalogued_file(
    calls: BackendCalls, reference: str
) -> None:
    variant = variant_of(reference)
    formula = plan_of(variant, CPU_ONLY).memory
    with header_of(variant, load_catalog()) as header:
        found = calls.dry_load(header.artifact, Settings(context=8192, gpu_layers=0))
    assert found.weights_bytes == sum(place.weights_bytes for place in formula.places)
    assert found.kv_cache_global_bytes == formula.kv_cache.global_bytes
    assert found.kv_cache_window_bytes == formula.kv_cache.window_bytes
    assert found.output_bytes == formula.compute.output_bytes
    assert abs(found.compute_bytes - formula.compute.compute_bytes) <= ROUNDED


def test_the_header_is_sparse_temporary_and_says_where_it_came_from(
    temporary_folder: Path,
) -> None:
    variant = variant_of("gemma-3-27b-it:q4_0-qat")
    with header_of(variant, load_catalog()) as header:
        about = header.artifact.path.stat()
        assert header.artifact.path.is_relative_to(temporary_folder)
        assert about.st_size > 16 * 10**9
        assert about.st_blocks * 512 < MIB
        assert "made from the catalogue" in header.remark
    assert not list(temporary_folder.iterdir())
    with pytest.raises(KeyboardInterrupt), header_of(variant, load_catalog()):
        raise KeyboardInterrupt
    assert not list(temporary_folder.iterdir())


def test_what_is_here_is_asked_itself() -> None:
    variant = Library().inspect("gemma-3-270m")
    with header_of(variant, load_catalog()) as header:
        assert header.artifact == variant.artifacts[0]
        assert not header.remark


def test_no_header_without_file_and_catalogue(temporary_folder: Path) -> None:
    known = variant_of("gemma-3-270m")
    with pytest.raises(NotFound), header_of(replace(known, reference="./x.gguf"), load_catalog()):
        pass
    unknown = next(v for v in load_catalog().variants if v.types is None)
    model = load_catalog().model(unknown.model)
    assert model is not None
    with pytest.raises(GemmahubError, match="types"):
        write_catalog_header(model, unknown, temporary_folder / "x.gguf")
    assert not list(temporary_folder.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files there")
def test_a_file_system_without_room_for_the_length_is_an_error(temporary_folder: Path) -> None:
    """As on one that has no sparse files and is nearly full."""
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 22, 1 << 22))\n"
        "from gemmahub.cli.main import run\n"
        "sys.exit(run(['plan', 'gemma-3-27b-it:q4_0-qat', '--exact']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(temporary_folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr
    assert "TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(temporary_folder.iterdir())


# --- what the engine is told ----------------------------------------------------------------------


def test_the_engine_gets_the_settings_of_the_plan(offer: BackendOffer) -> None:
    plan = plan_of(
        variant_of("gemma-3-4b-it:q4_0-qat"), CPU_ONLY, context=5000, cache_type_k="q8_0",
        flash_attention=False, full_swa_cache=True, ubatch=64, outputs_max=0,
    )  # fmt: skip
    assert engine_settings(plan.memory, offer) == Settings(
        context=5000, cache_type_k="q8_0", flash_attention=False, ubatch=64, gpu_layers=0,
        options={"swa_full": True, "outputs_max": 0},
    )  # fmt: skip


def test_an_engine_without_such_a_setting_is_not_asked() -> None:
    echo = load_plugins(only=["echo"]).backend("echo")
    variant = variant_of("gemma-3-4b-it:q4_0-qat")
    assert engine_settings(plan_of(variant, CPU_ONLY).memory, echo).options == {}
    with pytest.raises(UsageError, match="swa_full"):
        engine_settings(plan_of(variant, CPU_ONLY, full_swa_cache=True).memory, echo)


@pytest.mark.parametrize(
    "settings",
    [
        {"full_swa_cache": True},
        {"outputs_max": 0},
        {"flash_attention": False},
        {"cache_type_k": "q8_0", "cache_type_v": "q4_0"},
        {"ubatch": 1024, "batch": 1024},
        {"context": 65536},
    ],
)
def test_every_setting_reaches_the_engine(offer: BackendOffer, settings: dict[str, Any]) -> None:
    """The engine's own figures change as the formula says that they do."""
    variant = variant_of("gemma-3-1b-it:q4_0-qat")
    plan = plan_of(variant, CPU_ONLY, **settings)
    with header_of(variant, load_catalog()) as header:
        found = dry_load_plan(plan, offer, header, CPU_ONLY)
    usual = plan_of(variant, CPU_ONLY)
    assert found.memory.total_bytes == pytest.approx(plan.memory.total_bytes, abs=ROUNDED)
    assert abs(found.memory.total_bytes - usual.memory.total_bytes) > MIB


# --- engines and accelerators ---------------------------------------------------------------------


def two(free: int) -> MachineMemory:
    return MachineMemory(
        (DeviceMemory("cuda:0", "cuda", free, free), DeviceMemory("cuda:1", "cuda", free, free)),
        64 * GIB,
        64 * GIB,
    )


@pytest.mark.parametrize("machine", [two(12 * GIB), replace(two(24 * GIB), devices=())])
@pytest.mark.parametrize("gpu_layers", [None, 20])
def test_an_engine_without_gpu_gives_its_buffers_to_a_plan_for_one(
    offer: BackendOffer, machine: MachineMemory, gpu_layers: int | None
) -> None:
    if machine.devices and offer.backend.availability().ok and _sees_gpu():
        pytest.skip("this build of llama.cpp has GPU support")
    variant = variant_of("gemma-3-12b-it:q4_0-qat")
    plan = plan_of(variant, machine, gpu_layers=gpu_layers)
    with header_of(variant, load_catalog()) as header:
        found = dry_load_plan(plan, offer, header, machine)
    assert found.dry is not None
    note = any("asked without accelerators" in note for note in found.notes)
    assert note == bool(machine.devices)
    for before, after in zip(plan.memory.places, found.memory.places, strict=True):
        # On the CPU the formula is the engine's own, so nothing moves but by rounding.
        assert after.weights_bytes == before.weights_bytes
        assert after.kv_cache_bytes == before.kv_cache_bytes
        assert after.output_bytes == before.output_bytes
        assert after.compute_bytes == pytest.approx(before.compute_bytes, abs=ROUNDED)
    assert sum(p.kv_cache_bytes for p in found.memory.places) == found.dry.kv_cache_bytes
    assert found.memory.headroom_bytes == pytest.approx(plan.memory.headroom_bytes, abs=3 * ROUNDED)


def _sees_gpu() -> bool:
    devices = pytest.importorskip("gemmahub_llamacpp.devices")
    return bool(devices.gpus())


def test_an_engine_with_gpus_gives_all_its_figures() -> None:
    """As a build with two GPUs would answer; none can be had here."""
    machine = two(12 * GIB)
    plan = plan_of(variant_of("gemma-3-4b-it:q4_0-qat"), machine)
    uses = (
        DeviceUse("CUDA0", 7, 5, 3, 0),
        DeviceUse("CUDA1", 6, 4, 2, 0),
        DeviceUse("CPU", 5, 0, 1, 9),
    )
    dry = DryLoad("engine", Settings(), 8192, 9, 9, 0, 8192, 0, 6, 9, 18, True, uses)
    found = with_dry_load(plan, dry, machine)
    rows = [
        (p.weights_bytes, p.kv_cache_bytes, p.compute_bytes, p.output_bytes)
        for p in found.memory.places
    ]
    assert rows == [(7, 5, 3, 0), (6, 4, 2, 0), (5, 0, 1, 9)]
    assert found.memory.places[0].overhead_bytes == plan.memory.places[0].overhead_bytes
    assert found.as_json()["memory"]["kv_cache_bytes"] == 9


def test_the_vocabulary_of_the_file_counts() -> None:
    """Some publishers keep 262,208 rows, which makes wider logits."""
    usual, wide = (
        plan_memory(*model_of(variant_of(name), load_catalog()), MemorySettings(8192), CPU_ONLY)
        for name in ("gemma-3-4b-it:q4_0-qat", _wide())
    )
    assert wide.compute.output_bytes - usual.compute.output_bytes == 64 * 4


def _wide() -> str:
    return next(
        v.reference
        for v in load_catalog().variants
        if v.types is not None and v.types.vocabulary and v.model == "gemma-3-4b-it"
    )


def test_the_engine_s_refusal_is_not_hidden(offer: BackendOffer, tmp_path: Path) -> None:
    path = tmp_path / "garbage.gguf"
    path.write_bytes(b"no model" * 100)
    plan = plan_of(variant_of("gemma-3-4b-it:q4_0-qat"), two(12 * GIB))
    with pytest.raises(GemmahubError, match="magic"):
        dry_load_plan(plan, offer, Header(Artifact("gguf", path, (path,))), two(12 * GIB))
