"""Templates that take time or memory without end, and the process that renders them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from gemmahub.engines import template_process as limits
from gemmahub.engines.chat_template import ChatTemplate
from gemmahub.engines.contract import Message
from gemmahub.engines.json_frames import write_frame
from gemmahub.engines.template_process import TemplateRenderer
from gemmahub.errors import Cancelled, TemplateError

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = [Message("user", "hello")]
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
NEST = "{% set n = namespace(v=START) %}{% for i in range(60) %}{% set n.v = STEP %}{% endfor %}"
NESTED = NEST.replace("START", "['x' * 1000]").replace("STEP", "[n.v, n.v]")
# In Python's own code, which lets no other thread run.
COMPARED = NESTED + NESTED.replace("n.v", "m.v").replace("set n", "set m") + "{{ n.v == m.v }}"


def grown(start: str, step: str) -> str:
    return NEST.replace("START", start).replace("STEP", step)


LARGE = {
    "center": "{{ 'x' | center(10 ** 10) }}",
    "ljust": "{{ 'x'.ljust(10 ** 10) }}",
    "zfill": "{{ '1'.zfill(10 ** 9) }}",
    "times": "{{ 'x' * 10 ** 12 }}",
    "list times": "{{ ([0] * 10 ** 9) | length }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (10 ** 9, 1) }}",
    "format": "{{ '%1000000000d' | format(1) }}",
    "str.format": "{{ '{:>1000000000}'.format(1) }}",
    "str.format of a width": "{{ '{:>{}}'.format(1, 10 ** 9) }}",
    "many formats": "{{ ('{:99999}' * 10000).format(*((1,) * 10000)) | length }}",
    "plus": grown("'x'", "n.v + n.v"),
    "tilde": grown("'x'", "n.v ~ n.v"),
    "lists": grown("[1]", "n.v + n.v"),
    "nested lists as text": NESTED + "{{ n.v }}",
    "nested lists as JSON": NESTED + "{{ n.v | tojson }}",
    "nested lists refused": NESTED + "{{ raise_exception(n.v) }}",
    "replace": "{{ ('a' * 1000000).replace('a', 'x' * 2500) | length }}",
    "replace filter": "{{ ('a' * 1000000) | replace('a', 'x' * 2500) | length }}",
    "translate": "{{ ('a' * 1000000).translate({97: 'x' * 2500}) | length }}",
    "join": "{{ ('x' * 3000).join(['a'] * 1000000) | length }}",
    "expandtabs": "{{ ('\\t' * 1000000).expandtabs(3000) | length }}",
    "indent": "{{ ('a\\n' * 500000) | indent(3000, true, true) | length }}",
    "xmlattr": "{{ {'a': '<' * 10000000} | xmlattr | length }}",
    "escape": "{{ ('<' * 20000000) | escape | length }}",
    "batch": "{{ [1] | batch(10 ** 9, 'x') | list | length }}",
    "map": "{{ (['a' * 1000000] * 3000) | map('upper') | list | length }}",
    "split": "{{ ('a ' * 20000000).split() | length }}",
    "letters": "{{ ('x' * 20000000) | list | length }}",
    "sort": "{{ ((range(99999) | list) * 100) | sort | length }}",
    "encode": "{{ ('x' * 10 ** 8).encode() | length }}",
    "strftime": "{{ strftime_now('%Y' * 10000000) }}",
    "a block": "{% set x %}{% for i in range(2000) %}{{ 'x' * 1000000 }}{% endfor %}{% endset %}",
    "kept texts": "{% set n = namespace(v=[]) %}{% for i in range(4000) %}"
    "{% set n.v = n.v + ['a' * 1000000 ~ i] %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% else %}{{ 'x' * 100000 }}"
    "{% endif %}{% endmacro %}{{ m(40) }}",
    "before it runs": "{{ 'x' ~ ('y' | center(10 ** 9)) }}",
}
ENDLESS = {
    "the counter replaced": "{% set gemmahub_tick = namespace %}" + LOOPS,
    "numbers": grown("10 ** 1000", "n.v * n.v"),
    "a power": "{{ (10 ** (10 ** 8)) % 7 }}",
    "nested lists compared": COMPARED,
    "sum": "{{ ([[0] * 1000] * 20000) | sum(start=[]) | length }}",
    "slice": "{{ [1] | slice(10 ** 8) | list | length }}",
    "refused at the end": "{% for m in messages %}{{ raise_exception('no') if m.role == 'system' }}"
    "{% endfor %}" + LOOPS,
}


@pytest.fixture
def renderer() -> Iterator[TemplateRenderer]:
    with TemplateRenderer() as renderer:
        yield renderer


def render(renderer: TemplateRenderer, source: str, *messages: Message) -> str:
    return ChatTemplate(renderer, source, "<bos>", "<eos>").render(messages or HELLO)


def pid(renderer: TemplateRenderer) -> int | None:
    return renderer._process.pid if renderer._process is not None else None


def test_templates_that_grow_are_stopped_before_they_take_the_memory() -> None:
    program = (
        "import resource\n"
        "from tests.engines.test_template_limits import LARGE, render\n"
        "from gemmahub.engines.template_process import TemplateRenderer\n"
        "from gemmahub.errors import TemplateError\n"
        "with TemplateRenderer() as renderer:\n"
        "    for name, source in LARGE.items():\n"
        "        try: print(name, 'OK', render(renderer, source)[:80])\n"
        "        except TemplateError as error:\n"
        "            print(name if 'stopped: it needed more than 64 MB' not in str(error) or \n"
        "                  '--raw' not in error.hint else '', error)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    *said, most = done.stdout.splitlines()
    assert [line for line in said if not line.startswith(" ")] == []
    assert len(said) == len(LARGE)
    unit = 1024 if sys.platform == "linux" else 1
    assert int(most) * unit < 140 << 20


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_templates_are_stopped(
    renderer: TemplateRenderer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CPU_SECONDS", 1)
    with pytest.raises(TemplateError, match="was stopped: it took more than") as caught:
        render(renderer, ENDLESS[name], Message("system", "be kind"), *HELLO)
    assert "--raw" in caught.value.hint
    assert render(renderer, "{{ bos_token }}") == "<bos>"


def test_renderings_of_one_conversation_share_the_time(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def answer(request: dict[str, Any], _longest: int, seconds: float) -> dict[str, str]:
        asked.append(request | {"left": seconds})
        return {"kind": "text", "text": ""}

    monkeypatch.setattr(renderer, "render", answer)
    for _ in range(2):
        template = ChatTemplate(renderer, "")
        template.render(HELLO)
        template.render(HELLO)
    assert [request["fresh"] for request in asked] == [True, False, True, False]
    assert asked[1]["left"] < asked[0]["left"] <= limits.WALL_SECONDS


def test_the_time_on_the_clock_has_a_limit_where_the_system_has_none(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CPU_SECONDS", 1000)
    monkeypatch.setattr(limits, "WALL_SECONDS", 0.3)
    with pytest.raises(TemplateError, match=r"more than 8 s$"):
        render(renderer, COMPARED)


def test_the_memory_has_a_limit_where_the_system_has_none(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_OWN_BYTES", -limits.MEMORY_BYTES)  # any process takes more
    with pytest.raises(TemplateError, match="needed more than 64 MB"):
        render(renderer, LOOPS)


def test_a_long_text_is_stopped_and_messages_may_be_long(renderer: TemplateRenderer) -> None:
    with pytest.raises(TemplateError, match=r"writes more than 1,048,596 characters"):
        render(renderer, "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}")
    long = "x" * (1 << 20)
    text = render(renderer, "{{ messages[0].content }}" * 4, Message("user", long))
    assert len(text) == 4 << 20


def test_one_process_renders_until_something_goes_wrong_in_it(renderer: TemplateRenderer) -> None:
    assert pid(renderer) is None
    assert render(renderer, "a") == "a"
    first = pid(renderer)
    for source in ("{{ raise_exception('no') }}", "{% for %}", "{{ 1 / 0 }}"):
        with pytest.raises(TemplateError):
            render(renderer, source)
    assert render(renderer, "b") == "b"
    assert pid(renderer) == first
    with pytest.raises(TemplateError, match="64 MB"):
        render(renderer, LARGE["times"])
    assert render(renderer, "c") == "c"
    assert pid(renderer) != first


def test_a_process_that_died_while_nothing_was_rendered_is_replaced(
    renderer: TemplateRenderer,
) -> None:
    assert render(renderer, "a") == "a"
    assert renderer._process is not None
    renderer._process.kill()
    renderer._process.wait()
    assert render(renderer, "b") == "b"


def test_a_process_that_cannot_be_started_is_reported(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    renderer.prepare()
    with pytest.raises(TemplateError, match="no process to render it in can be started"):
        render(renderer, "a")


def test_a_process_that_says_nonsense_is_ended(
    renderer: TemplateRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.Popen
    for said in (b"\xff" * 16, b"\x02" + bytes(7) + b"[[", b"\x02" + bytes(7) + b"{}", b""):
        code = (
            f"import sys; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); sys.stdin.read(1)"
        )

        def start(_: list[str], code: str = code, **options: Any) -> subprocess.Popen[bytes]:
            return real([sys.executable, "-c", code], **options)

        monkeypatch.setattr(subprocess, "Popen", start)
        with pytest.raises(TemplateError, match=r"^the chat template "):
            render(renderer, "a")


def test_the_process_can_neither_write_nor_start_others(renderer: TemplateRenderer) -> None:
    render(renderer, "a")
    process = psutil.Process(pid(renderer))
    if hasattr(process, "rlimit"):  # where the system lets others ask
        for name in (psutil.RLIMIT_FSIZE, psutil.RLIMIT_NPROC, psutil.RLIMIT_CORE):
            assert process.rlimit(name) == (0, 0)


def test_the_process_ends_with_its_pipe_also_while_it_renders(renderer: TemplateRenderer) -> None:
    renderer.prepare()
    process = renderer._process
    assert process is not None
    assert process.stdin is not None
    write_frame(
        process.stdin,
        {
            "source": LOOPS, "variables": {}, "characters": 9, "memory": 1 << 30,
            "seconds": 1000, "fresh": True,
        },
    )  # fmt: skip
    process.stdin.close()
    assert process.wait(60) == 0


def test_a_closed_renderer_renders_nothing(renderer: TemplateRenderer) -> None:
    render(renderer, "a")
    process = renderer._process
    assert process is not None
    renderer.close()
    renderer.close()
    assert process.returncode is not None
    with pytest.raises(Cancelled):
        render(renderer, "a")
    assert pid(renderer) is None
