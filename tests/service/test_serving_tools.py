"""Tools and thoughts through ``gemmahub serve``, with the official clients."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from gemmahub.testing.model_writer import write_model
from tests.service.serving_support import HELLO, Serving, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

# llama-server knows Gemma 4's form by the words in the comment, and puts results into the turn
# that called.
TEMPLATE = (
    "{# '<|tool_call>call:' #}{{ bos_token }}"
    "{% for tool in tools or [] %}<|tool>{{ tool | tojson }}<tool|>{% endfor %}"
    "{% for message in messages %}<|turn>{{ message['role'] }}\n"
    "{% for call in message['tool_calls'] or [] %}"
    "{{ '<|tool_call>call:' + call.function.name + '{}<tool_call|>' }}{% endfor %}"
    "{{ message['content'] }}<turn|>\n{% endfor %}{% if add_generation_prompt %}"
    "{% if messages[-1]['role'] == 'tool' or messages[-1]['tool_responses'] %}<tool_response|>"
    "{% else %}<|turn>model\n"
    "{% if not enable_thinking | default(false) %}<|channel>thought\n<channel|>{% endif %}"
    "{% endif %}{% endif %}"
)
THINKS = ("\n", "<|channel>", "thought\n", *"PLANIT", "<channel|>", *"yes!", "<end_of_turn>")
CALLS = (
    *("<channel|>", "<|tool_call>", 'call:look_up{mountain:<|"|>', 'K2<|"|>}', "<tool_call|>"),
    *("<end_of_turn>", "<tool_response|>", "high!", "<eos>"),
)
SCHEMA = {"type": "object", "properties": {"mountain": {"type": "string"}}}
TOOLS: Any = [{"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}]
OF_ANTHROPIC: Any = [{"name": "look_up", "input_schema": SCHEMA}]
THINK: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    chains = {"calls": CALLS, "thinks": THINKS}
    for name, chain in chains.items():
        write_model(folder / f"{name}.gguf", template=TEMPLATE, chain=chain)
    return {name: str(folder / f"{name}.gguf") for name in chains}


@pytest.fixture(scope="module")
def server(models: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(*models.values(), "-c", 2048, data=tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture(scope="module")
def of_openai(server: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def of_anthropic(server: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0) as client:
        yield client


def shown(message: Any) -> list[dict[str, Any]]:
    """The blocks of Anthropic's answer."""
    return [block.model_dump() for block in message.content]


def test_openais_client_gets_a_call_whole_and_in_a_stream_and_gives_its_result(
    of_openai: openai.OpenAI, models: dict[str, str]
) -> None:
    asked: Any = {"model": models["calls"], "tools": TOOLS, "max_tokens": 40, "temperature": 0}
    (choice,) = of_openai.chat.completions.create(messages=HELLO, **asked).choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "look_up",
        {"mountain": "K2"},
    )
    pieces = of_openai.chat.completions.create(messages=HELLO, **asked, stream=True)
    parts = [p for piece in pieces for p in piece.choices[0].delta.tool_calls or []]
    assert len(parts) > 1
    written = "".join((part.function and part.function.arguments) or "" for part in parts)
    assert json.loads(written) == {"mountain": "K2"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "8611"}
    turns: Any = [*HELLO, choice.message.model_dump(exclude_none=True), result]
    (last,) = of_openai.chat.completions.create(messages=turns, **asked).choices
    assert (last.message.content or "").endswith("high!")
    assert not last.message.tool_calls


def test_anthropics_client_gets_a_call_whole_and_in_a_stream(
    of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    asked: Any = {"model": models["calls"], "messages": HELLO, "tools": OF_ANTHROPIC}
    limits: Any = {"max_tokens": 40, "extra_body": {"temperature": 0}}
    whole = of_anthropic.messages.create(**asked, **limits)
    with of_anthropic.messages.stream(**asked, **limits) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        (block,) = shown(message)
        assert (block["type"], block["name"]) == ("tool_use", "look_up")
        assert block["input"] == {"mountain": "K2"}
        assert message.stop_reason == "tool_use"


def test_a_thought_is_apart_from_the_answer_in_the_words_of_each_api(
    of_openai: openai.OpenAI, of_anthropic: anthropic.Anthropic, models: dict[str, str]
) -> None:
    asked: Any = {"model": models["thinks"], "messages": HELLO, "max_tokens": 2000}
    openais: Any = {**asked, "reasoning_effort": "high", "temperature": 0}
    message = of_openai.chat.completions.create(**openais).choices[0].message
    assert (message.content, (message.model_extra or {})["reasoning_content"]) == ("yes!", "PLANIT")
    pieces = list(of_openai.chat.completions.create(**openais, stream=True))
    deltas = [piece.choices[0].delta for piece in pieces]
    thought = [(delta.model_extra or {}).get("reasoning_content") or "" for delta in deltas]
    assert "".join(thought) == "PLANIT"
    assert "".join(delta.content or "" for delta in deltas) == "yes!"
    anthropics: Any = {**asked, "thinking": THINK, "extra_body": {"temperature": 0}}
    whole = of_anthropic.messages.create(**anthropics)
    with of_anthropic.messages.stream(**anthropics) as stream:
        streamed = stream.get_final_message()
    for found in (whole, streamed):
        first, second = shown(found)
        assert (first["type"], first["thinking"]) == ("thinking", "PLANIT")
        assert (second["type"], second["text"]) == ("text", "yes!")
    (only,) = shown(of_anthropic.messages.create(**asked))
    assert (only["type"], only["text"]) == ("text", "yes!")
