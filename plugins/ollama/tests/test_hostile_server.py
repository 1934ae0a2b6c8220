"""An Ollama server that drips, bombs, lies, or never ends: refused in words, within limits."""

from __future__ import annotations

import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.cli.main import run
from gemmahub.engines.contract import Artifact, Message, Sampling, Settings
from gemmahub.errors import (
    BackendError,
    GenerationFailed,
    LoadFailed,
)
from gemmahub.testing.hub.models import small_model
from gemmahub_ollama.address import server_address
from gemmahub_ollama.backend import OllamaBackend
from gemmahub_ollama.server import OllamaServer
from plugins.ollama.tests.fake_server import LOADED, SHOW, FakeServer, objects, raw, said
from tests.http.hostile_server import DRIPS, Conversation, Script, endless, serving

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = small_model()
SHA = hashlib.sha256(WEIGHTS).hexdigest()
BOMB = gzip.compress(bytes(64 << 20), 9)


def bomb(there: Conversation) -> None:
    there.answer(BOMB, Content_Encoding="gzip")


def says(value: Any) -> Script:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return lambda there: there.answer(body)


# --- the server ---------------------------------------------------------------------------------

HOSTILE: dict[str, Script] = {
    **{f"drips: {name}": script for name, script in DRIPS.items()},
    "never finishes": endless(b" " * 65536, b'{"version":"'),
    "bomb": bomb,
    "deep": says(b"[" * 100_000),
    "digits": says(b'{"version":' + b"9" * 5000 + b"}"),
    "many values": says(b'{"version":[' + b"[]," * 15_000 + b"1]}"),
    "escapes": says({"version": "1\x1b[2J\x9b\u202e", "models": [{"name": "\x1b]0;x\x07\u202e"}]}),
    "error of another kind": says({"error": {"a": ["\x1b[2J"]}}),
    "redirect": lambda there: there.answer(status="302 Found", Location="file:///etc/passwd"),
}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions have hardly any time."""
    monkeypatch.setattr("gemmahub_ollama.server.QUICK", 0.4)
    monkeypatch.setattr("gemmahub_ollama.server.LISTING", 0.4)


@pytest.mark.parametrize("command", ["ps", "plugins"])
@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE)
def test_commands_end_whatever_the_server_sends(
    script: Script,
    command: str,
    brief: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(script) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        monkeypatch.setenv("GEMMAHUB_PLUGINS", "ollama")
        assert run([command]) == 0
        assert server.sent < 100 << 20
    out, err = capsys.readouterr()
    assert "ollama" in out + err
    assert "defect" not in out + err
    assert not {"\x1b", "\x9b", "\u202e"} & set(out + err)


ODD: list[Any] = [None, True, 1, -1, 1.5, 10**400, "x", [], {}, [{}], "\x1b[2J", "\ud83d"]


@pytest.mark.parametrize("value", ODD, ids=[f"{number}" for number in range(len(ODD))])
def test_values_of_other_kinds_are_not_said(
    value: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In each field of what is loaded, of the store and of a model."""
    odd = dict.fromkeys(LOADED, value)
    show = dict.fromkeys((*SHOW, "modelfile"), value)
    with FakeServer() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        monkeypatch.setenv("GEMMAHUB_PLUGINS", "ollama")
        fake.answers["/api/ps"] = objects({"models": [odd, LOADED]})
        fake.answers["/api/tags"] = objects({"models": [odd]})
        fake.answers["/api/show"] = objects(show)
        assert run(["ps"]) == 0
        out = capsys.readouterr().out
        assert "tiny:q4" in out
        assert "\x1b" not in out
        found = OllamaBackend().loaded()
        assert found[0].context in (None, 1)
        with OllamaServer(server_address(fake.url)) as server:
            assert not server.has("tiny:q4")
        artifact = Artifact(
            "gguf", _nowhere(), name="t", store="ollama", reference="ollama://t", sha256="a" * 64
        )
        with OllamaBackend().load(artifact, Settings(context=512)) as session:
            assert session.info.precision == ""


def _nowhere() -> Path:
    from pathlib import Path

    return Path("/none/blob")


