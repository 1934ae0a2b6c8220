"""The real Ollama server with the real Gemma 3 270M, as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import FinishReason, Message, Sampling, Settings
from gemmahub.errors import ContextExceeded, LoadFailed
from gemmahub_ollama.address import server_address
from gemmahub_ollama.backend import OllamaBackend
from gemmahub_ollama.importing import model_name
from gemmahub_ollama.server import OllamaServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import RealServer
    from gemmahub.engines.contract import Artifact

CHAT = "gemma-3-270m-chat:q4_k_m"
TEMPLATE = (
    "{{ range .Messages }}<start_of_turn>"
    '{{ if eq .Role "assistant" }}model{{ else }}user{{ end }}\n'
    "{{ .Content }}<end_of_turn>\n{{ end }}<start_of_turn>model\n"
)
GREEDY = Sampling(temperature=0.0, max_tokens=6)
Command = Callable[..., dict[str, Any]]


@pytest.fixture
def server(at_server: RealServer) -> Iterator[OllamaServer]:
    with OllamaServer() as server:
        yield server


@pytest.fixture
def command(at_server: RealServer, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command line with ``--json``, which has to end well."""
    from gemmahub.cli.main import run

    def invoke(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        code = run([*arguments, "--json"])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        found: dict[str, Any] = json.loads(out)
        return found

    return invoke


@pytest.fixture
def chat(at_server: RealServer) -> Artifact:
    """The same weights with a chat template and a stop text, as a tag of the registry has them."""
    import httpx2

    from gemmahub_ollama.store import OllamaStore

    body = {
        "model": CHAT,
        "from": at_server.artifact.name,
        "template": TEMPLATE,
        "parameters": {"stop": ["<end_of_turn>"]},
        "stream": False,
    }
    made = httpx2.post(f"{at_server.url}/api/create", json=body, trust_env=False, timeout=60)
    made.raise_for_status()
    found = OllamaStore(at_server.root).inventory().artifacts
    return next(artifact for artifact in found if artifact.name == CHAT)


def settings(**changes: Any) -> Settings:
    """One thread: two wait for each other where other programs are at work."""
    return Settings(**{"context": 256, "threads": 1} | changes)


# --- answering ---------------------------------------------------------------------------------


def test_a_text_and_a_conversation(chat: Artifact) -> None:
    with OllamaBackend().load(chat, settings()) as session:
        assert session.info.chat_template
        assert session.info.precision == "Q4_K_M"
        assert session.info.device == "CPU"
        plain = list(session.generate("The capital of France is the city of", GREEDY))
        talk = list(session.generate([Message("user", "Say hello")], GREEDY))
    assert "Paris" in "".join(chunk.text for chunk in plain)
    assert len(plain) > 2, "it streams"
    assert plain[-1].usage is not None
    assert talk[-1].usage is not None
    # <bos> <start_of_turn> user \n Say hello <end_of_turn> \n <start_of_turn> model \n
    assert talk[-1].usage.prompt_tokens == 11


def test_a_text_begins_with_the_begin_of_sequence_token(at_server: RealServer) -> None:
    with OllamaBackend().load(at_server.artifact, settings()) as session:
        last = list(session.generate("The capital of France is", GREEDY))[-1]
    assert last.usage is not None
    assert last.usage.prompt_tokens == 6


def test_a_conversation_that_does_not_fit_is_refused(chat: Artifact) -> None:
    """Ollama's own default drops the first messages, and answers as if nothing were."""
    talk = [
        Message("user", "My name is Kim. " + "dog " * 150),
        Message("assistant", "dog " * 150),
        Message("user", "What is my name?"),
    ]
    with OllamaBackend().load(chat, settings()) as session:
        with pytest.raises(ContextExceeded, match="longer than the context"):
            list(session.generate(talk, GREEDY))
        assert list(session.generate(talk[2:], GREEDY))[-1].usage is not None


def test_a_full_context_ends_the_answer(at_server: RealServer) -> None:
    """And is no limit that was asked for; Ollama's own default forgets the beginning."""
    counting = " ".join(map(str, range(1, 20)))
    with OllamaBackend().load(at_server.artifact, settings(context=64)) as session:
        hot = Sampling(temperature=1.0, seed=1, max_tokens=400)
        usage = list(session.generate(counting, hot))[-1].usage
    assert usage is not None
    if usage.finish_reason is FinishReason.CONTEXT:
        assert usage.context_used == 64
    else:
        assert usage.finish_reason is FinishReason.STOP
    assert usage.prompt_tokens + usage.tokens <= 65


def test_images_are_refused_by_a_model_without_a_projector(chat: Artifact, tmp_path: Any) -> None:
    from gemmahub.errors import GenerationFailed

    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with (
        OllamaBackend().load(chat, settings()) as session,
        pytest.raises(GenerationFailed, match="image"),
    ):
        list(session.generate([Message("user", "what?", (tmp_path / "a.png",))], GREEDY))


# --- what is loaded ----------------------------------------------------------------------------


def test_ps_says_what_the_server_really_has(at_server: RealServer, command: Command) -> None:
    assert command("ps")["models"] == []
    with OllamaBackend().load(at_server.artifact, settings(context=320)) as session:
        (row,) = command("ps")["models"]
        assert session.info.context == row["context"] == 320
        assert row["reference"] == "ollama://gemma-3-270m:q4_k_m"
        assert row["precision"]["label"] == row["label"] == "Q4_K_M"
        assert row["precision"]["bits_per_weight"] == pytest.approx(7.36, abs=0.01)
        assert row["mismatch"] is None
        assert row["memory_bytes"] > at_server.artifact.path.stat().st_size
        assert row["device"] == "CPU"
    assert command("ps")["models"] == []


def test_ps_for_people(at_server: RealServer, capsys: pytest.CaptureFixture[str]) -> None:
    from gemmahub.cli.main import run

    with OllamaBackend().load(at_server.artifact, settings()):
        assert run(["ps"]) == 0
    out = capsys.readouterr().out
    assert "gemma-3-270m:q4_k_m" in out
    assert "7.36" in out or "Q4_K_M" in out
    assert "minutes" in out


def test_more_context_than_the_model_was_trained_for(at_server: RealServer) -> None:
    """The server gives less than was asked for; what it gave is said."""
    with OllamaBackend().load(at_server.artifact, settings(context=40_000)) as session:
        assert session.info.context == session.info.context_trained == 32_768


def test_what_others_loaded_is_left_loaded(server: OllamaServer, at_server: RealServer) -> None:
    name = at_server.artifact.name
    server.load(name, {"num_ctx": 256, "num_batch": 512, "num_thread": 1}, "5m")
    try:
        OllamaBackend().load(at_server.artifact, settings()).close()
        assert server.loaded(name) is not None
    finally:
        server.unload(name)
    assert server.loaded(name) is None


def test_two_front_ends_on_one_server(at_server: RealServer) -> None:
    """A session whose model another one unloads answers all the same: it is loaded again."""
    first = OllamaBackend().load(at_server.artifact, settings())
    with OllamaServer() as server:
        server.unload(at_server.artifact.name)
    with first:
        assert list(first.generate("The capital of France is", GREEDY))[-1].usage is not None


# --- as a user does it -------------------------------------------------------------------------


def test_run_by_catalogue_name(at_server: RealServer, command: Command) -> None:
    """The catalogue's model lies in two stores: the one that suits the backend is taken."""
    found = command("inspect", "ollama://gemma-3-270m:q4_k_m")
    reference = found["reference"]
    assert {place["store"] for place in found["places"]} == {"ollama", "wheels"}
    options = ("--ctx-size", "256", "--max-tokens", "5", "--temperature", "0", "--threads", "1")
    answer = command("run", reference, "The capital of France is", "--backend", "ollama", *options)
    assert answer["backend"] == "ollama"
    assert answer["engine"].startswith("Ollama ")
    assert answer["context"] == 256
    assert answer["usage"]["tokens"] == 5
    assert answer["precision"]["label"] == "Q4_K_M"
    unnamed = command("run", reference, "The capital of France is", *options)
    assert unnamed["backend"] == "llama-server"


def test_run_takes_the_tag_that_was_named(chat: Artifact, command: Command) -> None:
    """Two tags of the same weights differ in their templates."""
    few = ("--backend", "ollama", "--ctx-size", "256", "--max-tokens", "2", "--threads", "1")
    for name, template in ((CHAT, True), ("ollama://gemma-3-270m:q4_k_m", False)):
        assert command("run", name, "Say hello", *few)["chat_template"] is template


def test_a_file_from_elsewhere_is_copied_when_told(
    command: Command, server: OllamaServer, at_server: RealServer, model_path: Any, tmp_path: Any
) -> None:
    from dataclasses import replace

    other = tmp_path / "My Gemma (270M).gguf"
    other.symlink_to(model_path)
    artifact = replace(at_server.artifact, path=other, files=(other,), store="", reference="")
    name = model_name(artifact)
    assert name == f"gemmahub/my-gemma-270m:{(artifact.sha256 or '')[:12]}"
    with pytest.raises(LoadFailed, match="not in Ollama's store"):
        OllamaBackend().load(artifact, settings())
    ask = ("run", str(other), "The capital of France is", "--backend", "ollama")
    few = ("--ctx-size", "256", "--max-tokens", "2", "--threads", "1")
    for _ in range(2):  # the second time it is there already
        answer = command(*ask, "--option", "import=true", *few)
        assert answer["usage"]["tokens"] == 2
    assert name in {model["name"] for model in server.models()}


def test_the_store_and_the_server_know_the_same(
    server: OllamaServer, at_server: RealServer
) -> None:
    shown = server.show(at_server.artifact.name)
    assert shown["details"]["quantization_level"] == "Q4_K_M"
    assert at_server.artifact.sha256 in shown["modelfile"].replace("sha256-", "")
    assert server.version().count(".") == 2
    assert server_address().url == at_server.url
