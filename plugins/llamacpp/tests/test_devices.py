"""llama.cpp's own list of devices, and a choice from it."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from gemmahub.engines.asking import devices_of
from gemmahub.engines.contract import Settings
from gemmahub.engines.manager import load_plugins
from gemmahub.errors import LoadFailed
from gemmahub_llamacpp import devices, engine
from gemmahub_llamacpp.backend import LlamaCppBackend
from gemmahub_llamacpp.model import LlamaModel

GIB = 1 << 30
CARDS = (
    ("CPU", "Some processor", 0, None),
    ("BLAS", "", 3, None),
    ("CUDA0", "NVIDIA RTX A", 1, b"0000:41:00.0"),
    ("CUDA1", "NVIDIA RTX B", 1, b"0000:01:00.0"),
    ("Vulkan0", "Intel UHD", 2, b"0000:00:02.0"),
    ("MTL0", "Apple M3", 1, None),
)


class FakeGgml:
    """ggml's device functions over a list of cards."""

    def __init__(self, cards: tuple[Any, ...]) -> None:
        self.ggml_backend_dev_count = lambda: len(cards)
        self.ggml_backend_dev_get = lambda index: 1000 + index
        self.ggml_backend_dev_get_props = self._fill
        for function in ("count", "get", "get_props"):
            holder = SimpleNamespace(call=getattr(self, f"ggml_backend_dev_{function}"))
            setattr(self, f"ggml_backend_dev_{function}", _Function(holder.call))
        self.cards = cards

    def _fill(self, handle: int, pointer: Any) -> None:
        properties = pointer._obj
        name, description, kind, address = self.cards[handle - 1000]
        properties.name, properties.description = name.encode(), description.encode()
        properties.type, properties.device_id = kind, address
        properties.memory_total, properties.memory_free = 8 * GIB, 7 * GIB


class _Function:
    """A function whose types may be declared, as ctypes' may."""

    def __init__(self, call: Any) -> None:
        self.call = call

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> None:
    library = SimpleNamespace(llama_cpp=SimpleNamespace(_lib=FakeGgml(CARDS)))
    monkeypatch.setattr(engine, "library", lambda: library)


def test_the_real_list_has_the_processor() -> None:
    (cpu, *_) = [found.device for found in devices.all_devices() if found.device.api == "cpu"]
    assert cpu.name == "CPU"
    assert cpu.description
    assert cpu.total_bytes is not None
    assert 0 < (cpu.free_bytes or 0) <= cpu.total_bytes
    assert ctypes.sizeof(devices._Properties) >= 48


def test_a_worker_is_asked_for_it() -> None:
    offer = next(o for o in load_plugins().backends() if o.backend.name == LlamaCppBackend.name)
    found = devices_of(offer)
    assert found is not None
    assert "cpu" in [device.api for device in found]


@pytest.mark.usefixtures("cards")
def test_devices_say_which_of_the_machine_they_are() -> None:
    found = LlamaCppBackend().devices()
    assert [(device.name, device.api) for device in found] == [
        ("CPU", "cpu"), ("CUDA0", "cuda"), ("CUDA1", "cuda"), ("Vulkan0", "vulkan"),
        ("MTL0", "metal"),
    ]  # fmt: skip
    assert (found[1].hardware_id, found[1].free_bytes) == ("0000:41:00.0", 7 * GIB)


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("", ["CUDA0", "CUDA1", "MTL0"]),
        ("CUDA1", ["CUDA1"]),
        ("cuda:0", ["CUDA0"]),
        ("0000:01:00.0, Vulkan0", ["CUDA1", "Vulkan0"]),
    ],
)
def test_gpus_are_chosen_by_name_or_address(wanted: str, names: list[str]) -> None:
    assert [found.device.name for found in devices.gpus(wanted)] == names


@pytest.mark.usefixtures("cards")
@pytest.mark.parametrize(
    ("wanted", "main", "names"),
    [
        ("", "CUDA1", ["CUDA1"]),
        ("CUDA0, CUDA1", "CUDA1", ["CUDA1", "CUDA0"]),
        ("CUDA0", "0000:01:00.0", ["CUDA1", "CUDA0"]),
        ("CUDA0", "CPU", []),
    ],
)
def test_the_main_device_leads_or_is_the_only_one(wanted: str, main: str, names: list[str]) -> None:
    assert [found.device.name for found in devices.gpus(wanted, main)] == names


@pytest.mark.usefixtures("cards")
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(LoadFailed, match="finds no GPU 'CUDA7'") as refused:
        devices.gpus("CUDA7")
    assert "CUDA1 0000:01:00.0" in refused.value.hint


@pytest.mark.parametrize("choice", [{"options": {"devices": "CPU"}}, {"main_device": "CUDA0"}])
def test_the_choice_reaches_a_load(artifact: Any, backend: LlamaCppBackend, choice: Any) -> None:
    """The processor stands in for a GPU: it is a device of the list as they are."""
    cpu = next(found for found in devices.all_devices() if found.device.api == "cpu")
    given: list[Any] = []

    def load(*arguments: Any, **options: Any) -> LlamaModel:
        given.append(options["devices"])
        return LlamaModel(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "gpus", lambda wanted, main: [cpu] if wanted or main else [])
        patch.setattr("gemmahub_llamacpp.model.LlamaModel", load)
        settings = Settings(context=256, gpu_layers=-1, **choice)
        with backend.load(artifact, settings) as session:
            assert session.info.device.startswith("CPU (")
    assert given == [(cpu.handle,)]
