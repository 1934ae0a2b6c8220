"""``gemmahub serve`` with the official clients of OpenAI and Anthropic, on real models."""

from __future__ import annotations

import importlib
import json
import math
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from gemmahub.testing.model_writer import TEMPLATE, WIDTH, write_embedding_model, write_model
from tests.service.serving_support import HELLO, TOOLS_TEMPLATE, Serving, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Result

BASE = "gemma-3-270m:q4_k_m"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Chat models, one with tools and one with thinking in its template; the real base model."""
    folder = tmp_path_factory.mktemp("models")
    plain, tools, thinks = (folder / f"{name}.gguf" for name in ("plain", "tools", "thinks"))
    write_model(plain)
    write_model(tools, template=TOOLS_TEMPLATE, seed=1)
    thought = "{{ bos_token }}{% if enable_thinking %}think{% endif %}"
    write_model(thinks, template=TEMPLATE.replace("{{ bos_token }}", thought), seed=2)
    embeds = folder / "embeds.gguf"
    write_embedding_model(embeds)
    found = {"plain": plain, "tools": tools, "thinks": thinks, "embeds": embeds}
    return {name: str(path) for name, path in found.items()} | {"base": BASE}


@pytest.fixture(scope="module")
def server(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    data = tmp_path_factory.mktemp("data")
    with serving(*models.values(), "-c", 2048, "--parallel", 2, data=data) as found:
        yield found


@pytest.fixture(scope="module")
def of_openai(server: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def of_anthropic(server: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0) as client:
        yield client


def test_the_list_has_each_model_with_its_precision(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    listed = {model.id: model for model in of_openai.models.list()}
    assert set(listed) == set(models.values())
    meta = (listed[BASE].model_extra or {})["meta"]
    assert meta["precision"]["label"] == "Q4_K_M"
    assert meta["precision"]["bits_per_weight"] == 7.36
    assert meta["context"] == 2048
    one = of_openai.models.retrieve(models["plain"])
    assert (one.model_extra or {})["meta"]["precision"]["label"] == "F32"
    assert "7.36 bits/weight" in of_anthropic.models.retrieve(BASE).display_name
    assert [model.id for model in of_anthropic.models.list()] == list(models.values())


def test_a_text_is_completed_and_a_conversation_without_a_template_too(
    of_openai: openai.OpenAI,
) -> None:
    text = "The capital of France is"
    done = of_openai.completions.create(model=BASE, prompt=text, max_tokens=8, temperature=0)
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (6, 8)
    chat = of_openai.chat.completions.create(
        model=BASE, messages=[{"role": "user", "content": text}], max_tokens=8, temperature=0
    )
    assert chat.usage is not None
    assert chat.usage.prompt_tokens == 6  # the very same tokens: no words of a template of others
    assert chat.choices[0].message.content == done.choices[0].text


def test_a_chat_streams_what_it_answers_whole(
    of_openai: openai.OpenAI, models: dict[str, str]
) -> None:
    asked: Any = {"model": models["plain"], "messages": HELLO, "max_tokens": 12, "temperature": 0}
    whole = of_openai.chat.completions.create(**asked)
    pieces = list(
        of_openai.chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
    assert text == whole.choices[0].message.content != ""
    assert pieces[-1].usage.completion_tokens == 12
    assert whole.model == models["plain"]


def test_a_schema_is_held_to(of_openai: openai.OpenAI, models: dict[str, str]) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"enum": [1, 2]}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    answer = of_openai.chat.completions.create(
        model=models["plain"],
        messages=HELLO,
        max_tokens=400,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": schema, "strict": True},
        },
    )
    found = json.loads(answer.choices[0].message.content or "")
    assert set(found) == {"a", "b"}
    assert found["a"] in (1, 2)


def test_a_schema_that_no_grammar_has_is_refused(
    of_openai: openai.OpenAI, models: dict[str, str]
) -> None:
    with pytest.raises(openai.BadRequestError, match="nonsense"):
        of_openai.chat.completions.create(
            model=models["plain"],
            messages=HELLO,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "nonsense"}},
            },
        )


def test_tools_reach_a_template_that_has_them_and_are_refused_by_one_without(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    asked: Any = {"messages": HELLO, "max_tokens": 4, "temperature": 0}
    tool = {"name": "weather", "description": "of a city", "parameters": {"type": "object"}}
    tools: Any = [{"type": "function", "function": tool}]
    chat = of_openai.chat.completions
    without = chat.create(model=models["tools"], **asked)
    with_tools = chat.create(model=models["tools"], tools=tools, **asked)
    assert with_tools.usage.prompt_tokens > without.usage.prompt_tokens + 40
    with pytest.raises(openai.BadRequestError, match="does not support tools") as error:
        chat.create(model=models["plain"], tools=tools, **asked)
    assert error.value.code == "tools_not_supported"
    with pytest.raises(anthropic.BadRequestError, match="does not support tools"):
        of_anthropic.messages.create(
            model=models["plain"],
            tools=[{"name": "weather", "input_schema": {"type": "object"}}],
            messages=HELLO,
            max_tokens=4,
        )


def test_thinking_is_off_unless_a_request_asks_for_it_in_the_words_of_its_api(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    asked: Any = {"model": models["thinks"], "messages": HELLO, "max_tokens": 1}

    def openais(**more: Any) -> int:
        usage = of_openai.chat.completions.create(**asked, **more).usage
        return int(usage.prompt_tokens)

    def anthropics(**more: Any) -> int:
        usage = of_anthropic.messages.create(**asked, **more).usage
        return int(usage.input_tokens + (usage.cache_read_input_tokens or 0))

    off = openais()
    on = off + len("think")
    assert openais(reasoning_effort="none") == openais(reasoning_effort="minimal") == off
    assert openais(reasoning_effort="low") == openais(reasoning_effort="high") == on
    own = {"chat_template_kwargs": {"enable_thinking": True}}
    assert openais(extra_body=own) == openais(reasoning_effort="none", extra_body=own) == on
    assert anthropics() == anthropics(thinking={"type": "disabled"}) == off
    assert anthropics(thinking={"type": "enabled", "budget_tokens": 1024}) == on


def test_anthropics_client_gets_messages_streams_and_counts(
    of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    asked: Any = {"model": models["plain"], "messages": HELLO}
    limits: Any = {"max_tokens": 8, "extra_body": {"temperature": 0}}
    whole = of_anthropic.messages.create(**asked, **limits)
    with of_anthropic.messages.stream(**asked, **limits) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert text == whole.content[0].text != ""
    assert last.stop_reason == whole.stop_reason == "max_tokens"
    assert last.usage.output_tokens == 8
    counted = of_anthropic.messages.count_tokens(**asked)
    assert counted.input_tokens > 20


def test_vectors_of_texts_come_as_numbers_and_as_the_client_packs_them(
    of_openai: openai.OpenAI, models: dict[str, str]
) -> None:
    texts = ["hello there", "something else", "hello there"]
    packed = of_openai.embeddings.create(model=models["embeds"], input=texts)
    plain = of_openai.embeddings.create(
        model=models["embeds"], input=texts, encoding_format="float"
    )
    first, other, again = (row.embedding for row in packed.data)
    assert len(first) == WIDTH
    assert again == pytest.approx(first, abs=1e-6)
    assert other != pytest.approx(first, abs=1e-3)
    assert math.isclose(sum(number * number for number in first), 1, rel_tol=1e-4)
    assert [row.embedding for row in plain.data] == [
        pytest.approx(row.embedding, abs=1e-6) for row in packed.data
    ]
    tokens = sum(map(len, texts)) + 2 * len(texts)  # with <bos> and <eos>
    assert packed.usage.prompt_tokens == tokens
    one = of_openai.embeddings.create(model=models["embeds"], input=texts[1])
    assert one.data[0].embedding == pytest.approx(other, abs=1e-6)


def test_a_model_is_asked_only_for_what_it_does(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    with pytest.raises(openai.BadRequestError, match="cannot embed") as writer:
        of_openai.embeddings.create(model=models["plain"], input="hello")
    assert writer.value.code == "model_does_not_embed"
    embeds = models["embeds"]
    with pytest.raises(openai.BadRequestError, match="/v1/embeddings") as embedder:
        of_openai.chat.completions.create(model=embeds, messages=HELLO)
    assert embedder.value.code == "model_only_embeds"
    with pytest.raises(anthropic.BadRequestError, match="/v1/embeddings"):
        of_anthropic.messages.create(model=embeds, messages=HELLO, max_tokens=3)
    with pytest.raises(openai.BadRequestError, match="exceeds the context") as long:
        of_openai.embeddings.create(model=embeds, input="x" * 3000)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        of_openai.embeddings.create(model=embeds, input={"no": "text"})  # type: ignore[arg-type]
    assert of_openai.embeddings.create(model=embeds, input="still there").data


def test_what_cannot_be_answered_is_an_error_of_each_client(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-9' here") as unknown:
        of_openai.completions.create(model="gpt-9", prompt="x")
    assert unknown.value.code == "model_not_found"
    long = "one two three four " * 3000
    with pytest.raises(openai.BadRequestError, match="exceeds") as full:
        of_openai.completions.create(model=models["plain"], prompt=long)
    assert full.value.code == "context_length_exceeded"
    assert isinstance(full.value.body, dict)
    assert full.value.body["n_ctx"] == 2048
    with pytest.raises(anthropic.NotFoundError, match="there is no model"):
        of_anthropic.messages.create(model="claude", messages=HELLO, max_tokens=3)
    with pytest.raises(anthropic.BadRequestError, match="exceeds"):
        of_anthropic.messages.create(
            model=models["plain"], messages=[{"role": "user", "content": long}], max_tokens=3
        )


@pytest.mark.parametrize("name", ["continue", "opencode", "zed"])
def test_the_settings_of_a_client_name_each_model_as_it_is_served(
    name: str, models: dict[str, str], command: Callable[..., Result], server: Serving
) -> None:
    shown = command("serve", *models.values(), "-c", 2048, "--print-config", name)
    assert shown.code == 0
    assert "http://127.0.0.1:8808/v1" in shown.out
    assert "GEMMAHUB_API_KEY" in shown.out or name == "zed"
    found = importlib.import_module("yaml").safe_load(shown.out)
    if name == "continue":
        rows = {
            m["model"]: (
                m["defaultCompletionOptions"]["contextLength"],
                "tool_use" in m["capabilities"],
            )
            for m in found["models"]
        }
    elif name == "opencode":
        listed = found["provider"]["gemmahub"]["models"]
        rows = {key: (m["limit"]["context"], m["tool_call"]) for key, m in listed.items()}
    else:
        listed = found["language_models"]["openai_compatible"]["gemmahub"]["available_models"]
        rows = {m["name"]: (m["max_tokens"], m["capabilities"]["tools"]) for m in listed}
    served = {row["id"] for row in server.ask("GET", "/v1/models").json()["data"]}
    if name == "continue":  # which has a role for models that embed
        assert {tuple(m["roles"]) for m in found["models"] if m["model"] == models["embeds"]} == {
            ("embed",)
        }
    else:
        served.remove(models["embeds"])
    assert set(rows) == served
    assert {rows[models[key]] for key in ("plain", "base")} == {(2048, False)}
    assert rows[models["tools"]] == (2048, True)
