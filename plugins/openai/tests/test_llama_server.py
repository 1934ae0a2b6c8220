"""A real llama-server, with one model and as a router: stated, answered, loaded, unloaded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.config import cache_folder
from gemmahub.engines.contract import BrokenEntry, Message, ServedModel, Settings
from gemmahub.errors import (
    BackendError,
    Cancelled,
    ContextExceeded,
    FormRefused,
    GenerationFailed,
    LoadFailed,
)
from gemmahub.stores.identity import ContentSums
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.llama_server import load_model
from gemmahub_openai.servers import Server
from plugins.openai.tests.conftest import CONTEXT, address, ask, called, only, started

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.engines.program import Program
    from gemmahub_openai.backend import OpenAIBackend

Write = Any
HELLO = [Message("user", "hello")]


def test_it_states_label_contexts_and_file(
    backend: OpenAIBackend, llama: Program, folder: Path, name_servers: Write
) -> None:
    name_servers(lab=f"{address(llama)}/v1/")
    (found,) = backend.served(2.0)
    assert found == ServedModel(
        "lab://tiny",
        "tiny",
        "openai",
        place=address(llama),
        precision="F32",
        context=CONTEXT,
        context_trained=4096,
        images=True,
        loaded=True,
        file=str(folder / "tiny-F32.gguf"),
    )
    (loaded,) = backend.loaded()
    assert (loaded.name, loaded.reference, loaded.label) == ("tiny", "lab://tiny", "F32")


def test_it_holds_its_model_until_it_ends(
    backend: OpenAIBackend, llama: Program, name_servers: Write
) -> None:
    name_servers(lab=address(llama))
    with pytest.raises(BackendError, match="until the server stops"):
        backend.unload("tiny")


def test_an_unnamed_server_is_found(
    backend: OpenAIBackend, llama: Program, monkeypatch: pytest.MonkeyPatch, name_servers: Write
) -> None:
    assert not backend.availability().ok
    places = f"localhost:{llama.port},127.0.0.1:9"
    monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", places)
    assert backend.availability().version == "llama-server"
    name = f"llama-server-{llama.port}"
    model = only(backend.served(2.0), f"{name}://tiny")
    with backend.load(model, Settings()) as session:
        assert ask(session, HELLO)[0]
    name_servers(lab=f"http://127.0.0.1:{llama.port}")  # the same server: it is listed once
    assert [one.reference for one in backend.served(2.0)] == ["lab://tiny"]


def test_a_prompt_that_is_too_long_names_both_counts(
    backend: OpenAIBackend, llama: Program, name_servers: Write
) -> None:
    name_servers(lab=address(llama))
    model = only(backend.served(2.0), "lab://tiny")
    with backend.load(model, Settings()) as session:
        with pytest.raises(ContextExceeded, match=r"2,0\d\d tokens; the context holds 512"):
            ask(session, [Message("user", "x y " * 500)])
        assert ask(session, HELLO)[0]


def test_no_limit_continues_until_the_context_is_full(
    backend: OpenAIBackend, llama: Program, name_servers: Write
) -> None:
    name_servers(lab=address(llama))
    model = only(backend.served(2.0), "lab://tiny")
    with backend.load(model, Settings()) as session:
        for prompt in (HELLO, "x y " * 100):
            _, usage = ask(session, prompt, max_tokens=None, temperature=1.0, seed=3)
            assert usage.context_used is not None
            assert usage.finish_reason in ("context", "stop")
            assert usage.finish_reason != "context" or usage.context_used >= CONTEXT - 1


def test_what_the_model_does_not_do_is_refused(
    backend: OpenAIBackend, llama: Program, name_servers: Write
) -> None:
    name_servers(lab=address(llama))
    model = only(backend.served(2.0), "lab://tiny")
    with backend.load(model, Settings()) as session:
        with pytest.raises(GenerationFailed, match="does not think"):
            ask(session, HELLO, thinking=True)
        with pytest.raises(FormRefused, match="grammar"):
            ask(session, HELLO, grammar="root ::= nothing-there")
        assert ask(session, HELLO, thinking=False)[0]


def test_a_context_is_the_servers(
    backend: OpenAIBackend, llama: Program, name_servers: Write
) -> None:
    name_servers(lab=address(llama))
    model = only(backend.served(2.0), "lab://tiny")
    with pytest.raises(LoadFailed, match="chooses the context on its own"):
        backend.load(model, Settings(options={"context_length": 64}))
    with pytest.raises(LoadFailed, match="has no model"):
        backend.load(called(model, "other"), Settings())
    with pytest.raises(LoadFailed, match="no server at"):
        backend.load(replace(model, place="http://127.0.0.1:9"), Settings())


def test_a_server_that_ends_in_between_is_one_error(
    backend: OpenAIBackend, folder: Path, name_servers: Write
) -> None:
    program = started("--model", folder / "other-F32.gguf", "--ctx-size", 256)
    name_servers(lab=address(program))
    (model,) = backend.served(2.0)
    assert model.reference == "lab://other-F32.gguf"
    with backend.load(model, Settings()) as session:
        assert ask(session, HELLO)[0]
        program.stop()
        with pytest.raises(BackendError, match="no server answers"):
            ask(session, HELLO)
    with pytest.raises(BackendError, match="no server answers"):
        backend.load(model, Settings())


def test_a_key_is_requested_and_taken(
    backend: OpenAIBackend, folder: Path, name_servers: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = started(
        *("--model", folder / "other-F32.gguf", "--alias", "m", "--ctx-size", 256),
        *("--api-key", "s3cret"),
    )
    try:
        name_servers(lab=address(program))
        (broken,) = backend.served(2.0)
        assert isinstance(broken, BrokenEntry)
        assert "asks for a key" in broken.reason
        assert "plugins.openai.servers.lab.key" in broken.reason
        monkeypatch.setenv("LAB_KEY", "wr0ng")
        name_servers(lab={"url": address(program), "key": {"env": "LAB_KEY"}})
        (broken,) = backend.served(2.0)
        assert isinstance(broken, BrokenEntry)
        assert "refuses the key" in broken.reason
        assert "wr0ng" not in broken.reason
        monkeypatch.setenv("LAB_KEY", "s3cret")
        model = only(backend.served(2.0), "lab://m")
        with backend.load(model, Settings()) as session:
            assert ask(session, HELLO)[0]
        monkeypatch.setenv("LAB_KEY", "wr0ng")
        with pytest.raises(LoadFailed, match="refuses the key"):
            backend.load(model, Settings())
        monkeypatch.delenv("LAB_KEY")
        (broken,) = backend.served(2.0)
        assert isinstance(broken, BrokenEntry)
        assert "LAB_KEY, which is not set" in broken.reason
    finally:
        program.stop()


# --- a router ----------------------------------------------------------------------------------


def state(program: Program, name: str) -> str:
    with ServerClient(Server("", address(program))) as client:
        listed = client.get("/v1/models", Clock(5.0))["data"]
    return next(str(each["status"]["value"]) for each in listed if each["id"] == name)


def test_a_router_lists_what_it_could_load(
    backend: OpenAIBackend, router: Program, name_servers: Write
) -> None:
    name_servers(lab=address(router))
    found = only(backend.served(2.0), "lab://other-F32")
    assert (found.loaded, found.precision, found.context) == (False, "", None)
    assert found.file.endswith("other-F32.gguf")


def test_a_router_loads_and_gives_back(
    backend: OpenAIBackend, router: Program, name_servers: Write
) -> None:
    name_servers(lab=address(router))
    model = only(backend.served(2.0), "lab://other-F32")
    first = backend.load(model, Settings())
    assert (first.info.precision, first.info.context) == ("F32", CONTEXT)
    assert state(router, "other-F32") == "loaded"
    assert [one.name for one in backend.loaded()] == ["other-F32"]
    second = backend.load(model, Settings())
    assert ask(first, HELLO)[0] == ask(second, HELLO)[0]
    first.close()
    assert ask(second, HELLO)[0], "the other session still has it"
    second.close()
    assert state(router, "other-F32") != "loaded"
    assert backend.loaded() == []


def test_what_somebody_else_loaded_stays(
    backend: OpenAIBackend, router: Program, name_servers: Write
) -> None:
    name_servers(lab=address(router))
    with ServerClient(Server("", address(router))) as client:
        load_model(client, "other-F32", 60.0)
    model = only(backend.served(2.0), "lab://other-F32")
    assert (model.loaded, model.precision, model.context) == (True, "F32", CONTEXT)
    backend.load(model, Settings()).close()
    assert state(router, "other-F32") == "loaded"
    backend.unload("other-F32")
    assert state(router, "other-F32") != "loaded"


def test_a_cancelled_load_is_unloaded(
    backend: OpenAIBackend, router: Program, name_servers: Write
) -> None:
    name_servers(lab=address(router))
    model = only(backend.served(2.0), "lab://other-F32")

    def cancel(_: float) -> None:
        raise Cancelled("loading was cancelled", "load it again")

    with pytest.raises(Cancelled):
        backend.load(model, Settings(), cancel)
    assert state(router, "other-F32") != "loaded"


def test_a_router_that_cannot_load_is_one_error(
    backend: OpenAIBackend, folder: Path, tmp_path: Path, name_servers: Write
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "half.gguf").write_bytes((folder / "tiny-F32.gguf").read_bytes()[:20_000])
    program = started("--models-dir", models)
    try:
        name_servers(lab=address(program))
        model = only(backend.served(2.0), "lab://half")
        with pytest.raises(LoadFailed, match="cannot load half"):
            backend.load(model, Settings())
    finally:
        program.stop()


# --- through the command line ------------------------------------------------------------------


def test_the_commands_show_and_use_it(
    router: Program,
    name_servers: Write,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = _runner(capsys)
    name_servers(lab=address(router))
    listed = json.loads(run("list", "--json"))["models"]
    assert {one["reference"] for one in listed} == {"lab://tiny-F32", "lab://other-F32"}
    assert all(one["precision"]["bits_per_weight"] is None for one in listed)
    answer = run("run", "lab://tiny-F32", "hello", "--max-tokens", "4", "--temperature", "0")
    assert answer.strip()
    with ServerClient(Server("", address(router))) as client:
        load_model(client, "tiny-F32", 60.0)
    assert "tiny-F32" in run("ps")
    assert "stated: F32" in run("ps")
    run("stop", "lab://tiny-F32")
    assert state(router, "tiny-F32") != "loaded"
    inspected = run("inspect", "lab://tiny-F32")
    assert "in memory" in inspected
    assert "not measured" in inspected


def test_a_file_here_whose_checksum_is_known_is_measured(
    llama: Program,
    folder: Path,
    name_servers: Write,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = _runner(capsys)
    name_servers(lab=address(llama))
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(folder))
    monkeypatch.delenv("GEMMAHUB_STORES")
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "none"))

    def bits() -> float | None:
        (found,) = [
            one
            for one in json.loads(run("list", "--json"))["models"]
            if one["reference"] == "lab://tiny"
        ]
        value: float | None = found["precision"]["bits_per_weight"]
        return value

    assert bits() is None, "nobody knows the checksum yet"
    ContentSums(cache_folder() / "summaries.sqlite").compute(folder / "tiny-F32.gguf")
    assert bits() == 32.0
    assert "the file that" in run("inspect", "lab://tiny")


def _runner(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    from gemmahub.cli.main import run

    def invoke(*arguments: str) -> str:
        capsys.readouterr()
        code = run(list(arguments))
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return invoke
