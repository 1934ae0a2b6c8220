"""Whatever a command is given, read or sent: nothing that a terminal obeys or hides is printed."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

import click
import pytest

from gemmahub.cli import main, output, pull_view
from gemmahub.cli.main import cli
from gemmahub.errors import GemmahubError
from gemmahub.service.progress import Progress
from gemmahub.text.streams import GuardedStream
from tests.hostile_text import BROKEN_TEXT, LINES, MARK, NAMES, PLAIN, TEXT, World, build, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.testing.hub.server import HubServer
    from tests.conftest import Result

    Command = Callable[..., Result]

ID: Final = "20260101-000000-aaaaaaaa"
ARGUMENT: Final = NAMES[0].replace("\0", "")

# For each command what it is asked, with the names of World's fields in braces. Those that have no
# hostile text to show are asked as well: they say no less when a machine has a strange name.
ASKED: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "list": (("list",), ("list", "--json"), ("list", "--outdated"), ("list", "--plot"),
             ("list", "--folder", "{folder}/ollama")),
    "inspect": (
        ("inspect", "{model}"), ("inspect", "{model}", "--json"), ("inspect", "{strange}"),
        ("inspect", "{broken}"), ("inspect", "{mlx}"), ("inspect", "{mlx}", "--json"),
        ("inspect", ARGUMENT), ("inspect", ARGUMENT, "--json"),
    ),
    "search": (("search", ARGUMENT), ("search", ARGUMENT, "--json")),
    "pull": (("pull", ARGUMENT), ("pull", "{model}", "--dry-run"), ("pull", "hf://u/" + ARGUMENT)),
    "quantize": (
        ("quantize", "{model}", "--to", "Q4_0", "--dry-run"),
        ("quantize", ARGUMENT, "--to", "Q4_0"),
        ("quantize", "{good}", "--to", ARGUMENT), ("quantize", "{good}", "--embedding", ARGUMENT),
        ("quantize", "{good}", "--keep", ARGUMENT), ("quantize", "{broken}", "--to", "Q8_0"),
        ("quantize", "{good}", "--to", "Q8_0", "-o", "{folder}/" + ARGUMENT, "--dry-run"),
        ("quantize", "{good}", "--to", "Q8_0", "--json", "--dry-run"),
    ),
    "run": (
        ("run", "{good}", "--backend", "echo", ARGUMENT),
        ("run", "{good}", "--backend", "echo", "--json", ARGUMENT),
        ("run", "{good}", "--backend", ARGUMENT, "x"),
        ("run", "{good}", "--option", ARGUMENT, "x"),
        ("run", ARGUMENT, "x"),
    ),
    "chats": (("chats",),),
    "chats list": (
        ("chats", "list"), ("chats", "list", "--json"), ("chats", "list", "--search", MARK),
        ("chats", "list", "--search", ARGUMENT),
    ),
    "chats show": (("chats", "show", ID), ("chats", "show", ID, "--json"),
                   ("chats", "show", ARGUMENT)),
    "chats continue": (("chats", "continue", "20260101-000001", ARGUMENT, "-v"),
                       ("chats", "continue", ARGUMENT, "x")),
    "chats export": (
        ("chats", "export", ID), ("chats", "export", ID, "--format", "json"),
        ("chats", "export", ID, "-o", "{folder}/" + ARGUMENT),
        ("chats", "export", ID, "-o", "{folder}/none/" + ARGUMENT),
    ),
    "chats rename": (("chats", "rename", "20260101-000002", ARGUMENT),),
    "chats rm": (("chats", "rm", "20260101-000002"), ("chats", "rm", ARGUMENT, "--yes")),
    "quality": (("quality", "{good}", "--backend", "echo", "--text", "code", "--chunks", "1"),
                ("quality", "{good}", "--backend", "echo", "--chunks", "1", "--json"),
                ("quality", "{good}", "--text", ARGUMENT), ("quality", ARGUMENT)),
    "embed": (("embed", "{good}", "--backend", "echo", ARGUMENT), ("embed", ARGUMENT, "x"),
              ("embed", "{good}", "--backend", "echo", "--json", ARGUMENT)),
    "bench": (("bench",),),
    "bench run": (("bench", "{good}", "--backend", "llama.cpp", "--depth", "0", "--repeat", "1"),
                  ("bench", ARGUMENT), ("bench", "{good}", "--backend", ARGUMENT),
                  ("bench", "{good}", "--depth", ARGUMENT), ("bench",),
                  ("bench", "--export", "{folder}/none/" + ARGUMENT)),
    "bench import": (("bench", "import", "{good}", "--as", ARGUMENT),
                     ("bench", "import", ARGUMENT)),
    "bench reset": (("bench", "reset", ARGUMENT), ("bench", "reset", "{good}")),
    "bench forget": (("bench", "forget", ARGUMENT),),
    "ps": (("ps",), ("ps", "--json")),
    "serve": (("serve", ARGUMENT), ("serve", "--print-config", "zed"),
              ("serve", "--cors", ARGUMENT)),
    "stop": (("stop",), ("stop", ARGUMENT)),
    "plan": (("plan", "{model}"), ("plan", "{model}", "--json"), ("plan", "{strange}"),
             ("plan", "{good}", "--memory", ARGUMENT)),
    "recommend": (("recommend", "--installed"), ("recommend", "--model", ARGUMENT)),
    "compare": (("compare", "{model}", "{strange}"), ("compare", "{model}", "{good}", "--json"),
                ("compare", "{good}", "{mlx}", "--plot"), ("compare", ARGUMENT, "{good}")),
    "report": (("report", "{model}", "{strange}", "--markdown", "-"),
               ("report", "{good}", "--html", "{folder}/none/" + ARGUMENT),
               ("report", ARGUMENT, "--markdown", "-")),
    "du": (("du",), ("du", "--json")),
    "rm": (("rm", "{model}", "--dry-run"), ("rm", "{model}", "--dry-run", "--json"),
           ("rm", ARGUMENT)),
    "dedupe": (("dedupe",), ("dedupe", "--json")),
    "hardware": (("hardware",), ("hardware", "--json")),
    "plugins": (("plugins",), ("plugins", "--json")),
    "plugins new": (("plugins", "new", ARGUMENT),),
    "plugins show": (("plugins", "show", "echo"), ("plugins", "echo", "--json"),
                     ("plugins", ARGUMENT)),
    "plugins install": (("plugins", "install", ARGUMENT), ("plugins", "install", "x" + ARGUMENT)),
    "plugins uninstall": (("plugins", "uninstall", ARGUMENT),),
    "plugins disable": (("plugins", "disable", ARGUMENT),),
    "plugins enable": (("plugins", "enable", ARGUMENT),),
    "config": (("config",),),
    "config list": (("config", "list"), ("config", "list", "--json")),
    "config get": (("config", "get", ARGUMENT), ("config", "get", "run.backend", "--json")),
    "config set": (("config", "set", ARGUMENT, "x"), ("config", "set", "run.backend", ARGUMENT),
                   ("config", "get", "run.backend"), ("config", "list"),
                   ("config", "set", "run.backends", ARGUMENT)),
    "config unset": (("config", "unset", ARGUMENT), ("config", "unset", "run.backend")),
    "config edit": (("config", "edit"),),
    "config path": (("config", "path"),),
    "setup": (("setup",), ("setup", "--dry-run"), ("setup", "--json")),
    "presets": (("presets",), ("presets", "--json")),
    "presets list": (("presets", "list"), ("presets", "list", "--json")),
    "presets show": (("presets", "show", ARGUMENT), ("presets", "show", "x", "--json")),
    "presets save": (("presets", "save", ARGUMENT, "{good}"), ("presets", "save", "x", ARGUMENT),
                     ("presets", "save", "x", "{good}", "--system", ARGUMENT),
                     ("presets", "show", "x"), ("presets", "list"), ("plan", "@x")),
    "presets export": (("presets", "export"), ("presets", "export", ARGUMENT),
                       ("presets", "export", "-o", "{folder}/none/" + ARGUMENT)),
    "presets import": (("presets", "import", ARGUMENT), ("presets", "import", "{good}"),
                       ("presets", "import", "{folder}", "--json")),
    "presets remove": (("presets", "remove", ARGUMENT), ("presets", "remove", "x")),
    "doctor": (("doctor",), ("doctor", "--json"), ("doctor", "--format", "csv"),
               ("doctor", "--fix", "--dry-run")),
    "schema": (("schema",), ("schema", "--json"), ("schema", "list"), ("schema", ARGUMENT)),
    "completion": (("completion",),),
    "completion install": (("completion", "install", ARGUMENT),),
    "completion show": (("completion", "show", "bash"), ("completion", "show", ARGUMENT)),
    "completion remove": (("completion", "remove", ARGUMENT),),
}  # fmt: skip


def leaves(group: click.Group, path: str = "") -> Iterator[str]:
    """The names of all commands, with those of their groups."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path}{name}"
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(autouse=True)
def installed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,ollama")
    monkeypatch.setenv("VISUAL", "true")  # an editor that changes nothing


