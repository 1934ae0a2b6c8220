"""The real program with models, and a program of the tests that does what no real one should."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from gemmahub.engines.contract import Artifact, Sampling, Settings
from gemmahub.testing.model_writer import write_model
from gemmahub_llamaserver.backend import LlamaServerBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gemmahub.engines.contract import Chunk, Prompt, Session, Usage
    from gemmahub_llamaserver.session import LlamaServerSession

FAKE = Path(__file__).with_name("fake_server.py")


def read(chunks: Iterable[Chunk]) -> tuple[str, Usage]:
    """The whole text, and the usage that only the last chunk may carry."""
    seen = list(chunks)
    assert [chunk.usage is None for chunk in seen] == [True] * (len(seen) - 1) + [False]
    usage = seen[-1].usage
    assert usage is not None
    return "".join(chunk.text for chunk in seen), usage


def ask(session: Session, prompt: Prompt, **sampling: object) -> tuple[str, Usage]:
    wanted = {"max_tokens": 24, "temperature": 0.0} | sampling
    return read(session.generate(prompt, Sampling(**wanted)))  # type: ignore[arg-type]


def programs() -> list[int]:
    """The servers, real and of the tests, that this process and its children have started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            words = " ".join(process.cmdline())
            is_server = "--port" in words or FAKE.name in words
            if is_server and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:  # it has ended
            continue
    return found


@pytest.fixture(autouse=True)
def own_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads this user's settings or programs; the cache is shared, it holds the model."""
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    for name in ("GEMMAHUB_PLUGINS", "GEMMAHUB_DEBUG", "LLAMA_SERVER_PATH", "LLAMA_CPP_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The real Gemma 3 270M, Q4_K_M: a base model without a chat template."""
    from gemmahub_wheels.store import WheelStore

    (artifact,) = WheelStore().inventory().artifacts
    return artifact.path


@pytest.fixture(scope="session")
def artifact(model_path: Path) -> Artifact:
    return Artifact("gguf", model_path, (model_path,), name="Gemma 3 270M")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A chat model of random weights."""
    path = tmp_path_factory.mktemp("tiny") / "tiny-F32.gguf"
    write_model(path, letters="éüжд日本中京😀👍")
    return Artifact("gguf", path, (path,), name="tiny")


@pytest.fixture(scope="session")
def backend() -> LlamaServerBackend:
    return LlamaServerBackend()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test: nothing is remembered, and what is left behind is seen."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GEMMAHUB_CACHE", str(folder))
    return folder


@pytest.fixture
def no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No program on the PATH or in a variable, and no package that brings one."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", f"{empty}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for name in ("LLAMA_SERVER_PATH", "LLAMA_CPP_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("gemmahub_llamaserver.programs._MODULE", "gemmahub_no_such_module")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a program of the tests that behaves in a certain way, and makes it the one in use."""

    def make(mode: str = "", folder: str = "own", name: str = "llama-server") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nFAKE_MODE='{mode}' exec '{sys.executable}' '{FAKE}' \"$@\"\n")
        path.chmod(0o755)
        monkeypatch.setenv("LLAMA_SERVER_PATH", str(path))
        return path

    return make


@pytest.fixture(scope="module")
def gemma(artifact: Artifact, backend: LlamaServerBackend) -> Iterator[LlamaServerSession]:
    """A session with the real model."""
    with backend.load(artifact, Settings(context=2048)) as session:
        yield session
