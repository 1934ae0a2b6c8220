"""LM Studio, by the answers that its documentation shows: no LM Studio was at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import LoadedModel, Message, ServedModel, Settings
from gemmahub.errors import BackendError, LoadFailed
from gemmahub_openai.asking import describe
from gemmahub_openai.client import Clock, ServerClient
from gemmahub_openai.servers import Server, ServerKind
from plugins.openai.tests import studio_answers
from plugins.openai.tests.conftest import ask, only
from plugins.openai.tests.fake_server import DONE, FakeServer, counted, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub_openai.backend import OpenAIBackend

KEY = "gemma-3-270m-it-qat"
STUDIO = {
    "GET /v1/models": studio_answers.OPENAI_LIST,
    "GET /api/v1/models": studio_answers.LIST,
    "POST /api/v1/models/load": studio_answers.LOADED,
    "POST /api/v1/models/unload": studio_answers.UNLOADED,
}


@pytest.fixture
def studio() -> Iterator[FakeServer]:
    """LM Studio 0.4."""
    with FakeServer() as server:
        for what, body in STUDIO.items():
            server.says(what, body)
        answer = (
            event(model=KEY, choices=[{"delta": {"content": "Hi"}}]),
            event(model=KEY, choices=[{"delta": {}, "finish_reason": "stop"}]),
            counted(9, 1),
            DONE,
        )
        server.says("POST /v1/chat/completions", pieces=answer)
        yield server


def test_it_is_listed_with_what_it_states(
    backend: OpenAIBackend, studio: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(studio=studio.address)
    found = backend.served(2.0)
    assert only(found, f"studio://{KEY}") == ServedModel(
        f"studio://{KEY}",
        KEY,
        "openai",
        place=studio.address,
        precision="Q4_0",
        architecture="gemma3",
        context=4096,
        context_trained=32768,
        images=False,
        loaded=True,
    )
    other = only(found, "studio://text-embedding-nomic-embed-text-v1.5-embedding")
    assert (other.precision, other.loaded, other.context) == ("F16", False, None)


def test_what_is_in_memory_is_reported(
    backend: OpenAIBackend, studio: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(studio=studio.address)
    assert backend.loaded() == [
        LoadedModel(
            KEY,
            "openai",
            reference=f"studio://{KEY}",
            label="Q4_0",
            context=4096,
            device="LM Studio studio",
            place=studio.address,
        )
    ]
    backend.unload(KEY)
    assert studio.bodies("POST /api/v1/models/unload") == [{"instance_id": KEY}]
    backend.unload("not loaded")
    assert len(studio.bodies("POST /api/v1/models/unload")) == 1


def test_a_loaded_model_answers_and_stays(
    backend: OpenAIBackend, studio: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(studio=studio.address)
    model = only(backend.served(2.0), f"studio://{KEY}")
    with backend.load(model, Settings()) as session:
        text, usage = ask(session, [_user("hello")])
        assert (text, usage.prompt_tokens, usage.context) == ("Hi", 9, 4096)
        assert session.info.precision == "Q4_0"
    assert not studio.bodies("POST /api/v1/models/load")
    assert not studio.bodies("POST /api/v1/models/unload")


def test_another_context_loads_it_again_and_closing_gives_it_back(
    backend: OpenAIBackend, studio: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(studio=studio.address)
    instance = studio_answers.LOADED["instance_id"]
    studio.answers["POST /v1/chat/completions"].pieces = (
        event(model=instance, choices=[{"delta": {"content": "Hi"}, "finish_reason": "stop"}]),
        DONE,
    )
    model = only(backend.served(2.0), f"studio://{KEY}")
    session = backend.load(model, Settings(options={"context_length": 16384}))
    (asked,) = studio.bodies("POST /api/v1/models/load")
    assert (asked["model"], asked["context_length"]) == (KEY, 16384)
    assert session.info.context == 16384
    assert ask(session, [_user("hello")])[0] == "Hi"
    assert studio.bodies("POST /v1/chat/completions")[0]["model"] == instance
    session.close()
    session.close()
    assert studio.bodies("POST /api/v1/models/unload") == [{"instance_id": instance}]


def test_it_stays_in_memory_where_that_is_requested(
    backend: OpenAIBackend, studio: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(studio=studio.address)
    model = only(backend.served(2.0), f"studio://{KEY}")
    backend.load(model, Settings(options={"context_length": 16384, "keep": True})).close()
    assert not studio.bodies("POST /api/v1/models/unload")


def test_a_model_that_it_cannot_load_is_one_error(
    backend: OpenAIBackend, studio: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(studio=studio.address)
    error = {"error": {"type": "model_load_failed", "message": "insufficient system resources"}}
    studio.says("POST /api/v1/models/load", error, status=500)
    model = only(backend.served(2.0), "studio://text-embedding-nomic-embed-text-v1.5-embedding")
    with pytest.raises(LoadFailed, match="insufficient system resources"):
        backend.load(model, Settings())


def test_before_0_4_the_older_interface_is_asked(
    backend: OpenAIBackend, name_servers: Callable[..., None]
) -> None:
    with FakeServer() as old:
        ids = [each["id"] for each in studio_answers.OLD_LIST["data"]]  # type: ignore[index]
        listed = [{"id": each, "owned_by": "organization_owner"} for each in ids]
        old.says("GET /v1/models", {"data": listed})
        old.says("GET /api/v1/models", studio_answers.UNEXPECTED)
        old.says("GET /api/v0/models", studio_answers.OLD_LIST)
        name_servers(studio=old.address)
        found = backend.served(2.0)
        large = only(found, "studio://gemma-3-4b-it")
        assert (large.precision, large.context, large.images) == ("4bit", 8192, True)
        small = only(found, "studio://gemma-3-1b-it")
        assert (small.precision, small.loaded, small.context) == ("Q4_K_M", False, None)
        with pytest.raises(BackendError, match="until the server stops"):
            backend.unload("gemma-3-4b-it")
        with pytest.raises(LoadFailed, match=r"before 0\.4"):
            backend.load(small, Settings(options={"context_length": 64}))


@pytest.mark.parametrize(
    "listed",
    [
        {"models": [{"key": 5}, {"key": ""}, "x", {"key": "a", "loaded_instances": "x"}]},
        {"models": [{"key": "a", "quantization": [], "max_context_length": -1}]},
        {"models": [{"key": "a", "quantization": {"name": 5, "bits_per_weight": 1e308}}]},
        {"models": [{"key": "a", "capabilities": {"vision": "yes"}, "loaded_instances": [{}]}]},
    ],
)
def test_values_of_a_wrong_kind_count_as_not_stated(listed: object) -> None:
    with FakeServer() as server:
        server.says("GET /v1/models", studio_answers.OPENAI_LIST).says("GET /api/v1/models", listed)
        with ServerClient(Server("s", server.address)) as client:
            state = describe(client, Clock(2.0))
    assert state.kind is ServerKind.LM_STUDIO
    (model,) = state.models
    assert (model.name, model.label, model.context, model.images) == ("a", "", None, None)
    assert model.loaded is False


def _user(text: str) -> Message:

    return Message("user", text)
