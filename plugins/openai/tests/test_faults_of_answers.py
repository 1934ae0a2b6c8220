"""Servers that fail while they answer: one clear error each, and the session lives on."""

from __future__ import annotations

import json
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import ChunkKind, FinishReason, Message, Sampling, Settings
from gemmahub.errors import (
    BackendCrashed,
    BackendError,
    ContextExceeded,
    FormRefused,
    GenerationFailed,
    LoadFailed,
)
from plugins.openai.tests.conftest import ask, only
from plugins.openai.tests.fake_server import DONE, HTML, MODELS, FakeServer, counted, event, said

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub_openai.backend import OpenAIBackend
    from gemmahub_openai.session import RemoteSession

CHAT = "POST /v1/chat/completions"
HELLO = [Message("user", "hello")]
SOUND = (said("Hel"), said("lo", "stop"), counted(), DONE)
TOO_LONG = "This model's maximum context length is 512 tokens. However, you requested 6018 tokens"
# As lmstudio-ai/lmstudio-bug-tracker issue 546 has it, word for word.
STUDIO_IS_FULL = (
    "Trying to keep the first 6015 tokens when context the overflows. However, the model is "
    "loaded with context length of only 512 tokens, which is not enough."
)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as found:
        yield found.says("GET /v1/models", MODELS).says(CHAT, pieces=SOUND)


@pytest.fixture
def session(
    backend: OpenAIBackend, server: FakeServer, name_servers: Callable[..., None]
) -> Iterator[RemoteSession]:
    name_servers(lab={"url": server.address, "key": "k3y-k3y"})
    with backend.load(only(backend.served(2.0), "lab://tiny"), Settings()) as found:
        yield found