def line_for(world: World, words: tuple[str, ...]) -> list[str]:
    places = {name: str(getattr(world, name)) for name in ("folder", "good", "strange", "broken")}
    places |= {"mlx": str(world.mlx), "model": str(world.models[0])}
    return [word.format_map(places) if "{" in word else word for word in words]


def raw_sizes(text: str) -> list[str]:
    """Counts of bytes where a size with a unit should be: ``127,139,840``, ``4,096 bytes``.

    Hashes, times and names of files are no counts. A number of tokens or weights says what it
    counts, also in a table that has the size beside it.
    """
    counted = re.compile(
        r"(?<![\w.,:/-])(?:\d{1,3}(?:,\d{3}){2,}|\d{7,})(?![\w.,:/-]*[\w:/-])|\d[\d,]{3,} bytes\b"
    )
    lines = [line for line in text.splitlines() if not re.search(r"weights|\d [KMG]i?B\b", line)]
    return [count for line in lines for count in counted.findall(line)]


@pytest.mark.parametrize(
    "text", ["it needs 986,000,123 more", "it has 4,096 bytes", "free 25769803776 of it"]
)
def test_raw_sizes_are_found(text: str) -> None:
    assert raw_sizes(text)


@pytest.mark.parametrize(
    "text",
    [
        "4.10 KB", "1,234 tokens", "262,144 tokens", "weights  268,098,176 (268M)",
        "16,384,000.gguf",
        "attention  Q4_K  18  11,796,480  4%  6.64 MB", "1234567890ab", "127.0.0.1:12345",
        "20260101-123456",
    ],
)  # fmt: skip
def test_other_numbers_are_not_raw_sizes(text: str) -> None:
    assert not raw_sizes(text)


