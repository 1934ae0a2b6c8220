"""GPUs that the installed build of llama.cpp cannot use, and the command that installs one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gemmahub.hardware.records import Kind, Machine
from gemmahub.hardware.simulate import preset_machine, simulate_machine
from gemmahub.python_environment import rebuild_command
from gemmahub_llamacpp.build import accelerators, gpu_checks, library_folder

if TYPE_CHECKING:
    from pathlib import Path

CPU_ONLY: frozenset[str] = frozenset()
PIP = rebuild_command("llama-cpp-python==0.3.36")


def machine(name: str, capability: str | None = None, **facts: str) -> Machine:
    found = preset_machine(name)
    devices = tuple(replace(d, compute_capability=capability) for d in found.devices)
    return replace(found, devices=devices, **facts)  # type: ignore[arg-type]


def build(folder: Path, *names: str) -> frozenset[str] | None:
    for name in names:
        (folder / name).touch()
    return accelerators(folder)


def test_the_build_is_told_by_its_libraries(tmp_path: Path) -> None:
    cpu = ("libggml-base.so.0", "libggml-cpu.so", "libggml.so", "libllama.so", "libggml-blas.so")
    assert build(tmp_path, *cpu) == CPU_ONLY
    gpu = build(tmp_path, "libggml-cuda.so.0.25.3", "ggml-vulkan.dll")
    assert gpu == frozenset({"cuda", "vulkan"})
    more = build(tmp_path, "libggml-metal.dylib", "libggml-cpu-haswell.so")
    assert more == frozenset({"cuda", "vulkan", "metal"})


def test_a_folder_that_does_not_say(tmp_path: Path) -> None:
    assert accelerators(tmp_path) is None
    assert accelerators(tmp_path / "missing") is None
    assert accelerators(None) is None
    assert gpu_checks(machine("rtx-3090"), None, "0.3.36") == []


def test_the_installed_build_is_found_where_the_engine_loads_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert accelerators(library_folder()) is not None
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    assert library_folder() == tmp_path


@pytest.mark.parametrize(
    ("name", "capability", "command"),
    [
        ("rtx-3090", "8.6", f'CMAKE_ARGS="-DGGML_CUDA=on" {PIP} (needs the CUDA toolkit)'),
        ("rx-7900-xtx", None, f'CMAKE_ARGS="-DGGML_VULKAN=on" {PIP} (needs the Vulkan SDK)'),
        ("arc-a770", None, f'CMAKE_ARGS="-DGGML_VULKAN=on" {PIP} (needs the Vulkan SDK)'),
        ("m2-16gb", None, f'CMAKE_ARGS="-DGGML_METAL=on" {PIP} (needs Xcode'),
    ],
)
def test_a_cpu_build_beside_a_gpu(name: str, capability: str | None, command: str) -> None:
    here = machine(name, capability)
    (line,) = gpu_checks(here, CPU_ONLY, "0.3.36")
    assert line.status == "warning"
    assert line.message == f"this build is for the CPU only: {here.devices[0].name} is not used"
    assert line.hint.startswith(command)


def test_an_amd_gpu_with_rocm_has_two_ways() -> None:
    (line,) = gpu_checks(machine("rx-7900-xtx", "gfx1100"), CPU_ONLY, "0.3.36")
    rocm, vulkan = line.hint.split("; or ")
    assert f'CMAKE_ARGS="-DGGML_HIP=on" {PIP} (needs ROCm)' in rocm
    assert rocm.startswith("HIPCXX=")
    assert vulkan.startswith('CMAKE_ARGS="-DGGML_VULKAN=on"')


def test_windows_has_another_shell() -> None:
    (line,) = gpu_checks(machine("rtx-4090", system="Windows 10.0.22631"), CPU_ONLY, "0.3.36")
    assert line.hint.startswith(f'$env:CMAKE_ARGS="-DGGML_CUDA=on"; {PIP}')


@pytest.mark.parametrize(
    ("name", "built"),
    [("rtx-3090", "cuda"), ("rtx-3090", "vulkan"), ("rx-7900-xtx", "hip"), ("arc-a770", "sycl"),
     ("m1-8gb", "metal"), ("cpu-16gb", "")],
)  # fmt: skip
def test_a_build_that_serves_the_gpu(name: str, built: str) -> None:
    assert gpu_checks(machine(name), frozenset(filter(None, [built])), "0.3.36") == []


def test_a_build_for_another_maker() -> None:
    (line,) = gpu_checks(machine("rx-7900-xtx"), frozenset({"cuda"}), "0.3.36")
    assert "this build is for CUDA only" in line.message


def test_an_integrated_gpu_is_no_fault() -> None:
    here = machine("arc-a770")
    device = replace(here.devices[0], kind=Kind.INTEGRATED)
    (line,) = gpu_checks(replace(here, devices=(device,)), CPU_ONLY, "0.3.36")
    assert line.status == "ok"
    assert "GGML_VULKAN" in line.hint


def test_a_gpu_of_no_known_maker_is_left_out() -> None:
    assert gpu_checks(simulate_machine(8 << 30, 16 << 30), CPU_ONLY, "0.3.36") == []
