"""Real servers of other programs: mlx_lm.server, llama_cpp.server, xllamacpp; and what vLLM says.

mlx_lm.server is here with the plugin for MLX. The two others want packages of their own: a variable
names a Python that has them (``GEMMAHUB_TEST_LLAMA_CPP_PYTHON``, ``GEMMAHUB_TEST_XLLAMACPP``).
"""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import FinishReason, Message, Sampling, Settings
from gemmahub.engines.program import start_program
from gemmahub.errors import BackendError, ContextExceeded, FormRefused, GenerationFailed
from gemmahub.testing.folder_writer import write_model_folder
from gemmahub_openai.asking import describe, vllm_label
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.servers import Server, ServerKind
from plugins.openai.tests.conftest import CONTEXT, address, ask, only
from plugins.openai.tests.fake_server import FakeServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.program import Program
    from gemmahub_openai.backend import OpenAIBackend

HELLO = [Message("user", "hello")]
TALK = [Message("user", "hello"), Message("assistant", "Hi."), Message("user", "and now?")]
XLLAMACPP = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port = sys.argv[1], int(sys.argv[2])
params.n_ctx, params.n_parallel = 512, 1
server = xllamacpp.Server(params)
time.sleep(3600)
"""


def running(command: list[str], name: str, **environment: str) -> Program:
    def ready(program: Program) -> bool:
        with ServerClient(Server("", address(program))) as client:
            return bool(describe(client, Clock(2.0)).models)

    def ready_or_not(program: Program) -> bool:
        try:
            return ready(program)
        except BackendError:
            return False

    return start_program(
        lambda port: [part.replace("PORT", str(port)) for part in command],
        name=name,
        ready=ready_or_not,
        ready_seconds=120.0,
        environment=environment,
        patience=2.0,
    )


# --- mlx_lm.server -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    if find_spec("mlx_lm") is None:
        pytest.skip("mlx_lm is not here: uv sync --group dev")
    folder = write_model_folder(tmp_path_factory.mktemp("mlx") / "tiny")
    config = folder / "tokenizer_config.json"
    told = json.loads(config.read_text())
    told["eos_token"] = told["eos_token"]["content"]  # as the server's transformers wants it
    config.write_text(json.dumps(told))
    hub = tmp_path_factory.mktemp("hub")  # it lists the cache, which has to be there
    command = [sys.executable, "-m", "mlx_lm", "server", "--model", str(folder), "--port", "PORT"]
    program = running(command, "mlx_lm.server", HF_HUB_CACHE=str(hub), HF_HUB_OFFLINE="1")
    yield program
    program.stop()


def test_mlx_is_known_by_what_it_says_and_answers(
    backend: OpenAIBackend, mlx: Program, name_servers: Any
) -> None:
    name_servers(mac=address(mlx))
    model = only(backend.served(5.0), "mac://tiny")
    assert (model.precision, model.context, model.loaded) == ("", None, None)
    with backend.load(model, Settings()) as session:
        assert session.info.engine.startswith("mlx_lm.server at mac")
        for prompt in (HELLO, TALK, "The capital"):
            text, usage = ask(session, prompt, max_tokens=6)
            assert (usage.tokens, usage.finish_reason) == (6, FinishReason.LENGTH)
            assert text
            assert usage.prompt_tokens
        with pytest.raises(FormRefused, match="does not support schemas"):
            ask(session, HELLO, schema={"type": "object"})
        with pytest.raises(FormRefused, match="does not support grammars"):
            ask(session, HELLO, grammar='root ::= "yes"')
        with pytest.raises(GenerationFailed, match="cannot limit thinking"):
            ask(session, HELLO, thinking=8)
    assert backend.loaded() == [], "it does not say what is in memory"
    backend.unload("tiny")


# --- llama_cpp.server --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bindings(folder: Path) -> Iterator[Program]:
    python = os.environ.get("GEMMAHUB_TEST_LLAMA_CPP_PYTHON", "")
    if not python and not all(map(find_spec, ("llama_cpp", "fastapi", "sse_starlette"))):
        pytest.skip("GEMMAHUB_TEST_LLAMA_CPP_PYTHON names no Python with llama_cpp_python[server]")
    program = running(
        [
            *(python or sys.executable, "-m", "llama_cpp.server"),
            *("--model", str(folder / "tiny-F32.gguf"), "--model_alias", "tiny"),
            *("--n_ctx", str(CONTEXT), "--port", "PORT", "--host", "127.0.0.1"),
        ],
        "llama_cpp.server",
    )
    yield program
    program.stop()


def test_llama_cpp_python_answers_and_says_why_not(
    backend: OpenAIBackend, bindings: Program, name_servers: Any
) -> None:
    name_servers(py=address(bindings))
    model = only(backend.served(5.0), "py://tiny")
    assert (model.precision, model.context, model.loaded) == ("", None, True)
    with backend.load(model, Settings()) as session:
        assert session.info.engine.startswith("llama_cpp.server at py")
        for prompt in (HELLO, TALK, "The capital"):
            text, usage = ask(session, prompt, max_tokens=6)
            assert text
            assert usage.finish_reason is FinishReason.LENGTH
            assert usage.tokens is None, "it does not count what it streams"
        for prompt in ("dog " * 1000, [Message("user", "dog " * 1000)]):
            with pytest.raises(ContextExceeded, match="512"):
                ask(session, prompt)
        assert json.loads(ask(session, HELLO, schema={"type": "boolean"}, max_tokens=24)[0]) in (
            True,
            False,
        )
        assert ask(session, HELLO, grammar='root ::= "yes" | "no"')[0] in ("yes", "no")
        interrupted = iter(session.generate(HELLO, Sampling(max_tokens=64, temperature=0.0)))
        next(interrupted)
        assert ask(session, TALK)[0]
        with pytest.raises(GenerationFailed, match="without giving a reason"):
            list(interrupted)


# --- xllamacpp ---------------------------------------------------------------------------------


def test_xllamacpp_is_a_llama_server(
    backend: OpenAIBackend, folder: Path, name_servers: Any
) -> None:
    python = os.environ.get("GEMMAHUB_TEST_XLLAMACPP", "")
    if not python:
        pytest.skip("GEMMAHUB_TEST_XLLAMACPP names no Python with xllamacpp")
    model_file = folder / "tiny-F32.gguf"
    program = running([python, "-c", XLLAMACPP, str(model_file), "PORT"], "xllamacpp")
    try:
        name_servers(x=address(program))
        model = only(backend.served(5.0), "x://tiny-F32.gguf")
        assert (model.precision, model.context, model.file) == ("F32", CONTEXT, str(model_file))
        with backend.load(model, Settings()) as session:
            assert ask(session, TALK)[1].tokens == 8
            with pytest.raises(ContextExceeded, match="the context holds 512"):
                ask(session, "dog " * 1000)
    finally:
        program.stop()


# --- vLLM, by what its source says --------------------------------------------------------------

# ModelCard of vllm/entrypoints/openai (id, owned_by, root, parent, max_model_len), and
# vllm/entrypoints/serve/instrumentator/server_info.py@09cb327. No vLLM runs here.
CARDS = {
    "object": "list",
    "data": [
        {
            "id": "google/gemma-3-4b-it",
            "object": "model",
            "created": 1,
            "owned_by": "vllm",
            "root": "google/gemma-3-4b-it",
            "parent": None,
            "max_model_len": 8192,
            "permission": [],
        },
        {
            "id": "my-adapter",
            "object": "model",
            "owned_by": "vllm",
            "root": "/adapters/mine",
            "parent": "google/gemma-3-4b-it",
        },
    ],
}


@pytest.mark.parametrize(
    ("config", "label"),
    [
        ({"dtype": "torch.bfloat16", "quantization": None}, "BF16"),
        ({"dtype": "float16"}, "F16"),
        ({"dtype": "torch.bfloat16", "quantization": "compressed-tensors"}, "compressed-tensors"),
        ({"dtype": "torch.float8_e4m3fn"}, "float8_e4m3fn"),
        ({}, ""),
        ({"dtype": 5, "quantization": []}, ""),
    ],
)
def test_vllm_states_its_length_and_in_developer_mode_its_precision(
    config: dict[str, Any], label: str
) -> None:
    with FakeServer("uvicorn") as server:
        server.says("GET /v1/models", CARDS).says("GET /version", {"version": "0.20.1"})
        told = {"vllm_config": {"model_config": config}}
        server.says("GET /server_info?config_format=json", told)
        with ServerClient(Server("v", server.address)) as client:
            state = describe(client, Clock(2.0))
    assert (state.kind, state.version) == (ServerKind.VLLM, "0.20.1")
    base, adapter = state.models
    assert (base.label, base.context, base.loaded) == (label, 8192, True)
    assert (adapter.label, adapter.context) == ("", None), "an adapter is another model"
    assert vllm_label(config) == label


def test_vllm_without_its_developer_mode_states_no_precision() -> None:
    with FakeServer("uvicorn") as server:
        server.says("GET /v1/models", CARDS)
        with ServerClient(Server("v", server.address)) as client:
            state = describe(client, Clock(2.0))
    assert [model.label for model in state.models] == ["", ""]
