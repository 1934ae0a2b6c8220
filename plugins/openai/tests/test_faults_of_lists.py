"""Servers that fail when they are asked what they have: a row each, and the others stay."""

from __future__ import annotations

import json
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import BrokenEntry, ServedModel
from plugins.openai.tests.fake_server import HTML, MODELS, FakeServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub_openai.backend import OpenAIBackend

MANY = {"data": [{"id": f"m{number}"} for number in range(120_000)]}
# What a server says to GET /v1/models, and what the row then says.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "web page": ({"body": HTML, "kind": "text/html"}, "web page"),
    "web page and error": ({"body": HTML, "status": 502, "kind": "text/html"}, "web page"),
    "login page": ({"body": HTML, "status": 404}, "web page"),
    "not JSON": ({"body": b"hello"}, "it is not JSON"),
    "nothing": ({"body": b""}, "an empty one"),
    "a list": ({"body": [1, 2]}, "not a JSON object"),
    "no list": ({"body": {"data": "x"}}, "no list of models"),
    "deep": ({"body": b"[" * 100_000}, "nested too deep"),
    "too many values": ({"body": MANY}, "more than 200,000 values"),
    "key wanted": ({"body": {"error": {"message": "no"}}, "status": 401}, "asks for a key"),
    "not ready": (
        {"body": {"error": {"message": "Loading model"}}, "status": 503},
        "not ready: Loading model",
    ),
    "elsewhere": (
        {"body": {}, "status": 301, "headers": {"Location": "https://x/"}},
        "redirects to another address",
    ),
    "error in 200": ({"body": {"error": {"message": "out of luck"}}}, "out of luck"),
    "broken off": ({"body": MODELS, "breaks": True}, "broke while it was answering"),
    "silent": ({"body": MODELS, "pause": 30.0}, "in time"),
    "dripping": (
        {"pieces": tuple(bytes([byte]) for byte in json.dumps(MODELS).encode()), "pause": 0.2},
        "in time",
    ),
    "controls": (
        {"body": {"error": {"message": "\x1b[2J\x07 boo\u202e"}}, "status": 500},
        "boo",
    ),
    "packed": ({"body": b"x", "headers": {"Content-Encoding": "br"}}, "compressed its answer"),
}


@pytest.fixture
def sound() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server.says("GET /v1/models", MODELS)


@pytest.mark.parametrize("fault", FAULTS)
def test_one_that_fails_is_a_row_and_hides_no_other(
    backend: OpenAIBackend, sound: FakeServer, name_servers: Callable[..., None], fault: str
) -> None:
    how, reason = FAULTS[fault]
    with FakeServer() as failing:
        failing.says("GET /v1/models", **how)
        key = {} if fault == "key wanted" else {"key": "k3y-k3y"}
        name_servers(bad={"url": failing.address, **key}, good=sound.address)
        started = monotonic()
        found = backend.served(2.0)
        assert monotonic() - started < 2.0
    assert [one.reference for one in found if isinstance(one, ServedModel)] == ["good://tiny"]
    (broken,) = [one for one in found if isinstance(one, BrokenEntry)]
    assert (broken.store, broken.reference) == ("openai", "bad://")
    assert reason in broken.reason
    assert "k3y" not in broken.reason
    assert broken.reason.isprintable()


