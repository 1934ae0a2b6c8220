"""Loading: what is refused, what a damaged folder says, and that nothing leaves this machine."""

from __future__ import annotations

import json
import shutil
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.asking import dry_load
from gemmahub.engines.contract import Artifact, Settings
from gemmahub.engines.manager import load_plugins
from gemmahub.errors import LoadFailed
from gemmahub.python_environment import install_command
from gemmahub_mlx import engine
from gemmahub_mlx.backend import MlxBackend
from gemmahub_mlx.header import read_header
from gemmahub_mlx.settings import choose

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPTIONS = {"hold_memory": False}


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def edit(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def test_nothing_is_fetched(
    backend: MlxBackend, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    backend.load(artifact, Settings(128)).close()


def test_what_is_said_of_the_load(backend: MlxBackend, artifact: Artifact) -> None:
    seen: list[float] = []
    with backend.load(artifact, Settings(), seen.append) as session:
        info = session.info
    assert seen[-1] == 1.0
    assert len(seen) > 10
    assert (info.context, info.context_trained) == (4096, 4096)
    assert info.precision == "F32"
    assert info.settings.cache_type_k == info.settings.cache_type_v == "f32"
    assert engine.version() == engine.CHECKED_VERSION, "check the figures with this version"


def test_a_file_of_the_folder_names_it(backend: MlxBackend, folder: Path) -> None:
    backend.load(Artifact("mlx", folder / "model.safetensors"), Settings(128)).close()


def test_the_cpu_has_no_gpu_layers(backend: MlxBackend, artifact: Artifact) -> None:
    if engine.device() != engine.HOST:
        pytest.skip(f"MLX computes on {engine.device()} here, not on the CPU")
    with backend.load(artifact, Settings(128, gpu_layers=0)) as session:
        assert session.info.device == "CPU"
    with pytest.raises(LoadFailed, match="on the CPU here"):
        backend.load(artifact, Settings(128, gpu_layers=1))


def test_closing_gives_the_memory_back(backend: MlxBackend, artifact: Artifact) -> None:
    import mlx.core as mx

    backend.load(artifact, Settings(128)).close()
    before = mx.get_active_memory()
    with backend.load(artifact, Settings(128)):
        assert mx.get_active_memory() > before + 400_000
    assert mx.get_active_memory() <= before + 4096


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"parallel": 2}, "one answer at a time"),
        ({"threads": 4}, "threads"),
        ({"flash_attention": False}, "attention"),
        ({"context": 0}, "context"),
        ({"ubatch": 0}, "ubatch"),
        ({"context": 2**40}, "context"),
        ({"cache_type_k": "q8_0"}, "one type"),
        ({"cache_type_k": "q5_1", "cache_type_v": "q5_1"}, "q5_1"),
        ({"cache_type_k": "bf16", "cache_type_v": "bf16"}, "bf16"),
    ],
)
def test_settings_that_mlx_cannot_follow(
    backend: MlxBackend, artifact: Artifact, changes: dict[str, Any], said: str
) -> None:
    """A load and a dry load refuse the same."""
    settings = Settings(**{"context": 128} | changes)
    attempts: list[Callable[[Artifact, Settings], object]] = [backend.load, backend.dry_load]
    for attempt in attempts:
        with pytest.raises(LoadFailed, match=said) as caught:
            attempt(artifact, settings)
        assert caught.value.hint


def test_a_part_of_the_layers_on_the_gpu_is_refused(folder: Path) -> None:
    header = read_header(folder)
    chosen = choose(Settings(gpu_layers=None), OPTIONS, header, "Metal")
    assert chosen.settings.gpu_layers == -1
    assert choose(Settings(gpu_layers=3), OPTIONS, header, "Metal").settings.gpu_layers == -1
    assert choose(Settings(gpu_layers=0), OPTIONS, header, "Metal").settings.gpu_layers == 0
    with pytest.raises(LoadFailed, match="1 of 2 layers"):
        choose(Settings(gpu_layers=1), OPTIONS, header, "Metal")


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_the_option_is_true_or_false(backend: MlxBackend, artifact: Artifact, value: Any) -> None:
    with pytest.raises(LoadFailed, match="hold_memory"):
        backend.load(artifact, Settings(128, options={"hold_memory": value}))


# --- damaged and strange folders ----------------------------------------------------------------


def refused(backend: MlxBackend, folder: Path) -> str:
    with pytest.raises(LoadFailed) as caught:
        backend.load(Artifact("mlx", folder), Settings(128)).close()
    assert caught.value.hint
    return caught.value.message


def test_a_shortened_file(backend: MlxBackend, copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "model.safetensors" in refused(backend, copy)


def test_no_config(backend: MlxBackend, copy: Path) -> None:
    (copy / "config.json").unlink()
    assert "config.json" in refused(backend, copy)


def test_a_model_type_that_mlx_lm_does_not_know(backend: MlxBackend, copy: Path) -> None:
    edit(copy, model_type="gemma99")
    assert "gemma99" in refused(backend, copy)


def test_a_config_that_does_not_fit_the_weights(backend: MlxBackend, copy: Path) -> None:
    edit(copy, num_hidden_layers=4)
    assert "mlx-lm cannot load" in refused(backend, copy)


def test_code_of_a_folder_is_never_run(backend: MlxBackend, copy: Path) -> None:
    (copy / "evil.py").write_text("raise SystemExit('it ran')", "utf-8")
    edit(copy, model_file="evil.py")
    assert "custom module" in refused(backend, copy)


# --- without the engine -------------------------------------------------------------------------


def test_availability_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"mlx-lm": "0.32.2", "mlx": "0.32.4", "mlx-cpu": "0.32.4"}
    monkeypatch.setattr(engine, "version", lambda name="mlx-lm": installed.get(name, ""))
    monkeypatch.setattr(sys, "platform", "linux")
    assert MlxBackend().availability().ok
    for name in list(installed):
        version = installed.pop(name)
        found = MlxBackend().availability()
        assert not found.ok
        assert install_command("gemmahub-mlx[cpu]") in found.hint
        assert engine.check().status == "warning"
        installed[name] = version
    monkeypatch.setattr(sys, "platform", "win32")
    assert "macOS and Linux" in MlxBackend().availability().reason


@pytest.mark.parametrize(
    ("part", "apis"),
    [
        ("mlx-metal", ["metal", "cpu"]),
        ("mlx-cuda-13", ["cuda", "cpu"]),
        ("mlx-cpu", ["cpu"]),
        ("", []),
    ],
)
def test_devices_are_those_of_the_compiled_part(
    monkeypatch: pytest.MonkeyPatch, part: str, apis: list[str]
) -> None:
    monkeypatch.setattr(engine, "version", lambda name="mlx-lm": "1" if name == part else "")
    monkeypatch.setattr(engine, "library", lambda: pytest.fail("MLX was imported"))
    assert [device.api for device in MlxBackend().devices()] == apis


def test_a_dry_load_needs_no_engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan for a Mac can be made where MLX is not installed."""
    monkeypatch.setattr(engine, "version", lambda name="mlx-lm": "")
    monkeypatch.setattr(engine, "library", lambda: pytest.fail("MLX was imported"))
    found = MlxBackend().dry_load(Artifact("mlx", folder), Settings(1024))
    assert [use.device for use in found.devices] == ["Metal"]
    assert found.basis == "formula"


def test_a_dry_load_in_the_worker(backend: MlxBackend, artifact: Artifact) -> None:
    (offer,) = load_plugins(only=["mlx"]).backends()
    found = dry_load(offer, artifact, Settings(1024))
    assert found == backend.dry_load(artifact, Settings(1024))
