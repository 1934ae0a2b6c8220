"""What a chat template makes of a conversation, and how its faults are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.chat_template import ChatTemplate
from gemmahub.engines.contract import Message, ToolCall
from gemmahub.engines.template_process import TemplateRenderer
from gemmahub.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Render = Callable[..., str]

TURNS = """{{ bos_token }}{% for message in messages %}
{% if message['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}
<{{ message['role'] }}>{{ message['content'] | trim }}</>
{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"""

HELLO = (Message("user", " hello "),)


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    with TemplateRenderer() as renderer:
        yield renderer


@pytest.fixture
def render(renderer: TemplateRenderer) -> Render:
    def render(source: str, *messages: Message) -> str:
        return ChatTemplate(renderer, source, "<bos>", "<eos>").render(messages or HELLO)

    return render


def test_a_conversation_ends_where_the_models_turn_begins(render: Render) -> None:
    assert render(TURNS) == "<bos><user>hello</>\n<assistant>"


def test_a_refused_system_message_opens_the_first_user_turn(render: Render) -> None:
    text = render(TURNS, Message("system", "be kind"), Message("user", "hello"))
    assert text == "<bos><user>be kind\n\nhello</>\n<assistant>"


def test_a_system_message_is_left_where_the_template_takes_it(render: Render) -> None:
    source = "{% for message in messages %}[{{ message.role }}]{% endfor %}"
    assert render(source, Message("system", "a"), Message("user", "b")) == "[system][user]"


def test_a_refusal_names_the_templates_reason_and_the_way_round(render: Render) -> None:
    with pytest.raises(TemplateError, match="rejected the messages: no such thing") as caught:
        render("{{ raise_exception('no such thing') }}")
    assert "--raw" in caught.value.hint


def test_a_refusal_is_harmless_and_short(render: Render) -> None:
    with pytest.raises(TemplateError) as caught:
        render("{{ raise_exception('\\x1b]0;x\\x07\\x1b[2Ja\\nb' ~ 'c' * 100000) }}")
    assert caught.value.message.startswith("the chat template rejected the messages: a bccc")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "source",
    [
        "{% for message in messages %}",  # does not compile
        "{{ messages | no_such_filter }}",
        "{{ messages[7].content.x }}",  # fails while rendering
        "{{ 1 / 0 }}",
        "{{ range(10 ** 9) | list | length }}",
        "{{ lipsum(10 ** 6) }}",
        "{{ messages.append(1) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}",
        "{% extends '/etc/passwd' %}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{% for x in [[[]]] recursive %}{{ loop([x, x]) }}{% endfor %}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
        "{% if 1 %}" * 5000 + "{% endif %}" * 5000,
        "x" * (2 << 20),  # longer than any real one
    ],
)
def test_a_broken_template_is_a_template_error(render: Render, source: str) -> None:
    with pytest.raises(TemplateError, match=r"^the chat template ") as caught:
        render(source)
    assert "--raw" in caught.value.hint
    assert render(TURNS) == "<bos><user>hello</>\n<assistant>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ strftime_now.__globals__.sys }}",
        "{{ raise_exception.__globals__.sys }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ '{a.__class__}'.format_map({'a': 1}) }}",
        "{{ (''|attr('format'))|attr('__self__') }}",
        "{{ ['{0.__class__}']|map('format', 1)|list }}",
        "{{ [1]|map(attribute='__class__')|list }}",
        "{{ messages|map('upper')|attr('gi_frame') }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ namespace.__class__.__mro__ }}",
        "{% for x in [1] %}{{ loop._iterator.__class__ }}{% endfor %}",
    ],
)
def test_a_template_does_not_get_at_python(render: Render, source: str) -> None:
    try:
        text = render(source)
    except TemplateError as error:
        text = error.message
    for inside in ("<class", "<module", "<frame", "subclass", "jinja2.", "'sys'"):
        assert inside not in text


def test_helpers_that_published_templates_use(render: Render) -> None:
    source = (
        "{% for n in [1, 2, 3] %}{% if n == 2 %}{% break %}{% endif %}{{ n }}{% endfor %}"
        "{{ {'a': '<ü>'} | tojson }}{{ strftime_now('%Y') | length }}{{ eos_token }}"
        "{{ {'b': 'ü', 'a': 1} | tojson(ensure_ascii=True, sort_keys=True) }}"
    )
    assert render(source) == '1{"a": "<ü>"}4<eos>{"a": 1, "b": "\\u00fc"}'


def test_what_a_model_is_trained_on_is_rendered_as_the_rest(render: Render) -> None:
    source = "a{% set x = 1 %}{% generation %}b{% set x = 2 %}{{ x }}{% endgeneration %}c{{ x }}"
    assert render(source) == "ab2c2"


def test_half_a_character_of_a_message_is_rendered(render: Render) -> None:
    assert render("{{ messages[0].content }}", Message("user", "a\udce4b\0")) == "a\udce4b\0"


def test_a_long_conversation_is_rendered(render: Render) -> None:
    words = "ünïcödé 👍 " * 100_000
    assert render(TURNS, Message("user", words)) == f"<bos><user>{words.strip()}</>\n<assistant>"


EARLIER = (
    "{% for message in messages %}<|turn>{{ message['role'] }}\n"
    "{% for call in message['tool_calls'] %}"
    "{{ '<|tool_call>call:' + call['function']['name'] + '{}<tool_call|>' }}{% endfor %}"
    "{% for result in message['tool_responses'] %}<|tool_response>response:{{ result['name'] }}"
    "{value:<|\"|>{{ result['response'] }}<|\"|>}<tool_response|>{% endfor %}"
    "{% if not message['tool_responses'] %}{{ message['content'] }}<turn|>\n{% endif %}"
    "{% endfor %}"
)
"""In the form of Gemma 4's first templates, which know no turns of the role ``tool``."""
CALLS = Message(
    "assistant", "", tool_calls=(ToolCall("1", "sun", "{}"), ToolCall("2", "moon", "{}"))
)


@pytest.mark.parametrize(
    ("results", "written"),
    [
        ([("2", "full"), ("1", "up")], [("moon", "full"), ("sun", "up")]),
        ([("", "up"), ("", "full")], [("sun", "up"), ("moon", "full")]),
        ([("9", "up"), ("1", "x"), ("7", "full")], [("sun", "up"), ("sun", "x"), ("moon", "full")]),
    ],
)
def test_results_are_part_of_the_turn_with_the_calls_where_a_template_wants_it(
    results: list[tuple[str, str]], written: list[tuple[str, str]], render: Render
) -> None:
    turns = [Message("tool", text, tool_call_id=id_) for id_, text in results]
    text = render(EARLIER, Message("user", "hi"), CALLS, *turns)
    told = "".join(
        f'<|tool_response>response:{name}{{value:<|"|>{text}<|"|>}}<tool_response|>'
        for name, text in written
    )
    calls = "<|tool_call>call:sun{}<tool_call|><|tool_call>call:moon{}<tool_call|>"
    assert text == f"<|turn>user\nhi<turn|>\n<|turn>assistant\n{calls}{told}"


def test_later_templates_get_results_as_turns(render: Render) -> None:
    later = "{#- OpenAI Chat Completions: -#}" + EARLIER
    text = render(later, CALLS, Message("tool", "up", tool_call_id="1"))
    assert text.endswith("<|turn>tool\nup<turn|>\n")