def test_every_command_is_asked_here() -> None:
    assert set(leaves(cli)) == set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_a_command_prints_no_raw_control_character(
    name: str, command: Command, world: World
) -> None:
    for words in ASKED[name]:
        done = command(*line_for(world, words))
        assert not raw(done.out + done.err), words
        assert "unexpected" not in done.err, words
        if "--json" in words:
            json.loads(done.out)
        else:
            assert not raw_sizes(done.out + done.err), words


@pytest.mark.parametrize(
    "words",
    [
        ("list",), ("inspect", "{model}"), ("chats", "list"), ("chats", "show", ID), ("doctor",),
        ("du",), ("compare", "{model}", "{strange}"), ("plan", "{model}"),
        ("rm", "{model}", "--dry-run"), ("run", "{good}", "--backend", "echo", ARGUMENT),
        ("chats", "export", ID), ("inspect", ARGUMENT),
    ],
)  # fmt: skip
def test_what_was_hostile_is_shown_without_it(
    words: tuple[str, ...], command: Command, world: World
) -> None:
    done = command(*line_for(world, words))
    assert MARK in done.out + done.err


def test_json_loses_nothing(command: Command, world: World) -> None:
    shown = json.loads(command("chats", "show", ID, "--json").out)
    assert shown["messages"][0]["text"] == BROKEN_TEXT
    listed = json.loads(command("list", "--json").out)
    references = {model["reference"] for model in listed["models"]}
    assert {str(path) for path in world.models} <= references
    failed = json.loads(command("inspect", f"no{ARGUMENT}", "--json").out)
    assert failed["error"]["kind"] == "usage"


