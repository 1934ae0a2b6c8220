"""What goes wrong with servers of vLLM: one clear error each, and nothing hangs."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Cluster, FinishReason, Message, Sampling, Settings
from gemmahub.engines.manager import load_plugins
from gemmahub.engines.servers import served_models
from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    BackendMissing,
    ContextExceeded,
    GenerationFailed,
    LoadFailed,
)
from gemmahub_vllm.backend import VllmBackend
from gemmahub_vllm.joined import VllmServerBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gemmahub.engines.contract import Session

Make = Any
SETTINGS = Settings(context=64)


def said(session: Session, text: str, **sampling: Any) -> str:
    turns = [Message("user", text)]
    return "".join(c.text for c in session.generate(turns, Sampling(**sampling)))


@pytest.mark.usefixtures("fake")
def test_an_answer_and_its_end(make: Make) -> None:
    with VllmBackend().load(make("tiny"), SETTINGS) as session:
        assert session.info.context == 64
        assert session.info.engine.startswith("vLLM")
        chunks = list(session.generate("one two three", Sampling(max_tokens=2)))
        assert "".join(c.text for c in chunks) == "one two"
        usage = chunks[-1].usage
        assert usage is not None
        assert (usage.finish_reason, usage.prompt_tokens, usage.tokens) == (
            FinishReason.LENGTH, 4, 2
        )  # fmt: skip
        with pytest.raises(ContextExceeded, match="64"):
            said(session, "word " * 80)


@pytest.mark.usefixtures("fake")
def test_a_pool_that_is_too_small_is_said_in_its_words(make: Make) -> None:
    with pytest.raises(BackendCrashed, match="larger than the available KV cache memory"):
        VllmBackend().load(make("memory"), SETTINGS)


@pytest.mark.usefixtures("fake")
def test_an_answer_that_is_not_an_api_is_an_error(make: Make) -> None:
    with pytest.raises(BackendError):
        VllmBackend().load(make("html"), SETTINGS)


@pytest.mark.usefixtures("fake")
def test_the_context_is_the_server_s_word(make: Make) -> None:
    with VllmBackend().load(make("lies"), SETTINGS) as session:
        assert session.info.context == 7


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("fault", ["midstream", "dies"])
def test_an_answer_that_ends_in_its_middle(make: Make, fault: str) -> None:
    with (
        VllmBackend().load(make(fault), SETTINGS) as session,
        pytest.raises(BackendCrashed),
    ):
        said(session, "one two three")


def test_no_program_says_how_to_get_one(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = VllmBackend().availability()
    assert not found.ok
    assert "uv tool install vllm" in found.hint
    with pytest.raises(BackendMissing):
        VllmBackend().load(make("tiny"), SETTINGS)


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(cache_type_k="q4_0", cache_type_v="q4_0"), "q4_0"),
        (Settings(cache_type_k="q8_0"), "q8_0 keys and f16 values"),
        (Settings(gpu_layers=3), "all layers"),
        (Settings(options={"gpu_memory_utilization": 1.5}), "must be a share"),
        (Settings(options={"max_num_batched_tokens": -1}), "negative"),
        (Settings(cluster=Cluster(address="slurm://head:1")), "slurm"),
    ],
)
def test_settings_that_vllm_lacks(make: Make, settings: Settings, words: str) -> None:
    with pytest.raises(LoadFailed, match=words):
        VllmBackend().load(make("tiny"), settings)


@pytest.mark.parametrize(
    ("cluster", "words", "ray"),
    [
        (None, [], ""),
        (Cluster(4), ["--tensor-parallel-size", "4"], ""),
        (Cluster(4, 2, "ray://head:10001"),
         ["--tensor-parallel-size", "4", "--pipeline-parallel-size", "2",
          "--distributed-executor-backend", "ray"], "head:6379"),
        (Cluster(1, 2, "ray://10.0.0.1:6380"),
         ["--pipeline-parallel-size", "2", "--distributed-executor-backend", "ray"],
         "10.0.0.1:6380"),
    ],
)  # fmt: skip
def test_flags_from_the_plan(
    make: Make, fake: Path, cluster: Cluster | None, words: list[str], ray: str
) -> None:
    settings = Settings(
        context=2 * 64, parallel=2, cache_type_k="q8_0", cache_type_v="q8_0", cluster=cluster,
        options={"gpu_memory_utilization": 0.8, "quantization": "fp8", "enforce_eager": True},
    )  # fmt: skip
    VllmBackend().load(make("tiny"), settings).close()
    seen = json.loads(fake.read_text("utf-8"))
    assert seen["ray"] == ray
    for option, value in (
        ("--max-model-len", "64"), ("--max-num-seqs", "2"), ("--kv-cache-dtype", "fp8"),
        ("--gpu-memory-utilization", "0.8"), ("--quantization", "fp8"),
    ):  # fmt: skip
        at = seen["arguments"].index(option)
        assert seen["arguments"][at + 1] == value
    assert "--enforce-eager" in seen["arguments"]
    assert [w for w in seen["arguments"] if "parallel" in w or "distributed" in w] == words[::2]
    assert seen["arguments"][len(seen["arguments"]) - len(words) :] == words


# --- servers that run already --------------------------------------------------------------------


@pytest.fixture
def joined(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, str], None]]:
    """Names a server in the settings, with a key."""

    def name(address: str, key: str) -> None:
        path = tmp_path / "named.toml"
        path.write_text(f'[plugins.vllm.servers]\nlab = "{address}"\n')
        monkeypatch.setenv("GEMMAHUB_CONFIG", str(path))
        monkeypatch.setenv("VLLM_API_KEY", key)

    return name


@pytest.mark.usefixtures("fake")
def test_a_server_is_joined_by_its_address(make: Make, joined: Callable[[str, str], None]) -> None:
    server = VllmBackend().serve(make("tiny"), SETTINGS, "secret-key")
    try:
        joined(server.address, "secret-key")
        (model,) = served_models(load_plugins(only=["vllm"])).models
        assert (model.reference, model.context, model.precision) == ("lab://tiny", 64, "")
        with VllmServerBackend().load(model, Settings()) as session:
            assert said(session, "one two") == "one two"
        joined(server.address, "another key")
        found = served_models(load_plugins(only=["vllm"]))
        assert not found.models
        assert "rejected the key" in found.broken[0].reason
    finally:
        server.close()
    found = served_models(load_plugins(only=["vllm"]))
    assert not found.models
    assert len(found.broken) == 1
    with pytest.raises(BackendError):
        VllmServerBackend().load(model, Settings())


def test_a_server_that_says_nothing_is_not_waited_for(
    joined: Callable[[str, str], None],
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        joined(f"http://127.0.0.1:{silent.getsockname()[1]}", "")
        found = served_models(load_plugins(only=["vllm"]))
    assert not found.models
    assert found.broken


def test_a_model_that_went_away_is_an_error_of_its_own(
    make: Make, fake: Path, joined: Callable[[str, str], None]
) -> None:
    server = VllmBackend().serve(make("tiny"), SETTINGS, "k")
    try:
        joined(server.address, "k")
        (model,) = VllmServerBackend().served(5.0)
        session = VllmServerBackend().load(model, Settings())
        session._name = "other"
        with pytest.raises(BackendCrashed, match="no longer has the model other"):
            said(session, "hi")
        session.close()
        session.close()
        with pytest.raises(GenerationFailed):
            said(session, "hi")
    finally:
        server.close()


def test_cancelling_from_another_thread(make: Make, fake: Path) -> None:
    with VllmBackend().load(make("tiny"), Settings(context=512)) as session:
        chunks = session.generate("word " * 200, Sampling())
        next(chunks)
        threading.Timer(0.05, session.cancel).start()
        last = list(chunks)[-1]
        assert last.usage is not None
        assert last.usage.finish_reason is FinishReason.CANCELLED
