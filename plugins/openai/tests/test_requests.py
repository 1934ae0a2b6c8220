"""What is sent to which program, and what is refused instead of being left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Message, Sampling, SessionInfo, Settings, Tool, ToolCall
from gemmahub.errors import BackendError, FormRefused, GenerationFailed
from gemmahub.testing.projector_writer import write_png
from gemmahub_openai.places import same_place
from gemmahub_openai.servers import Server, ServerKind, StatedModel, server_url
from gemmahub_openai.session import Partner, RemoteSession

if TYPE_CHECKING:
    from pathlib import Path

HELLO = (Message("user", "hello"),)
SERVER = Server("lab", "http://127.0.0.1:9", key="k3y")
TOOL = Tool("look_up", "Find it.", {"type": "object"})


def body(
    sampling: Sampling,
    kind: ServerKind = ServerKind.OTHER,
    prompt: Any = HELLO,
    plain: bool = False,
    images: bool | None = None,
    **stated: Any,
) -> tuple[str, dict[str, Any]]:
    info = SessionInfo("x", 512, None, True, "x", Settings(), images=images)
    partner = Partner(SERVER, kind, StatedModel("tiny", **stated), "tiny", plain)
    with RemoteSession(info, partner) as session:
        return session.request(prompt if isinstance(prompt, str) else list(prompt), sampling)


def test_all_of_the_sampling_is_sent() -> None:
    path, found = body(Sampling(5, 0.5, 7, 0.9, 0.1, seed=2**40 + 3, stop=("a", "")))
    assert path == "/v1/chat/completions"
    assert found["model"] == "tiny"
    names = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop", "stream")
    assert [found[name] for name in names] == [5, 0.5, 7, 0.9, 0.1, 3, ["a"], True]
    assert found["stream_options"] == {"include_usage": True}


def test_plain_servers_get_openais_own_parameters_alone() -> None:
    _, found = body(Sampling(5), plain=True)
    assert not {"top_k", "min_p"} & set(found)


@pytest.mark.parametrize("kind", ServerKind)
def test_a_schema_is_sent_or_refused(kind: ServerKind) -> None:
    wanted = Sampling(5, schema={"type": "object"})
    if kind is ServerKind.MLX:
        with pytest.raises(FormRefused):
            body(wanted, kind)
        return
    form = body(wanted, kind)[1]["response_format"]
    if kind is ServerKind.LLAMA_CPP_PYTHON:
        assert form == {"type": "json_object", "schema": {"type": "object"}}
    else:
        assert form["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize("kind", ServerKind)
def test_a_grammar_is_sent_or_refused(kind: ServerKind) -> None:
    wanted = Sampling(5, grammar='root ::= "a"')
    takes = ("llama-server", "llama-server router", "llama_cpp.server")
    if kind in takes:
        assert body(wanted, kind)[1]["grammar"] == 'root ::= "a"'
    else:
        with pytest.raises(FormRefused):
            body(wanted, kind)


@pytest.mark.parametrize(
    ("kind", "thinks", "wanted", "sent"),
    [
        (ServerKind.LLAMA_SERVER, True, True, {"enable_thinking": True}),
        (ServerKind.LLAMA_SERVER, True, False, {"enable_thinking": False}),
        (ServerKind.LLAMA_SERVER, False, False, None),
        (ServerKind.LLAMA_SERVER, False, True, GenerationFailed),
        (ServerKind.LLAMA_SERVER, True, 64, {"enable_thinking": True}),
        (ServerKind.VLLM, None, True, {"enable_thinking": True}),
        (ServerKind.VLLM, None, 64, GenerationFailed),
        (ServerKind.LM_STUDIO, None, True, GenerationFailed),
        (ServerKind.LM_STUDIO, None, False, None),
        (ServerKind.OTHER, None, None, None),
    ],
)
def test_thoughts_are_switched_or_refused(
    kind: ServerKind, thinks: bool | None, wanted: Any, sent: Any
) -> None:
    asked = Sampling(5, thinking=wanted)
    if sent is GenerationFailed:
        with pytest.raises(GenerationFailed):
            body(asked, kind, thinks=thinks)
        return
    found = body(asked, kind, thinks=thinks)[1]
    assert found.get("chat_template_kwargs") == sent
    assert found.get("thinking_budget_tokens") == (64 if wanted == 64 else None)


def test_tools_calls_and_results_are_sent() -> None:
    call = ToolCall("c1", "look_up", '{"a": 1}')
    talk = [
        Message("system", "Be short."),
        Message("user", "look"),
        Message("assistant", "", tool_calls=(call,), reasoning="hm"),
        Message("tool", "8611", tool_call_id="c1"),
    ]
    found = body(Sampling(5, tools=(TOOL,)), prompt=talk)[1]
    assert found["tools"][0]["function"]["name"] == "look_up"
    assert [one["role"] for one in found["messages"]] == ["system", "user", "assistant", "tool"]
    assert found["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    assert found["messages"][3]["tool_call_id"] == "c1"
    for asked, prompt in ((Sampling(5, tools=(TOOL,)), talk[:2]), (Sampling(5), talk)):
        with pytest.raises(GenerationFailed, match="tools"):
            body(asked, prompt=prompt, tools=False)


def test_images_are_sent_as_data_before_the_text(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    write_png(image, 4, 3, lambda x, y: (x, y, 0))
    asked = [Message("user", "what?", (image,))]
    (message,) = body(Sampling(5), prompt=asked)[1]["messages"]
    first, second = message["content"]
    assert first["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
    assert second == {"type": "text", "text": "what?"}
    with pytest.raises(GenerationFailed, match="does not support images"):
        body(Sampling(5), prompt=asked, images=False)
    for content in (b"", b"no image"):
        image.write_bytes(content)
        with pytest.raises(GenerationFailed, match="not an image"):
            body(Sampling(5), prompt=asked)
    image.unlink()
    with pytest.raises(GenerationFailed, match="cannot be read"):
        body(Sampling(5), prompt=asked)


@pytest.mark.parametrize(
    ("kind", "chat", "text"),
    [
        (ServerKind.LLAMA_SERVER, None, -1),
        (ServerKind.LM_STUDIO, None, -1),
        (ServerKind.MLX, 1 << 20, 1 << 20),
        (ServerKind.LLAMA_CPP_PYTHON, None, 0),
        (ServerKind.VLLM, None, None),
    ],
)
def test_no_limit_is_said_as_the_program_takes_it(
    kind: ServerKind, chat: int | None, text: int | None
) -> None:
    assert body(Sampling(), kind)[1]["max_tokens"] == chat
    path, found = body(Sampling(), kind, prompt="Once")
    assert (path, found["prompt"], found["max_tokens"]) == ("/v1/completions", "Once", text)


def test_an_unknown_role_is_refused_and_halves_of_characters_replaced() -> None:
    with pytest.raises(BackendError, match="cannot be from"):
        body(Sampling(5), prompt=[Message("nobody", "x")])
    (message,) = body(Sampling(5), prompt=[Message("user", "a\ud800b")])[1]["messages"]
    assert message["content"] == "a?b"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://host:8000/v1/", "http://host:8000"),
        ("https://host/base/v1", "https://host/base"),
        ("https://host/api/v1", "https://host"),
        ("http://[::1]:1/", "http://[::1]:1"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        (" localhost:1 ", "http://localhost:1"),
        ("", ""),
        ("ftp://host", ""),
        ("http://", ""),
        ("http://host:99999", ""),
        ("http://host:0", ""),
        ("http://a:b@host", ""),
        ("http://host/?key=1", ""),
        ("http://ho st", ""),
        ("http://host\x1b", ""),
        ("http://[::1", ""),
    ],
)
def test_addresses(text: str, url: str) -> None:
    assert server_url(text) == url


def test_one_place_has_one_name() -> None:
    assert same_place("http://localhost:80") == same_place("http://127.0.0.1")
    assert same_place("http://a:1") != same_place("http://a:2")
    assert "k3y" not in repr(SERVER)