@pytest.mark.parametrize(
    "words",
    [
        (f"--{ARGUMENT}",), (ARGUMENT,), ("list", f"--{ARGUMENT}"), ("list", ARGUMENT),
        ("plan", "x", "-c", ARGUMENT), ("chats", ARGUMENT), ("chats", "show"),
        ("run", "x", "--cache-type", ARGUMENT), ("run", "x", "--image", ARGUMENT),
        ("inspect", f"no{ARGUMENT}", "--json"), (f"--{ARGUMENT}", "--json"),
        ("inspect", "no\udcff\udc80"), ("inspect", "no\udcff\udc80", "--json"),
    ],
)  # fmt: skip
def test_a_usage_error_repeats_no_raw_control_character(
    words: tuple[str, ...], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command(*words)
    assert done.code in (2, 3)
    assert not raw(done.out + done.err)
    monkeypatch.setenv("GEMMAHUB_DEBUG", "1")
    traced = command(*words)
    assert "gemmahub.errors." in traced.err
    assert not raw(traced.out + traced.err)


def test_an_unexpected_error_is_reported_without_them(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hostile(Exception):
        pass

    def fail(*_: Any, **__: Any) -> None:
        raise Hostile(BROKEN_TEXT)

    monkeypatch.setattr("gemmahub.service.doctor.checks", fail)
    monkeypatch.setenv("GEMMAHUB_DEBUG", "1")
    for words in (("doctor",), ("doctor", "--json")):
        done = command(*words)
        assert done.code == 1
        assert f"unexpected Hostile: {MARK}" in done.out + done.err
        assert "Traceback" in done.err
        assert not raw(done.out + done.err)


def test_what_libraries_print_is_stripped(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chatter(*_: Any, **__: Any) -> None:
        print(TEXT)  # noqa: T201
        print(TEXT, file=sys.stderr)  # noqa: T201
        sys.stdout.writelines([TEXT, "\n"])
        handler = logging.StreamHandler()
        handler.emit(logging.makeLogRecord({"msg": TEXT}))
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            text = warnings.formatwarning(TEXT, UserWarning, TEXT, 1)
        sys.stderr.write(text)
        click.echo(TEXT)
        click.secho(TEXT, fg="red", err=True, color=True)
        raise GemmahubError("done")

    monkeypatch.setattr("gemmahub.service.doctor.checks", chatter)
    done = command("doctor")
    assert done.code == 1
    assert done.out.count(MARK) == 3
    assert done.err.count(MARK) == 5
    assert not raw(done.out + done.err)


def test_help_of_a_plugin_is_stripped(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.group(name="evil", help=TEXT, epilog=TEXT, short_help=TEXT)
    def group() -> None: ...

    @group.command(name="more", help=TEXT)
    @click.option("--loud", help=TEXT, metavar=TEXT)
    @click.argument("words", nargs=-1, metavar=TEXT)
    def more(loud: str, words: str) -> None: ...

    monkeypatch.setitem(cli.commands, "evil", group)
    for words in (("evil", "--help"), ("evil", "more", "--help"), ("--help",)):
        done = command(*words)
        assert MARK in done.out + done.err
        assert not raw(done.out + done.err)


def test_a_plugin_may_colour_a_terminal_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    guarded = GuardedStream(cast("TextIO", stream))
    guarded.write("\x1b[31mred\x1b[0m")
    guarded.coloured = True
    guarded.write("\r\x1b[K\x1b[31mred\x1b[0m" + TEXT)
    assert stream.text.startswith("red\r\x1b[K\x1b[31mred\x1b[0mSeen")
    rest = re.sub(r"\r|\x1b\[[0-9;]*[mK]", "", stream.text)
    assert not raw(rest)
    assert guarded.write(TEXT) == len(TEXT)


class Terminal:
    """A text stream on a terminal, as far as anybody asks."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Both streams, from now on."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr(sys, "stdout", found)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return found


def uncoloured(text: str) -> str:
    """Without the sequences of the program itself: colours, cursor and erased lines."""
    return re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_each_way_of_printing_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    written = terminal(monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    output.data(TEXT, output.painted(TEXT, "1"))
    output.note(BROKEN_TEXT)
    output.warning(BROKEN_TEXT)
    output.error(GemmahubError(BROKEN_TEXT, BROKEN_TEXT), as_json=False)
    output.error(GemmahubError(BROKEN_TEXT, BROKEN_TEXT), as_json=True)
    output.json_data({BROKEN_TEXT: BROKEN_TEXT})
    output.table((MARK, "b"), [(TEXT, (TEXT, TEXT))])
    output.facts([(TEXT, TEXT), ("", TEXT)])
    output.facts([(TEXT, TEXT)], aside=True)
    output.paragraph(TEXT, indent=2)
    output.progress(TEXT)
    assert not output.confirm(TEXT)
    shown = output.AnswerPrinter()
    for char in TEXT:
        shown.write(char)
    shown.end()
    text = written.text
    assert "\x1b[1mSeen" in text
    assert "\x1b[33mwarning:\x1b[0m Seen" in text
    assert text.count(MARK) >= 20
    assert not raw(uncoloured(text))


def test_progress_bars_strip_names(monkeypatch: pytest.MonkeyPatch) -> None:
    written = terminal(monkeypatch)
    with pull_view.View() as view:
        view.show(
            Progress(
                file=TEXT, phase="fetching", done_bytes=1, size=4, all_done_bytes=1, all_bytes=4,
                files_done=0, files=2, bytes_per_second=1.0, seconds_left=1.0,
                all_seconds_left=1.0,
            )
        )  # fmt: skip
    output.console().print(TEXT, TEXT, markup=False)
    assert MARK in written.text
    assert not raw(uncoloured(written.text))


def test_a_name_with_line_breaks_makes_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    written = terminal(monkeypatch)
    output.table(("model", "size"), [(LINES, "1 GB")])
    output.facts([("name", LINES)])
    assert not [line for line in uncoloured(written.text).split("\n") if line.startswith("forged")]


def test_a_server_says_hostile_things(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from plugins.ollama.tests.fake_server import LOADED, FakeServer, objects

    details = {"quantization_level": BROKEN_TEXT, "format": "gguf", "family": BROKEN_TEXT}
    loaded = LOADED | {"name": BROKEN_TEXT, "model": BROKEN_TEXT, "expires_at": BROKEN_TEXT,
                       "details": details}  # fmt: skip
    with FakeServer() as server:
        server.answers["/api/ps"] = objects({"models": [loaded]})
        server.answers["/api/version"] = objects({"version": BROKEN_TEXT})
        server.answers["/api/tags"] = objects({"models": [loaded]})
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        for words in (("ps",), ("ps", "--json"), ("list",), ("doctor",), ("plugins",)):
            done = command(*words)
            assert not raw(done.out + done.err), words
        assert MARK in command("ps").out
        server.answers["/api/ps"] = objects({"error": BROKEN_TEXT})
        done = command("ps")
        assert not raw(done.out + done.err)


def test_a_hub_says_hostile_things(
    command: Command, hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemmahub.testing.hub.models import small_model

    names = [re.sub(r"[\x00-\x1f/\\?#%]", "", name) for name in NAMES]
    hub_server.add("user/gemma", {f"{name}-Q4_0.gguf": small_model() for name in names})
    card = {"license": TEXT, "license_name": TEXT, "license_link": f"https://x/{TEXT}"}
    hub_server.add(
        "user/plain", {"g-Q4_0.gguf": small_model(**{"general.name": TEXT})},
        card=card, library=TEXT, tags=(TEXT,),
    )  # fmt: skip
    shown = ""
    for words in (("search", "user"), ("search", "user", "--json"), ("pull", "user/gemma"),
                  ("inspect", "user/gemma"), ("inspect", "user/plain"),
                  ("inspect", "user/plain", "--json"), ("pull", "user/plain", "--dry-run"),
                  ("pull", "user/plain"), ("list",)):  # fmt: skip
        done = command(*words)
        assert not raw(done.out + done.err), words
        shown += done.out + done.err
    assert shown.count(MARK) > 5
    error = {"X-Error-Message": f"{MARK}\x9b31m\x85\xad\x1b[2J", "X-Error-Code": "E\x9b2J"}
    hub_server.fault("status", match="/api/models/user/other", value=403, headers=error, times=9)
    done = command("inspect", "user/other")
    assert done.code == 6
    assert not raw(done.out + done.err)


def test_on_a_real_terminal_only_the_programs_own_sequences_arrive(world: World) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    found = b""
    with subprocess.Popen(
        [sys.executable, "-m", "gemmahub", "chats", "show", ID],
        env=environment, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            while piece := os.read(ours, 65536):
                found += piece
        except OSError:
            pass  # Linux says so at the end
    os.close(ours)
    text = found.decode().replace("\r\n", "\n")
    assert process.returncode == 0
    assert "\x1b[1mtitle" in text
    assert not raw(re.sub(r"\x1b\[(?:1|33|0)m", "", text))  # bold, a warning's yellow, the end


def test_an_exported_file_keeps_characters_that_terminals_ignore(
    command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "kept.md"
    assert command("chats", "export", ID, "-o", path).code == 0
    text = path.read_text(encoding="utf-8")
    assert not [c for c in raw(text) if int(c[2:], 16) < 0xA0]
    assert all(char in text for char in PLAIN if ord(char) > 0xA0)


def test_nothing_prints_past_the_sink() -> None:
    """In the command line and what it calls there is one module that writes to a stream."""
    folder = Path(main.__file__).parents[1]
    outside = re.compile(r"\bprint\(|click\.s?echo|\bstd(?:out|err)\.write|\bConsole\(|print_exc")
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if outside.search(re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.S))
    }
    assert found == {
        "cli/output.py",
        "engines/worker.py",  # into the engine's log
        "engines/worker_process.py",  # the engine's log, stripped there and by the guarded stream
        "engines/running_program.py",  # likewise
        "testing/clean_start.py",  # a process of its own, whose output a test reads
    }
