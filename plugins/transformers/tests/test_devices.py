"""Which device is chosen, and what is said where none is; PyTorch is not needed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Settings
from gemmahub.errors import LoadFailed
from gemmahub.python_environment import install_command
from gemmahub_transformers import devices, engine
from gemmahub_transformers.backend import TransformersBackend
from gemmahub_transformers.devices import choose_device, expected_device, torch_name

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("settings", "here", "chosen"),
    [
        (Settings(), ["CUDA0", "CUDA1", "CPU"], "CUDA0"),
        (Settings(main_device="CUDA1"), ["CUDA0", "CUDA1", "CPU"], "CUDA1"),
        (Settings(gpu_layers=0), ["CUDA0", "CPU"], "CPU"),
        (Settings(gpu_layers=0, main_device="CUDA0"), ["CUDA0", "CPU"], "CPU"),
        (Settings(main_device="CPU"), ["MPS", "CPU"], "CPU"),
        (Settings(gpu_layers=-1), ["MPS", "CPU"], "MPS"),
        (Settings(), ["CPU"], "CPU"),
    ],
)
def test_the_device(settings: Settings, here: list[str], chosen: str) -> None:
    assert choose_device(settings, here) == chosen


@pytest.mark.parametrize(
    "settings",
    [Settings(gpu_layers=5), Settings(main_device="CUDA0"), Settings(gpu_layers=-1)],
)
@pytest.mark.parametrize(
    ("cuda", "said"), [(None, "built without CUDA"), ("13.2", "no usable driver answers")]
)
def test_a_gpu_that_is_not_here(settings: Settings, cuda: str | None, said: str) -> None:
    torch: Any = SimpleNamespace(
        __version__="2.15.0",
        version=SimpleNamespace(cuda=cuda, hip=None),
        cuda=SimpleNamespace(is_available=lambda: False),
    )
    if sys.platform == "darwin":
        pytest.skip("on a Mac nobody asks for CUDA")
    with pytest.raises(LoadFailed, match=said) as caught:
        choose_device(settings, ["CPU"], torch)
    assert "nvidia-smi" in caught.value.hint


def test_gpu_layers_on_the_cpu_are_a_contradiction() -> None:
    with pytest.raises(LoadFailed, match="the CPU as the device"):
        choose_device(Settings(gpu_layers=3, main_device="CPU"), ["CUDA0", "CPU"])


def test_the_names_that_pytorch_has() -> None:
    names = {"CUDA1": "cuda:1", "ROCm0": "cuda:0", "MPS": "mps", "CPU": "cpu"}
    assert {name: torch_name(name) for name in names} == names


@pytest.mark.parametrize(
    ("cuda", "hip", "gpus", "expected"),
    [
        ("'13.2'", "None", 1, "CUDA0"),
        ("'13.2'", "None", 0, "CPU"),
        ("None", "None", 1, "CPU"),
        (None, None, 2, "CUDA0"),  # no PyTorch here: what the machine has
    ],
)
def test_the_device_is_reported_without_importing_pytorch(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    cuda: str | None,
    hip: str | None,
    gpus: int,
    expected: str,
) -> None:
    lines = f"from typing import Optional\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = {hip}"
    (tmp_path / "version.py").write_text(f"__all__ = ['cuda']\n{lines}\n", "utf-8")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(devices, "find_spec", lambda name: spec if cuda else None)
    monkeypatch.setattr(devices, "_nvidia_gpus", lambda: gpus)
    monkeypatch.setattr(sys, "platform", "linux")
    expected_device.cache_clear()
    try:
        assert expected_device() == expected
    finally:
        expected_device.cache_clear()


def test_a_gpu_and_its_memory() -> None:
    about = SimpleNamespace(name="A GPU\x1b[31m", uuid="abc", total_memory=24 << 30)
    torch: Any = SimpleNamespace(
        version=SimpleNamespace(hip=None),
        cuda=SimpleNamespace(
            is_available=lambda: True, device_count=lambda: 2, get_device_properties=lambda n: about
        ),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )
    first, second, host = devices.devices_of(torch)
    assert (first.name, second.name, host.name) == ("CUDA0", "CUDA1", "CPU")
    assert (first.api, first.hardware_id, first.total_bytes) == ("cuda", "GPU-abc", 24 << 30)
    assert "\x1b" not in first.description


def test_availability_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {
        "torch": "2.15.0",
        "transformers": "5.24.0",
        "accelerate": "1.15.0",
        "safetensors": "0.8.0",
        "tokenizers": "0.23.3",
    }
    monkeypatch.setattr(engine, "version", lambda name="transformers": installed.get(name, ""))
    assert TransformersBackend().availability().ok
    for name in list(installed):
        version = installed.pop(name)
        found = TransformersBackend().availability()
        assert not found.ok
        assert name in found.reason
        assert install_command("gemmahub-transformers[torch]") in found.hint
        assert engine.check().status == "warning"
        installed[name] = version
    installed["transformers"] = "4.57.1"
    assert "older" in TransformersBackend().availability().reason