# What a server says to a request, the kind of error, and what it tells.
REFUSALS: dict[str, tuple[dict[str, Any], type[BackendError], str]] = {
    "web page": ({"body": HTML, "status": 404}, GenerationFailed, "web page"),
    "wrong key": ({"body": {"error": {"message": "no"}}, "status": 401}, GenerationFailed, "key"),
    "no reason": ({"body": {}, "status": 500}, GenerationFailed, "HTTP 500"),
    "text": ({"body": b"boom", "status": 500}, GenerationFailed, "boom"),
    "busy": ({"body": {"detail": "later"}, "status": 503}, GenerationFailed, "later"),
    "too many": ({"body": {"error": "slow down"}, "status": 429}, GenerationFailed, "slow down"),
    "llama-server is full": (
        {
            "body": {
                "error": {
                    "message": "request (6015 tokens) exceeds the available context size",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 6015,
                    "n_ctx": 512,
                }
            },
            "status": 400,
        },
        ContextExceeded,
        "6,015 tokens; the context holds 512",
    ),
    "vLLM is full": (
        {"body": {"object": "error", "message": TOO_LONG}, "status": 400},
        ContextExceeded,
        "the context holds 512",
    ),
    "OpenAI is full": (
        {"body": {"error": {"message": "no", "code": "context_length_exceeded"}}, "status": 400},
        ContextExceeded,
        "more tokens than fit",
    ),
    "LM Studio is full": (
        {
            "body": {"error": "greater than the context length (n_keep: 6015>= n_ctx: 512)"},
            "status": 400,
        },
        ContextExceeded,
        "6,015 tokens; the context holds 512",
    ),
    "form": (
        {"body": {"error": {"message": "bad json schema"}}, "status": 400},
        FormRefused,
        "bad json schema",
    ),
    "strict": (
        {"body": {"error": {"message": "Unrecognized argument: top_k"}}, "status": 400},
        GenerationFailed,
        "top_k",
    ),
    "moved": ({"body": {}, "status": 307}, GenerationFailed, "another address"),
}
STREAMS: dict[str, tuple[tuple[bytes, ...], type[BackendError], str]] = {
    "half": ((said("Hel"),), BackendCrashed, "stopped in the middle of the answer"),
    "no end": ((said("Hel", "stop"),), BackendCrashed, "in the middle of the answer"),
    "no reason": ((said("Hel"), counted(), DONE), GenerationFailed, "without giving a reason"),
    "not JSON": ((said("Hel"), b"data: {]\n\n"), BackendCrashed, "not JSON"),
    "deep": ((b"data: " + b"[" * 200_000 + b"\n\n",), BackendCrashed, "JSON"),
    "endless line": ((b"data: " + b"x" * (2 << 20),), BackendCrashed, "line"),
    "error": ((said("a"), event(error={"message": "GPU\x1b lost"})), GenerationFailed, "GPU"),
    "error as text": ((event(error="GPU lost"),), GenerationFailed, "GPU lost"),
    "error without stream": (
        (json.dumps({"error": {"message": "no stream"}}).encode() + b"\n",),
        GenerationFailed,
        "no stream",
    ),
    "full in the middle": ((said("a"), event(error={"message": TOO_LONG})), ContextExceeded, "512"),
    "LM Studio is full": ((event(error=STUDIO_IS_FULL),), ContextExceeded, "6,015 tokens; the"),
    "LM Studio of MLX is full": (
        (b"event: error\n", event(error={"message": "Context size has been exceeded."})),
        ContextExceeded,
        "more tokens than fit",
    ),
    "web page": ((HTML,), BackendError, "web page"),
    "another model": (
        (event(model="llama-4", choices=[{"delta": {"content": "Hi"}}]), DONE),
        GenerationFailed,
        "answers as llama-4, not as tiny",
    ),
    "endless calls": (
        tuple(
            said(tool_calls=[{"index": number, "function": {"name": "f"}}]) for number in range(300)
        ),
        GenerationFailed,
        "more than 128 calls",
    ),
    "endless call": (
        tuple(
            said(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": "x" * 200_000}}])
            for _ in range(6)
        ),
        GenerationFailed,
        "without an end",
    ),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_is_one_error_and_the_next_answer_comes(
    session: RemoteSession, server: FakeServer, fault: str
) -> None:
    how, kind, told = REFUSALS[fault]
    server.says(CHAT, **how)
    with pytest.raises(kind, match=None) as caught:
        ask(session, HELLO)
    assert told in caught.value.message
    assert caught.value.hint
    assert "k3y" not in caught.value.in_full
    server.says(CHAT, pieces=SOUND)
    assert ask(session, HELLO)[0] == "Hello"


@pytest.mark.parametrize("fault", STREAMS)
def test_a_stream_that_fails_is_one_error_and_the_next_answer_comes(
    session: RemoteSession, server: FakeServer, fault: str
) -> None:
    pieces, kind, told = STREAMS[fault]
    server.says(CHAT, pieces=pieces)
    with pytest.raises(kind) as caught:
        ask(session, HELLO)
    assert told in caught.value.message
    assert caught.value.message.isprintable()
    server.says(CHAT, pieces=SOUND)
    assert ask(session, HELLO)[0] == "Hello"


def test_a_connection_that_breaks_is_one_error(session: RemoteSession, server: FakeServer) -> None:
    server.says(CHAT, pieces=(said("Hel"),), breaks=True)
    with pytest.raises(BackendCrashed, match=r"broke|middle"):
        ask(session, HELLO)


def test_silence_ends_after_the_timeout(
    backend: OpenAIBackend, server: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(lab=server.address)
    model = only(backend.served(2.0), "lab://tiny")
    server.says(CHAT, pieces=SOUND, pause=30.0)
    with backend.load(model, Settings(options={"timeout": 0.5})) as session:
        started = monotonic()
        with pytest.raises(BackendError):
            ask(session, HELLO)
        assert monotonic() - started < 5
    for wrong in ({"timeout": 0.0}, {"timeout": float("inf")}, {"context_length": 0}):
        with pytest.raises(LoadFailed):
            backend.load(model, Settings(options=wrong))


def test_a_cancel_ends_an_answer_that_does_not_come(
    session: RemoteSession, server: FakeServer
) -> None:
    server.says(CHAT, pieces=SOUND, pause=20.0)
    timer = threading.Timer(0.3, session.cancel)
    timer.start()
    started = monotonic()
    text, usage = ask(session, HELLO)
    assert monotonic() - started < 3
    assert (text, usage.finish_reason) == ("", FinishReason.CANCELLED)
    timer.join()
    assert len(server.bodies(CHAT)) == 1, "nothing more was asked for"


def test_an_empty_stream_is_asked_for_its_reason(
    session: RemoteSession, server: FakeServer
) -> None:
    server.says(CHAT, pieces=(b"",))
    with pytest.raises(BackendCrashed, match="in the middle of the answer"):
        ask(session, HELLO)
    streamed, plain = server.bodies(CHAT)
    assert streamed["stream"] is True
    assert (plain["stream"], plain["max_tokens"]) == (False, 1)


def test_a_context_that_cannot_be_is_not_handed_on(
    backend: OpenAIBackend, server: FakeServer, name_servers: Callable[..., None]
) -> None:
    entry = {"id": "tiny", "max_model_len": 64}
    server.says("GET /v1/models", {"data": [entry]})
    name_servers(lab=server.address)
    model = only(backend.served(2.0), "lab://tiny")
    assert model.context == 64
    server.says(CHAT, pieces=(said("Hi", "stop"), counted(asked=600), DONE))
    with backend.load(model, Settings()) as session:
        _, usage = ask(session, HELLO)
        assert (usage.prompt_tokens, usage.context, usage.context_used) == (600, None, None)
        full = {"message": "exceeds the available context size (32 tokens)", "n_ctx": 32}
        server.says(CHAT, {"error": full}, status=400)
        with pytest.raises(ContextExceeded, match=r"holds 32 .it had stated 64"):
            ask(session, HELLO)


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens": -5, "completion_tokens": "x"},
        {"prompt_tokens": 1e99, "completion_tokens": True},
        {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": []},
        {"prompt_tokens": 5, "completion_tokens_details": {"reasoning_tokens": "many"}},
        [],
    ],
)
def test_invalid_counts_count_as_unknown(
    session: RemoteSession, server: FakeServer, counts: object
) -> None:
    timings = {"prompt_n": -1, "prompt_ms": "x", "predicted_ms": -1}
    pieces = (said("Hi", "no such reason"), event(choices=[], usage=counts, timings=timings), DONE)
    server.says(CHAT, pieces=pieces)
    text, usage = ask(session, HELLO)
    assert (text, usage.finish_reason) == ("Hi", FinishReason.STOP)
    assert usage.prompt_tokens in (None, 5)
    assert usage.tokens in (None, 2)
    assert (usage.prefill_seconds, usage.decode_seconds) == (None, None)


def test_the_model_is_gone_when_it_is_loaded(
    backend: OpenAIBackend, server: FakeServer, name_servers: Callable[..., None]
) -> None:
    name_servers(lab=server.address)
    model = only(backend.served(2.0), "lab://tiny")
    server.says("GET /v1/models", {"data": [{"id": "other"}]})
    with pytest.raises(LoadFailed, match="has no model tiny") as caught:
        backend.load(model, Settings())
    assert "it has: other" in caught.value.hint
    server.says("GET /v1/models", body=HTML)
    with pytest.raises(LoadFailed, match="web page"):
        backend.load(model, Settings())


def test_an_empty_answer_to_a_prompt_that_does_not_fit_is_reported(
    backend: OpenAIBackend, server: FakeServer, name_servers: Callable[..., None]
) -> None:
    server.says("GET /v1/models", {"data": [{"id": "tiny", "max_model_len": 64}]})
    name_servers(lab=server.address)
    model = only(backend.served(2.0), "lab://tiny")
    server.says(CHAT, pieces=(said(reason="stop"), counted(asked=600, told=0), DONE))
    with (
        backend.load(model, Settings()) as session,
        pytest.raises(ContextExceeded, match="600 tokens; the context holds 64"),
    ):
        ask(session, HELLO)


def test_thoughts_and_calls_are_distinguished_from_the_answer(
    session: RemoteSession, server: FakeServer
) -> None:
    first = {"index": 0, "id": "c1", "function": {"name": "look_up", "arguments": '{"a"'}}
    more = {"index": 0, "function": {"arguments": ": 1}"}}
    second = {"index": 1, "function": {"name": "other", "arguments": {"b": 2}}}
    pieces = (
        said(reasoning_content="Let me "),
        said(reasoning="see."),
        said("So: "),
        said(tool_calls=[first]),
        said(tool_calls=[more, second]),
        said(reason="tool_calls"),
        counted(9, 7, completion_tokens_details={"reasoning_tokens": 3}),
        DONE,
    )
    server.says(CHAT, pieces=pieces)
    chunks = list(session.generate(HELLO, Sampling(max_tokens=64)))
    thoughts = "".join(one.text for one in chunks if one.kind is ChunkKind.REASONING)
    assert thoughts == "Let me see."
    calls = [one.tool_call for one in chunks if one.tool_call]
    assert [(call.name, call.values()) for call in calls] == [
        ("look_up", {"a": 1}),
        ("other", {"b": 2}),
    ]
    assert calls[0].id == "c1"
    assert calls[1].id
    usage = chunks[-1].usage
    assert usage is not None
    assert (usage.finish_reason, usage.reasoning_tokens) == (FinishReason.TOOL_CALLS, 3)
