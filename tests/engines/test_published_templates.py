"""What is rendered is what Jinja's own sandbox renders, for templates as publishers write them.

``GEMMAHUB_CHAT_TEMPLATES`` names a folder with further ones (``*.jinja``), such as
``models/templates`` of llama.cpp's source.
"""

from __future__ import annotations

import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gemmahub.engines.chat_template import ChatTemplate, fold_system
from gemmahub.engines.contract import Message
from gemmahub.engines.template_process import TemplateRenderer
from gemmahub.errors import TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONVERSATIONS = {
    "user": [Message("user", "Hello <b>wörld</b> & 'all' {{ 1 }}")],
    "system": [Message("system", " Be kind.\n"), Message("user", " Hello\n\n ")],
    "turns": [
        Message("user", "a"),
        Message("assistant", "b\n\n  c"),
        Message("user", "👍" * 40),
        Message("assistant", "<think>why</think>\nso"),
        Message("user", "f"),
    ],
    "system and turns": [
        Message("system", "s"),
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", ""),
    ],
}

TEMPLATES = {
    "roles in turn": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first = messages[0]['content'] | trim + '\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set first = '' -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('user and assistant take turns') }}
    {%- endif -%}
    {{ '<turn>' + message['role'] + '\\n' + (first if loop.first else '') }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}{{ item['text'] }}{%- endfor -%}
    {%- endif -%}
    {{ '</turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<turn>model\\n' }}{%- endif -%}
""",
    "no system": """{% if messages[0]['role'] == 'system' %}
{{ raise_exception('no system role') }}
{% endif %}
{% for message in messages %}
    {{ message.role }}: {{ message.content }}{{ eos_token if not loop.last }}
{% endfor %}
""",
    "tools": """{%- macro kind(spec) -%}
    {%- if spec.type == 'array' -%}list[{{ kind(spec['items']) }}]
    {%- else -%}{{ spec.type or 'any' }}{%- endif -%}
{%- endmacro -%}
{%- set tools = tools or [{'name': 'now', 'parameters': {'b': {'type': 'string'}, 'a': {'type':
    'array', 'items': {'type': 'int'}}}, 'text': '<ü>'}] -%}
{% for tool in tools %}
{{ tool | tojson }}{{ tool | tojson(indent=2) }}
{% for name, spec in tool.parameters.items() | sort %}
- {{ name }}: {{ kind(spec) }}{{ ', ' if not loop.last }}
{% endfor %}
{% for name, spec in tool.parameters | dictsort %}{{ loop.index }}{{ name }}{% endfor %}
{% endfor %}
{%- for message in messages %}
{%- if message.tool_calls is defined and message.tool_calls %}
{{ message.tool_calls[0].function.arguments | tojson(ensure_ascii=False) }}
{%- else %}<|{{ message.role }}|>{{ message.content }}{% endif %}
{%- endfor %}
""",
    "last question": """{%- set ns = namespace(last=0, seen=[], tool=false) -%}
{%- for message in messages[::-1] -%}
    {%- if message.role == 'user' and not ns.tool -%}
        {%- set ns.last = messages | length - 1 - loop.index0 -%}
        {%- set ns.tool = true -%}
        {%- break -%}
    {%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
    {%- if message.role == 'system' -%}{%- continue -%}{%- endif -%}
    {%- set text = message.content -%}
    {%- if '</think>' in text and loop.index0 < ns.last -%}
        {%- set text = text.split('</think>')[-1].lstrip('\\n') -%}
    {%- endif -%}
    {%- set ns.seen = ns.seen + [text | length] -%}
    <|im_start|>{{ message.role ~ '\\n' ~ text }}<|im_end|>{{ '\\n' }}
{%- endfor -%}
{{ ns.seen | join(',') }}{{ ns.seen | sum }}
{%- if add_generation_prompt and enable_thinking is defined and enable_thinking is false -%}
<think></think>
{%- endif -%}
""",
    "white space": """
  {%- set a = '  x  ' %}
  {% set b = "y" -%}

  [{{- a -}}]
    {% if true %}
  kept
    {% endif %}
  {# a comment #}
  {{ b }}   {%+ if false %}{% else %}z
{% endif %}
\t{% raw %}{{ raw }}{% endraw %}

end
""",
    "filters": """{% set words = messages | map(attribute='content') | list %}
{{ words | first | upper | replace('O', '0') }}{{ words | last | default('none', true) }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ messages | rejectattr('role', 'in', ['user', 'system']) | map(attribute='role') | join('|') }}
{{ messages | groupby('role') | map('first') | join(' ') }}
{{ 'a b c'.split() | reverse | join }}{{ '%s-%02d' | format('x', 7) }}{{ '%s' % 'y' }}
{{ '{}:{:>4}'.format('k', 3) }}{{ words[0][:4] | capitalize | e }}{{ [3, 1, 2] | sort | string }}
{{ {'a': [1, none, true]} }}{{ words[0] | indent(4, true) }}{{ words[0].startswith('H') }}
{{ range(3) | list + [7 // 2, 2 ** 5, 7 % 4, 1.5 | round | int] }}{{ cycler('a', 'b').next() }}
{{ 'x' * 3 }}{{ words[0] | striptags | wordcount }}{{ words[0] is string and 1 is number }}
""",
    "trained on": """{% for message in messages %}
<{{ message.role }}>
    {%- if message.role == 'assistant' -%}
        {%- generation -%}{{ message.content }}{% set x = 1 %}<end>
        {% endgeneration %}{{ x }}
    {%- else -%}
        {{ message.content }}
    {%- endif %}
{% endfor %}
""",
    "blocks": """{% macro turn(role) %}<{{ role }}>{{ caller() }}</{{ role }}>{% endmacro %}
{% for message in messages recursive %}
{% call turn(message.role) %}{{ message.content }}{% endcall %}
{% endfor %}
{% set all %}{% for m in messages %}{{ m.role[0] }}{% endfor %}{% endset %}{{ all | upper }}
{% filter lower %}ABC{% endfilter %}{% with x = 1 %}{{ x }}{% endwith %}
{{ strftime_now('%d %B %Y') if strftime_now is defined else '' }}
""",
}


def found() -> dict[str, str]:
    """The templates of the folder that the environment names."""
    folder = os.environ.get("GEMMAHUB_CHAT_TEMPLATES")
    paths = sorted(Path(folder).rglob("*.jinja")) if folder else []
    return {path.name: path.read_text(encoding="utf-8") for path in paths}


class RefusedError(Exception):
    pass


def refuse(message: str) -> None:
    raise RefusedError(message)


def to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def jinjas_own(source: str, messages: Sequence[Message]) -> str:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    # Jinja itself does not know this tag, with which training marks what the model says.
    source = re.sub(r"({%[-+]?\s*)generation\b", r"\1if true", source)
    source = re.sub(r"({%[-+]?\s*)endgeneration\b", r"\1endif", source)
    return environment.from_string(source).render(
        messages=[{"role": turn.role, "content": turn.content} for turn in messages],
        add_generation_prompt=True,
        bos_token="<bos>",
        eos_token="<eos>",
    )


@pytest.fixture(scope="module")
def renderer() -> Iterator[TemplateRenderer]:
    with TemplateRenderer() as renderer:
        yield renderer


@pytest.mark.parametrize("name", TEMPLATES | found())
def test_a_published_template_renders_as_in_jinjas_own_sandbox(
    renderer: TemplateRenderer, name: str
) -> None:
    source = (TEMPLATES | found())[name]
    rendered = 0
    for messages in CONVERSATIONS.values():
        try:
            try:
                expected = jinjas_own(source, messages)
            except RefusedError:
                expected = jinjas_own(source, fold_system(messages))
        except Exception as error:  # noqa: BLE001 - what fails there has to fail here
            reason = str(error)[:40]
            with pytest.raises(TemplateError) as caught:
                ChatTemplate(renderer, source, "<bos>", "<eos>").render(messages)
            assert reason in caught.value.message
            continue
        assert ChatTemplate(renderer, source, "<bos>", "<eos>").render(messages) == expected
        rendered += 1
    assert rendered or name not in TEMPLATES