@pytest.mark.parametrize("models", [5, "x", [5], [None], {"a": 1}, [{}] * 1001])
def test_a_list_that_is_none_is_a_clear_error(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        fake.answers["/api/ps"] = objects({"models": models})
        with pytest.raises(BackendError, match="invalid answer"):
            OllamaBackend().loaded()


def answered(there: Conversation, last: Script) -> None:
    """As a server that loads a model; what it is asked for then is answered by ``last``."""
    known = {"/api/version": {"version": "1"}, "/api/show": SHOW, "/api/ps": {"models": []}}
    if there.path in known:
        says(known[there.path])(there)
    elif there.path == "/api/generate":
        says({"done": True})(there)
    else:
        last(there)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (endless(b"a" * 65536, b'{"message":"'), "a line of more than"),
        (endless(b" " * 65536), "a line of more than"),
        (bomb, "a line of more than"),
        (DRIPS["chunks"], "too slowly"),
        (DRIPS["head"], "too slowly"),
        (says(b"[" * 100_000), "not JSON"),
        (says(b'{"eval_count": ' + b"9" * 5000 + b"}"), "not JSON"),
        (says({"error": ["x"]}), "list instead of text"),
    ],
    ids=["line", "blanks", "bomb", "drip", "head", "deep", "digits", "error"],
)
def test_an_answer_that_is_hostile_ends(
    script: Script, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmahub_ollama.server._SPARE", -9.5)
    artifact = Artifact("gguf", _nowhere(), name="t", store="ollama", reference="ollama://t")
    with serving(lambda there: answered(there, script)) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        settings = Settings(context=512, options={"timeout": 10.0})
        session = OllamaBackend().load(artifact, settings)
        with pytest.raises(GenerationFailed, match=message):
            list(session.generate([Message("user", "hello")], Sampling()))
        assert server.sent < 100 << 20


def test_a_count_of_another_kind_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = Artifact("gguf", _nowhere(), name="t", store="ollama", reference="ollama://t")
    with FakeServer() as fake:
        monkeypatch.setenv("OLLAMA_HOST", fake.url)
        odd = dict.fromkeys(("prompt_eval_count", "eval_count", "eval_duration"), 10**400)
        fake.answers["/api/chat"] = objects(*said("Hello", **odd))
        with OllamaBackend().load(artifact, Settings(context=512)) as session:
            usage = list(session.generate([Message("user", "hello")], Sampling()))[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.tokens, usage.decode_seconds) == (0, 0, 0.0)


def test_an_upload_is_checked_by_the_server_and_may_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(WEIGHTS)

    def script(there: Conversation) -> None:
        there.answer(b'{"error":"disk full"}', "507 Insufficient Storage", Connection="close")

    with serving(script) as running, OllamaServer(server_address(running.url)) as server:
        with pytest.raises(LoadFailed, match="disk full"):
            server.upload(path)
        assert f"/api/blobs/sha256:{SHA}" in running.asked[0]
        with pytest.raises(LoadFailed, match="cannot be read"):
            server.upload(tmp_path / "none")


# --- a pull by the server -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (raw(b'{"status":"' + b"a" * (2 << 20)), "a line of more than"),
        (raw(b"[" * 100_000), "not JSON"),
        (objects(*({"digest": f"{n}"} for n in range(5000))), "never finishes"),
        (objects({"error": {"a": 1}}), "dict instead of text"),
    ],
    ids=["line", "deep", "digests", "error"],
)
def test_a_pull_that_is_hostile_ends(answer: Any, message: str) -> None:
    with FakeServer() as fake, OllamaServer(server_address(fake.url)) as server:
        fake.answers["/api/pull"] = answer
        with pytest.raises(BackendError, match=message):
            server.pull("x", lambda *progress: None)


def test_progress_is_told_in_numbers_and_texts() -> None:
    told: list[tuple[str, str, int, int]] = []
    parts = [{"status": odd, "digest": odd, "completed": odd, "total": odd} for odd in ODD]
    with FakeServer() as fake, OllamaServer(server_address(fake.url)) as server:
        fake.answers["/api/pull"] = objects(*parts, {"status": "success"})
        server.pull("x", lambda *progress: told.append(progress))
    assert len(told) == len(ODD) + 1
    assert {type(value) for progress in told for value in progress} == {str, int}
    assert max(progress[2] for progress in told) < 2**63
