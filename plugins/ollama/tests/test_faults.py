"""An Ollama server that is down, slow, breaks off, talks nonsense, or is of another version."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, ChunkKind, FinishReason, Message, Sampling, Settings
from gemmahub.engines.manager import load_plugins
from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    BackendMissing,
    ContextExceeded,
    GenerationFailed,
    LoadFailed,
)
from gemmahub_ollama.backend import OllamaBackend
from plugins.ollama.tests.fake_server import (
    LOADED,
    SHOW,
    FakeServer,
    broken_off,
    objects,
    raw,
    said,
    silent,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Chunk
    from gemmahub_ollama.session import OllamaSession

ARTIFACT = Artifact(
    "gguf", Path("/none/blob"), name="tiny:q4", store="ollama", reference="ollama://tiny:q4"
)
ASK = [Message("user", "hello")]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as running:
        monkeypatch.setenv("OLLAMA_HOST", running.url)
        yield running


@pytest.fixture
def session(fake: FakeServer) -> Iterator[OllamaSession]:
    with load() as session:
        yield session


def load(artifact: Artifact = ARTIFACT, **settings: Any) -> OllamaSession:
    return OllamaBackend().load(artifact, Settings(**{"context": 512} | settings))


def ask(session: OllamaSession, **sampling: Any) -> list[Chunk]:
    return list(session.generate(ASK, Sampling(**sampling)))


# --- what is asked -----------------------------------------------------------------------------


def test_what_is_requested(fake: FakeServer, session: OllamaSession) -> None:
    chunks = ask(session, max_tokens=7, temperature=0.5, top_k=None, seed=3, stop=("END",))
    assert [chunk.text for chunk in chunks] == ["Hello", " there", ""]
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.tokens, usage.context) == (5, 2, 512)
    assert (usage.prefill_seconds, usage.decode_seconds) == (0.002, 0.001)
    assert usage.finish_reason is FinishReason.STOP
    (loading,) = fake.bodies("/api/generate")
    assert loading["options"] == {"num_ctx": 512, "num_batch": 512}
    (body,) = fake.bodies("/api/chat")
    assert body["messages"] == [{"role": "user", "content": "hello"}]
    assert (body["truncate"], body["shift"], body["keep_alive"]) == (False, False, "5m")
    assert body["options"] == {
        "num_ctx": 512,
        "num_batch": 512,
        "temperature": 0.5,
        "top_p": 0.95,
        "seed": 3,
        "num_predict": 7,
        "repeat_penalty": 1.0,
        "stop": ["<end_of_turn>", "END"],
    }
    assert "think" not in body


def test_a_thinking_model_is_told_to_answer(fake: FakeServer) -> None:
    fake.answers["/api/show"] = objects({**SHOW, "capabilities": ["completion", "thinking"]})
    with load() as session:
        ask(session)
    assert fake.bodies("/api/chat")[0]["think"] is False


THINKER = objects({**SHOW, "capabilities": ["completion", "thinking"]})


def thought(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": "", "thinking": text}, "done": False}


def test_thoughts_are_requested_and_come_apart(fake: FakeServer) -> None:
    fake.answers["/api/show"] = THINKER
    fake.answers["/api/chat"] = objects(thought("hm"), thought(" yes"), *said("So ", "be it."))
    earlier = [*ASK, Message("assistant", "What?", reasoning="who knows"), Message("user", "So?")]
    with load() as session:
        chunks = list(session.generate(earlier, Sampling(thinking=True)))
    (body,) = fake.bodies("/api/chat")
    assert body["think"] is True
    assert body["messages"][1]["thinking"] == "who knows"
    kinds = [(chunk.kind, chunk.text) for chunk in chunks[:-1]]
    reasoning, answer = ChunkKind.REASONING, ChunkKind.ANSWER
    assert kinds == [
        (reasoning, "hm"), (reasoning, " yes"), (answer, "So "), (answer, "be it."),
    ]  # fmt: skip
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.reasoning_tokens == 2


def test_markers_of_thoughts_in_the_text_are_not_text(fake: FakeServer) -> None:
    fake.answers["/api/chat"] = objects(*said("<|channel>", "thought\n", "hm", "<channel|>", "So."))
    with load() as session:
        chunks = ask(session)
    assert [(c.kind, c.text) for c in chunks] == [
        (ChunkKind.REASONING, "hm"), (ChunkKind.ANSWER, "So."), (ChunkKind.ANSWER, ""),
    ]  # fmt: skip


def test_what_cannot_be_thought_is_refused(fake: FakeServer, session: OllamaSession) -> None:
    with pytest.raises(GenerationFailed, match="does not think"):
        ask(session, thinking=True)
    fake.answers["/api/show"] = THINKER
    with load() as thinking:
        with pytest.raises(GenerationFailed, match="cannot limit thinking"):
            ask(thinking, thinking=100)
        with pytest.raises(GenerationFailed, match="does not think"):
            thinking.generate("a text", Sampling(thinking=True))
    assert not fake.bodies("/api/chat")


def test_images_go_along(fake: FakeServer, session: OllamaSession, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    list(session.generate([Message("user", "what?", (tmp_path / "a.png",))], Sampling()))
    assert fake.bodies("/api/chat")[0]["messages"][0]["images"] == ["iVBORw=="]
    with pytest.raises(GenerationFailed, match="cannot be read"):
        session.generate([Message("user", "what?", (tmp_path / "none.png",))], Sampling())


@pytest.mark.parametrize(
    ("listed", "takes"), [(["completion", "vision"], True), (["completion"], False), (None, None)]
)
def test_whether_a_model_takes_images(
    fake: FakeServer, listed: list[str] | None, takes: bool | None
) -> None:
    fake.answers["/api/show"] = objects({**SHOW, "capabilities": listed})
    with load() as session:
        assert session.info.images is takes


def test_what_was_loaded(session: OllamaSession) -> None:
    info = session.info
    assert (info.engine, info.precision, info.context) == ("Ollama 0.17.4", "Q4_0", 512)
    assert info.context_trained == 32768
    assert info.chat_template
    assert info.device == "GPU 25%, CPU 75%"


def test_the_context_is_never_the_servers_default(fake: FakeServer) -> None:
    fake.answers["/api/show"] = objects({**SHOW, "model_info": {}})
    fake.answers["/api/ps"] = objects({"models": [{**LOADED, "context_length": 2048}]})
    with load(context=None) as session:
        assert session.info.context == 2048
    assert fake.bodies("/api/generate")[0]["options"]["num_ctx"] == 8192


def test_what_others_loaded_stays(fake: FakeServer) -> None:
    load().close()  # the fake one has it loaded all the time
    assert all(body.get("keep_alive") != 0 for body in fake.bodies("/api/generate"))


def test_closing_unloads_what_it_loaded(fake: FakeServer) -> None:
    states = iter([{"models": []}, {"models": [LOADED]}, {"models": []}])
    fake.answers["/api/ps"] = lambda handler: objects(next(states))(handler)
    load().close()
    assert fake.bodies("/api/generate")[-1]["keep_alive"] == 0


# --- down and slow -----------------------------------------------------------------------------


def test_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    answer = OllamaBackend().availability()
    assert not answer.ok
    assert "127.0.0.1:9" in answer.reason
    assert "ollama serve" in answer.hint
    with pytest.raises(BackendMissing, match="no Ollama server answers"):
        load()


def test_a_stopped_server_leaves_the_list_working(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gemmahub.cli.main import run

    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    assert run(["list"]) == 0
    assert run(["plugins"]) == 0
    assert "no Ollama server answers" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["/api/version", "/api/ps"])
def test_a_quick_question_is_given_up(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("gemmahub_ollama.server.QUICK", 0.1)
    monkeypatch.setattr("gemmahub_ollama.server.LISTING", 0.1)
    fake.answers[path] = silent(fake)
    if path == "/api/version":
        assert "stopped responding" in OllamaBackend().availability().reason
    with pytest.raises(BackendError, match="stopped responding"):
        load()


def test_a_load_that_never_ends(fake: FakeServer) -> None:
    fake.answers["/api/generate"] = silent(fake)
    with pytest.raises(GenerationFailed, match="stopped responding"):
        load(options={"timeout": 0.2})


def test_an_answer_that_falls_silent(fake: FakeServer) -> None:
    with load(options={"timeout": 0.2}) as session:
        fake.answers["/api/chat"] = silent(fake, *said("Hel")[:1])
        chunks = session.generate(ASK, Sampling())
        assert next(iter(chunks)).text == "Hel"
        with pytest.raises(GenerationFailed, match="stopped responding"):
            list(chunks)


# --- stopping ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [[], said("Hel")[:1]], ids=["prefill", "decoding"])
def test_a_cancel_ends_the_request(
    fake: FakeServer, session: OllamaSession, first: list[dict[str, Any]]
) -> None:
    """The server sees that the connection ends: that is what makes it stop computing."""
    fake.answers["/api/chat"] = silent(fake, *first)
    coming = iter(session.generate(ASK, Sampling()))
    chunks: list[Chunk] = [next(coming) for _ in first]
    reader = threading.Thread(target=lambda: chunks.extend(coming))
    reader.start()
    assert fake.waiting.wait(10)
    session.cancel()
    reader.join(10)
    assert not reader.is_alive()
    assert fake.gone.wait(10)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.finish_reason is FinishReason.CANCELLED
    assert chunks[-1].usage.tokens == len(first)


def test_an_abandoned_answer_ends_the_request(fake: FakeServer, session: OllamaSession) -> None:
    fake.answers["/api/chat"] = silent(fake, *said("Hel")[:1])
    chunks = session.generate(ASK, Sampling())
    next(iter(chunks))
    chunks.close()  # type: ignore[attr-defined]
    assert fake.gone.wait(10)


# --- nonsense ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"<html>hello</html>"),
        raw(b"[]"),
        raw(b'{"version": 5}'),
        raw(b"[" * 100_000),
        raw(b"\xff\xfe"),
        status(500, "oh"),
        raw(b""),
    ],
)
def test_a_version_that_is_none(fake: FakeServer, answer: Any) -> None:
    fake.answers["/api/version"] = answer
    found = OllamaBackend().availability()
    assert not found.ok
    assert found.reason
    assert found.hint


@pytest.mark.parametrize("text", [b'{"models": 5}', b'{"models": [5]}', b"{"])
def test_a_list_of_loaded_models_that_is_none(fake: FakeServer, text: bytes) -> None:
    fake.answers["/api/ps"] = raw(text)
    with pytest.raises(BackendError, match="invalid answer"):
        OllamaBackend().loaded()


def test_a_line_that_is_not_json(fake: FakeServer, session: OllamaSession) -> None:
    fake.answers["/api/chat"] = raw(b'{"message":{"content":"Hel"},"done":false}\n{"mess\n')
    with pytest.raises(GenerationFailed, match="not JSON"):
        ask(session)


def test_lines_of_odd_kinds(fake: FakeServer, session: OllamaSession) -> None:
    """Missing fields, a half character, and a line end that is none in JSON."""
    odd = b'{}\n\n{"message":null}\n{"message":{"content":"\\ud83d\xc2\x85!"}}\n{"done":true}'
    fake.answers["/api/chat"] = raw(odd)
    chunks = ask(session)
    assert "".join(chunk.text for chunk in chunks) == "?\x85!"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 0


def test_an_error_with_control_characters(fake: FakeServer, session: OllamaSession) -> None:
    fake.answers["/api/chat"] = status(500, '{"error": "\\u001b[2Jboom\\n"}')
    with pytest.raises(GenerationFailed, match=r"refuses: boom$"):
        ask(session)


# --- breaking off ------------------------------------------------------------------------------


@pytest.mark.parametrize("whole", [True, False])
def test_a_server_that_dies_in_mid_stream(
    fake: FakeServer, session: OllamaSession, whole: bool
) -> None:
    """With the connection cut, and with an answer that just has no last object."""
    begun = said("Hel", "lo")[:2]
    fake.answers["/api/chat"] = objects(*begun) if whole else broken_off(*begun)
    chunks = iter(session.generate(ASK, Sampling()))
    assert [next(chunks).text, next(chunks).text] == ["Hel", "lo"]
    with pytest.raises(BackendCrashed, match=r"in the middle of the answer|broke while"):
        next(chunks)
    fake.answers["/api/chat"] = objects(*said("again"))
    assert ask(session)[0].text == "again"


def test_a_server_that_is_gone_in_between(fake: FakeServer) -> None:
    session = load()
    fake.stop()
    with pytest.raises(BackendMissing, match="no Ollama server"):
        ask(session)
    session.close()


def test_an_error_in_the_stream(fake: FakeServer, session: OllamaSession) -> None:
    fake.answers["/api/chat"] = objects(*said("Hel")[:1], {"error": "CUDA out of memory"})
    with pytest.raises(GenerationFailed, match="CUDA out of memory"):
        ask(session)


def test_one_token_for_ever_ends_the_answer(fake: FakeServer, session: OllamaSession) -> None:
    """Ollama ends such an answer without a last object; the prompt is then counted anew."""
    endless, counted = said(*["dog "] * 40)[:-1], said("dog", prompt_eval_count=9)
    answers = iter([objects(*endless), objects(*counted)])
    fake.answers["/api/chat"] = lambda handler: next(answers)(handler)
    usage = ask(session)[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.tokens, usage.context_used) == (9, 40, 49)
    assert fake.bodies("/api/chat")[-1]["options"]["num_predict"] == 1


# --- other versions, other models --------------------------------------------------------------


def test_an_old_server_without_contexts(fake: FakeServer) -> None:
    """Before 0.10.1 ``ps`` had no context; what was asked for is then said, up to the trained."""
    old = {name: LOADED[name] for name in ("name", "model", "size", "size_vram")}
    fake.answers["/api/ps"] = objects({"models": [old]})
    with load(context=64_000) as session:
        assert session.info.context == 32_768


def test_an_old_server_that_cuts_prompts(fake: FakeServer, session: OllamaSession) -> None:
    """It knows no ``truncate``: a prompt as long as the context has lost its beginning."""
    fake.answers["/api/chat"] = objects(*said("x", prompt_eval_count=512))
    usage = ask(session)[-1].usage
    assert usage is not None
    assert usage.truncated
    assert usage.context_used == 512


def test_an_old_server_that_drops_messages(fake: FakeServer, session: OllamaSession) -> None:
    """A conversation that grew has more tokens than before, or lost its beginning."""
    fake.answers["/api/chat"] = objects(*said("x", prompt_eval_count=400))
    first = ask(session)[-1].usage
    assert first is not None
    assert not first.truncated
    talk = [*ASK, Message("assistant", "x"), Message("user", "and then?")]
    fake.answers["/api/chat"] = objects(*said("x", prompt_eval_count=60))
    second = list(session.generate(talk, Sampling()))[-1].usage
    assert second is not None
    assert second.truncated


def test_a_server_without_such_a_path(fake: FakeServer) -> None:
    del fake.answers["/api/ps"]
    with pytest.raises(BackendError, match="404 page not found"):
        OllamaBackend().loaded()


def test_a_model_that_vanished(fake: FakeServer, session: OllamaSession) -> None:
    fake.answers["/api/chat"] = status(404, '{"error":"model \'tiny:q4\' not found"}')
    with pytest.raises(GenerationFailed, match="has no model tiny:q4"):
        ask(session)
    fake.answers["/api/show"] = status(404, '{"error":"model \'tiny:q4\' not found"}')
    with pytest.raises(LoadFailed, match="has no model tiny:q4"):
        load()


def test_another_file_of_the_same_name(fake: FakeServer) -> None:
    fake.answers["/api/show"] = objects({**SHOW, "modelfile": f"FROM /x/blobs/sha256-{'a' * 64}\n"})
    load(replace(ARTIFACT, sha256="a" * 64)).close()
    with pytest.raises(LoadFailed, match="is not the file of that name"):
        load(replace(ARTIFACT, sha256="b" * 64))


def test_a_prompt_that_is_refused_for_its_length(fake: FakeServer, session: OllamaSession) -> None:
    text = '{"error":"the input length exceeds the context length"}'
    fake.answers["/api/chat"] = status(400, text)
    with pytest.raises(ContextExceeded):
        ask(session)


# --- what is refused here ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cache_type_k": "q8_0"}, "one cache type"),
        ({"flash_attention": False}, "flash attention"),
        ({"parallel": 2}, "one answer at a time"),
        ({"context": 0}, "context cannot be 0"),
        ({"options": {"timeout": 0.0}}, "timeout"),
        ({"options": {"nope": 1}}, "nope"),
    ],
)
def test_settings_that_no_client_can_choose(
    fake: FakeServer, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(LoadFailed, match=message):
        load(**settings)
    assert fake.asked == []


def test_a_file_from_elsewhere_is_not_taken(fake: FakeServer, tmp_path: Path) -> None:
    """Nor chosen without being named: another backend is there for it."""
    from gemmahub.engines.choice import choose

    other = Artifact("gguf", tmp_path / "x.gguf", name="x")
    with pytest.raises(LoadFailed, match="not in Ollama's store"):
        load(other)
    manager = load_plugins(only=["ollama"])
    with pytest.raises(BackendMissing, match="no installed backend"):
        choose(manager, other)
    assert choose(manager, ARTIFACT).offer.backend.name == "ollama"
    assert choose(manager, other, "ollama").offer.backend.name == "ollama"