def test_one_that_is_down_is_a_row(
    backend: OpenAIBackend, sound: FakeServer, name_servers: Callable[..., None]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        name_servers(bad=f"http://127.0.0.1:{port}", good=sound.address)
        models, broken = _told_apart(backend.served(2.0))
    assert models == ["good://tiny"]
    assert "no server answers at bad" in broken[0].reason


def test_many_slow_ones_take_no_longer_than_one(
    backend: OpenAIBackend, sound: FakeServer, name_servers: Callable[..., None]
) -> None:
    with FakeServer() as slow:
        slow.says("GET /v1/models", MODELS, pause=20.0)
        urls = {f"slow{number}": f"{slow.address}/base{number}" for number in range(40)}
        for number in range(40):
            slow.says(f"GET /base{number}/v1/models", MODELS, pause=20.0)
        name_servers(good=sound.address, **urls)
        started = monotonic()
        models, broken = _told_apart(backend.served(2.0))
        assert monotonic() - started < 2.0
    assert models == ["good://tiny"]
    assert len(broken) == 40
    assert all("in time" in one.reason for one in broken)


def test_odd_entries_of_a_list_are_left_out_and_told(
    backend: OpenAIBackend, name_servers: Callable[..., None]
) -> None:
    entries = [{"id": "a b/ü:x"}, {"id": 5}, {"id": ""}, "x", None, {"id": "ok", "meta": []}]
    with FakeServer() as server:
        server.says("GET /v1/models", {"data": entries})
        name_servers(lab=server.address)
        found = backend.served(2.0)
    models, broken = _told_apart(found)
    assert models == ["lab://a%20b/%C3%BC:x", "lab://ok"]
    assert "4 of its models have no name" in broken[0].reason


def test_what_a_server_says_of_itself_may_be_invalid(
    backend: OpenAIBackend, name_servers: Callable[..., None]
) -> None:
    entry = {
        "id": "tiny",
        "owned_by": "llamacpp",
        "meta": {"ftype": "\x1b[31mQ4", "n_ctx": -5, "n_ctx_train": 1e99, "n_params": "x"},
        "architecture": {"input_modalities": "image"},
        "status": [1],
    }
    props = {"default_generation_settings": {"n_ctx": "many"}, "modalities": 5, "role": ["router"]}
    with FakeServer() as server:
        server.says("GET /v1/models", {"data": [entry]}).says("GET /props", props)
        name_servers(lab=server.address)
        (model,) = backend.served(2.0)
    assert isinstance(model, ServedModel)
    told = (model.precision, model.context, model.context_trained, model.images)
    assert told == ("", None, None, None)


# --- places that nobody named ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["web page", "not JSON", "nothing", "silent", "not ready", "deep"]
)
def test_something_else_on_a_well_known_port_is_not_a_row(
    backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    how, _ = FAULTS[fault]
    with FakeServer() as other:
        other.says("GET /v1/models", **how)
        monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", f"127.0.0.1:{other.port}")
        started = monotonic()
        assert backend.served(2.0) == []
        answer = backend.availability()
        assert monotonic() - started < 4.0
    assert not answer.ok
    assert "no server is set" in answer.reason
    assert str(other.port) in answer.reason
    assert "plugins.openai.servers.NAME.url" in answer.hint


def test_a_server_that_needs_a_key_is_a_row_with_a_hint(
    backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer() as other:
        other.says("GET /v1/models", {"error": {"message": "Invalid API Key"}}, status=401)
        monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", f"127.0.0.1:{other.port}")
        (broken,) = backend.served(2.0)
    assert isinstance(broken, BrokenEntry)
    assert "asks for a key" in broken.reason
    assert "plugins.openai.servers.NAME.url" in broken.reason


def test_a_server_of_gemmahubs_own_is_left_out(
    backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer() as own:
        own.says("GET /v1/models", {"data": [{"id": "x", "owned_by": "gemmahub"}]})
        monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", f"127.0.0.1:{own.port}")
        assert backend.served(2.0) == []


def test_only_places_of_this_machine_are_asked_unnamed(
    backend: OpenAIBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_OPENAI_LOCAL", "example.org:80,:::,http://a:b@127.0.0.1:1")
    found = backend.served(2.0)
    assert len(found) == 3
    assert all(isinstance(one, BrokenEntry) for one in found)


# --- a key goes to its server alone --------------------------------------------------------------


def test_a_key_is_sent_to_its_own_server_and_never_shown(
    backend: OpenAIBackend, name_servers: Callable[..., None]
) -> None:
    with FakeServer() as one, FakeServer() as other:
        for server in (one, other):
            server.says("GET /v1/models", MODELS)
        name_servers(one={"url": one.address, "key": "k3y"}, other=other.address)
        found = backend.served(2.0)
        sent = [head.get("Authorization") for _, head, _ in one.asked]
        assert set(sent) == {"Bearer k3y"}
        assert all("Authorization" not in head for _, head, _ in other.asked)
    assert "k3y" not in repr(found)


def _told_apart(found: list[Any]) -> tuple[list[str], list[BrokenEntry]]:
    models = [one.reference for one in found if isinstance(one, ServedModel)]
    return models, [one for one in found if isinstance(one, BrokenEntry)]
