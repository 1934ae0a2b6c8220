"""Real servers on free ports, and servers of the tests that fail in one way each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Sampling
from gemmahub.engines.program import start_program
from gemmahub.testing.model_writer import WIDTH, write_model
from gemmahub.testing.projector_writer import write_projector
from gemmahub_llamaserver.programs import find_build
from gemmahub_openai.backend import OpenAIBackend
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.servers import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Chunk, Prompt, ServedModel, Session, Usage
    from gemmahub.engines.program import Program

CONTEXT = 512


def read(chunks: Iterable[Chunk]) -> tuple[str, Usage]:
    """The whole text, and the usage that only the last chunk may carry."""
    seen = list(chunks)
    assert [chunk.usage is None for chunk in seen] == [True] * (len(seen) - 1) + [False]
    usage = seen[-1].usage
    assert usage is not None
    return "".join(chunk.text for chunk in seen), usage


def ask(session: Session, prompt: Prompt, **sampling: object) -> tuple[str, Usage]:
    wanted = {"max_tokens": 8, "temperature": 0.0} | sampling
    return read(session.generate(prompt, Sampling(**wanted)))  # type: ignore[arg-type]


def started(*arguments: object, name: str = "llama-server") -> Program:
    """A real llama-server with these arguments, on a free port."""
    command = [*find_build().command, *map(str, arguments)]

    def ready(program: Program) -> bool:
        with ServerClient(Server("", f"http://127.0.0.1:{program.port}")) as client:
            return client.fetch("GET", "/health", None, Clock(1.0), "it starts").status == 200

    return start_program(
        lambda port: [*command, "--port", str(port)],
        name=name,
        ready=ready,
        ready_seconds=120.0,
        without=("LLAMA_*",),
        patience=2.0,
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chat model of random weights with a projector, and another model, each in its folder."""
    found = tmp_path_factory.mktemp("models")
    write_model(found / "tiny-F32.gguf", letters="éüжд日本中京😀👍")
    write_model(found / "other-F32.gguf")
    write_projector(found / "mmproj-tiny.gguf", WIDTH)
    return found


@pytest.fixture(scope="session")
def llama(folder: Path) -> Iterator[Program]:
    """A llama-server with one model that takes images."""
    program = started(
        *("--model", folder / "tiny-F32.gguf", "--mmproj", folder / "mmproj-tiny.gguf"),
        *("--alias", "tiny", "--ctx-size", 2 * CONTEXT, "--parallel", 2, "--no-kv-unified"),
    )
    yield program
    program.stop()


@pytest.fixture(scope="session")
def router(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A llama-server that loads one of two models when it is asked to."""
    models = tmp_path_factory.mktemp("router")
    for name in ("tiny-F32.gguf", "other-F32.gguf"):
        (models / name).symlink_to(folder / name)
    program = started("--models-dir", models, "--ctx-size", CONTEXT)
    yield program
    program.stop()


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine is seen, and none of its well-known ports is asked."""
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "openai")
    monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", "[]")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "GEMMAHUB_DEBUG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def name_servers(tmp_path: Path) -> Callable[..., None]:
    """Write servers into the settings file: addresses, or tables, by name."""

    def write(**servers: object) -> None:
        lines = []
        for name, found in servers.items():
            table = found if isinstance(found, dict) else {"url": found}
            lines.append(f"[plugins.openai.servers.{name.replace('_', '-')}]")
            lines += [f"{key} = {toml(value)}" for key, value in table.items()]
        (tmp_path / "config.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture
def backend() -> OpenAIBackend:
    return OpenAIBackend()


def address(program: Program) -> str:
    return f"http://127.0.0.1:{program.port}"


def only(records: Iterable[Any], reference: str) -> ServedModel:
    """The one model with that reference."""
    (found,) = [one for one in records if getattr(one, "reference", "") == reference]
    model: ServedModel = found
    return model


def called(model: ServedModel, name: str) -> ServedModel:
    return replace(model, name=name)
