"""Presets: used, kept, exported and imported, by hand and from hostile files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.cli import output, prompt_loop
from gemmahub.cli.references import reference_argument
from gemmahub.service import Library

if TYPE_CHECKING:
    from pathlib import Path

Command = Any

SETTINGS = """\
# what I like
[presets.tiny]  # small
model = "{model}"
backend = "echo"
context = 1024
temperature = 0.5
max_tokens = 3
system = "Be brief."

[presets.wrong]
model = "{model}"
temperature = -3
"""


@pytest.fixture
def file(tmp_path: Path, tiny_model: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(SETTINGS.format(model=tiny_model))
    return path


@pytest.mark.usefixtures("file")
def test_run_takes_model_and_settings_from_a_preset(command: Command) -> None:
    done = command("run", "@tiny", "one two three four five", "--json")
    assert done.code == 0, done.err
    answer = json.loads(done.out)
    assert answer["backend"] == "echo"
    assert answer["context"] == 1024
    assert answer["usage"]["tokens"] == 3
    assert "@tiny -> " in done.err
    assert "max_tokens 3" in done.err


@pytest.mark.usefixtures("file")
def test_an_option_on_the_command_line_goes_before_the_preset(command: Command) -> None:
    words = ("run", "@tiny", "one two three four five", "--json", "-n", "2", "-c", "512")
    answer = json.loads(command(*words).out)
    assert (answer["context"], answer["usage"]["tokens"]) == (512, 2)


@pytest.mark.usefixtures("file")
def test_every_command_takes_the_model_of_a_preset(command: Command, tiny_model: Path) -> None:
    assert json.loads(command("inspect", "@tiny", "--json").out)["reference"] == str(tiny_model)
    assert Library().resolve("@tiny").reference == str(tiny_model)
    words = ("presets", "save", "big", "gemma-3-4b-it:q4_0-qat", "-c", "1024", "--system", "x")
    assert command(*words).code == 0
    plan = json.loads(command("plan", "@big", "--json").out)
    assert plan["settings"]["context"] == 1024
    plan = json.loads(command("plan", "@big", "--context", "640", "--json").out)
    assert plan["settings"]["context"] == 640


def test_presets_that_differ_want_the_option_on_the_command_line(
    command: Command, file: Path, tiny_model: Path
) -> None:
    text = f'\n[presets.other]\nmodel = "{tiny_model}"\nbackend = "llama-server"\n'
    file.write_text(file.read_text() + text)
    done = command("bench", "@tiny", "@other", "--depth", "0", "--repeat", "1")
    assert done.code == 2
    assert "@tiny and @other differ in --backend" in done.err
    done = command("bench", "@tiny", "@other", "--depth", "0", "--repeat", "1", "--backend", "echo")
    assert "differ in" not in done.err


@pytest.mark.usefixtures("file")
def test_a_wrong_preset_ends_only_what_uses_it(command: Command) -> None:
    assert command("run", "@tiny", "x").code == 0
    assert command("list").code == 0
    done = command("run", "@wrong", "x")
    assert done.code == 2
    assert "presets.wrong temperature must be from 0 to 100" in done.err
    listed = json.loads(command("presets", "--json").out)
    assert [one["name"] for one in listed["presets"]] == ["tiny"]
    assert [one["name"] for one in listed["broken"]] == ["wrong"]
    checks = json.loads(command("doctor", "--json").out)["checks"]
    assert [c["status"] for c in checks if c["name"] == "preset wrong"] == ["failed"]


@pytest.mark.usefixtures("file")
def test_an_unknown_preset_lists_the_nearest(command: Command) -> None:
    done = command("run", "@tinny", "x")
    assert done.code == 3
    assert "did you mean @tiny?" in done.err


@pytest.mark.parametrize("text", ["presets = 3\n", '[presets]\nx = "y"\n', "[presets.X]\n"])
def test_what_is_no_preset_at_all_ends_no_other_command(
    command: Command, tmp_path: Path, text: str
) -> None:
    (tmp_path / "config.toml").write_text(text)
    assert command("list").code == 0
    assert command("doctor").code in (0, 1)
    assert command("config", "list").code == 0
    done = command("run", "@x", "hello")
    assert done.code in (2, 3)
    assert "unexpected" not in done.err


def test_saving_keeps_comments_and_asks_before_replacing(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("presets", "save", "coder", "gemma-3-4b-it", "-c", "8192", "--stop", "a", "--think")
    assert command(*words, "--system", "Two\nlines.").code == 0
    assert "# what I like" in file.read_text()
    assert "# small" in file.read_text()
    shown = json.loads(command("presets", "show", "@coder", "--json").out)
    assert shown["context"] == 8192
    assert shown["stop"] == ["a"]
    assert shown["think"] is True
    assert shown["system"] == "Two\nlines."
    before = file.read_text()
    done = command(*words)
    assert done.code == 2
    assert "use --yes" in done.err
    monkeypatch.setattr(output, "interactive", lambda: True)
    monkeypatch.setattr(output, "confirm", lambda _: False)
    assert command(*words).code == 1
    assert file.read_text() == before
    assert command("presets", "save", "coder", "gemma-3-1b-it", "--yes").code == 0
    assert "8192" not in file.read_text()
    assert command("presets", "remove", "coder").code == 0
    assert "coder" not in file.read_text()


@pytest.mark.parametrize(
    "words",
    [
        ("Coder", "gemma-3-4b-it"), ("../x", "gemma-3-4b-it"), ("x", "@tiny"), ("x", "no model"),
        ("x", "gemma-3-4b-it", "--top-p", "2"), ("x", "gemma-3-4b-it", "--no-think",
         "--think-budget", "5"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_preset_is_not_written(
    command: Command, file: Path, words: tuple[str, ...]
) -> None:
    before = file.read_text()
    assert command("presets", "save", *words).code == 2
    assert file.read_text() == before


@pytest.mark.usefixtures("file")
def test_single_values_are_set_and_unset_as_other_settings(command: Command, file: Path) -> None:
    assert command("config", "set", "presets.tiny.top_k", "5").code == 0
    assert command("config", "get", "presets.tiny.top_k").out == "5\n"
    assert command("config", "set", "presets.tiny.top_p", "7").code == 2
    assert command("config", "unset", "presets.tiny.top_k").code == 0
    assert command("config", "unset", "presets.wrong").code == 0
    assert "wrong" not in file.read_text()


def test_a_model_that_nothing_knows_is_told_when_it_is_kept(command: Command) -> None:
    done = command("presets", "save", "x", "gemma-3-4b-itt")
    assert done.code == 0
    assert "gemma-3-4b-it" in done.err.partition("warning:")[2]
    assert "warning" not in command("presets", "save", "y", "gemma-3-4b-it").err
    assert "warning" not in command("presets", "save", "z", "user/repo:Q4_0").err


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["out.toml", "out.json"])
def test_an_export_is_imported_again(
    command: Command, file: Path, tmp_path: Path, name: str
) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text('Say "hi".\nTwice.')
    words = ("--system-file", prompt, "--option", "a=b", "--temperature", "0.3")
    assert command("presets", "save", "one", "gemma-3-4b-it", *words).code == 0
    target = tmp_path / name
    assert command("presets", "export", "one", "-o", target).code == 0
    assert str(tmp_path) not in target.read_text()
    assert command("presets", "export", "one", "-o", target).code == 2
    file.unlink()
    assert command("presets", "import", target, "--as", "two", "--yes").code == 0
    shown = json.loads(command("presets", "show", "two", "--json").out)
    assert shown["system"] == 'Say "hi".\nTwice.'
    assert shown["options"] == {"a": "b"}
    assert shown["model"] == "gemma-3-4b-it"


@pytest.mark.usefixtures("file")
def test_paths_of_this_machine_leave_it_only_when_asked(command: Command, tiny_model: Path) -> None:
    done = command("presets", "export", "tiny")
    assert str(tiny_model) not in done.out
    assert "left out" in done.err
    assert str(tiny_model) in command("presets", "export", "tiny", "--paths").out


@pytest.mark.usefixtures("file")
def test_an_import_shows_first_and_writes_after_a_yes(
    command: Command, tmp_path: Path, file: Path
) -> None:
    shared = tmp_path / "shared.toml"
    shared.write_text(
        '[presets.x]\nmodel = "gemma-3-4b-it"\ntools = "/etc/passwd"\nsystem_file = "~/.ssh/id"\n'
    )
    before = file.read_text()
    assert command("presets", "import", shared).code == 2
    done = command("presets", "import", shared, "--dry-run")
    assert done.code == 0
    assert "gemma-3-4b-it" in done.out
    assert "left out: tools /etc/passwd" in done.err
    assert "left out: system_file ~/.ssh/id" in done.err
    assert file.read_text() == before
    assert command("presets", "import", shared, "--yes").code == 0
    assert "passwd" not in file.read_text()


HOSTILE = [
    ('[presets.x]\nmodel = "a b"\n', 2),
    ('[presets.x]\nmodel = "--evil"\n', 2),
    ('[presets."\\u001b[2J"]\nmodel = "gemma-3-4b-it"\n', 2),
    ('[presets.x]\nmodel = "gemma-3-4b-it"\nsystem = 3\n', 2),
    ('[presets.x]\nmodel = "gemma-3-4b-it"\ncontext = 1e9\n', 2),
    ('[presets.x]\nmodel = "gemma-3-4b-it"\ntemperature = nan\n', 2),
    ('[presets.x]\nmodel = "gemma-3-4b-it"\nrun = "rm -rf ~"\n', 2),
    ('{"presets": {"x": {"model": "gemma-3-4b-it", "system": "\\ud800"}}}', 2),
    ('{"presets": {"x": {"model": "gemma-3-4b-it", "top_k": 1e400}}}', 1),
    ('{"presets": ' * 500, 1),
    ('{"gemmahub_presets": 99, "presets": {"x": {"model": "gemma-3-4b-it"}}}', 1),
    ("[presets]\n", 1),
    ('FROM gemma3\nSYSTEM """never ends', 1),
    ("FROM gemma3\nRUN rm -rf /\n", 1),
    ("SYSTEM hello\n", 2),
    ("\0\0\0", 1),
]


@pytest.mark.parametrize(("text", "code"), HOSTILE)
def test_a_hostile_file_is_one_error(
    command: Command, tmp_path: Path, file: Path, text: str, code: int
) -> None:
    shared, before = tmp_path / "shared", file.read_text()
    shared.write_text(text)
    done = command("presets", "import", shared, "--yes")
    assert done.code in (2, 7) if code == 2 else done.code not in (0, 2), done
    assert "unexpected" not in done.err
    assert "\x1b[2J" not in done.err + done.out
    assert file.read_text() == before


def test_what_is_no_file_is_one_error(command: Command, tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "none", tmp_path / "pipe"):
        done = command("presets", "import", path, "--yes")
        assert done.code == 2
        assert "cannot be read" in done.err


def test_a_modelfile_becomes_a_preset(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "Modelfile"
    path.write_text(
        '# mine\nFROM gemma3:4b\nparameter num_ctx 4096\nPARAMETER stop "<end>"\nPARAMETER stop b\n'
        'PARAMETER mirostat 2\nPARAMETER num_predict -1\nSYSTEM """You are\na pirate."""\n'
        'TEMPLATE """{{ .Prompt }}"""\nADAPTER ./x.gguf\nMESSAGE user hello\nLICENSE """a\nb"""\n'
    )
    found = json.loads(command("presets", "import", path, "--as", "p", "--yes", "--json").out)
    (preset,) = found["presets"]
    assert found["saved"]
    assert preset["model"] == "ollama://gemma3:4b"
    assert preset["system"] == "You are\na pirate."
    assert preset["context"] == 4096
    assert preset["stop"] == ["<end>", "b"]
    assert "max_tokens" not in preset
    left = " ".join(preset["left_out"])
    for word in ("mirostat", "num_predict -1", "TEMPLATE", "ADAPTER", "MESSAGE", "LICENSE"):
        assert word in left


# --- from a conversation -----------------------------------------------------------------------


def test_a_conversation_is_kept_as_a_preset(
    command: Command, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["hello", "/preset", "/preset Not A Name", "/preset mine", "/preset mine"])
    monkeypatch.setattr(prompt_loop.Prompt, "read", lambda _: next(typed, None))
    monkeypatch.setattr("gemmahub.cli.run.question_of", lambda *_, **__: None)
    words = ("--backend", "echo", "--temperature", "0.1", "-c", "64", "--system", "Be kind.")
    done = command("run", tiny_model, *words)
    assert done.code == 0
    assert "/preset NAME keeps" in done.err
    assert "not a preset name" in done.err
    assert "there is a preset mine already" in done.err
    shown = json.loads(command("presets", "show", "mine", "--json").out)
    del shown["name"], shown["reference"]
    assert shown == {
        "model": str(tiny_model),
        "backend": "echo",
        "context": 64,
        "system": "Be kind.",
        "temperature": 0.1,
    }


def test_the_argument_takes_several_models() -> None:
    import click

    @click.command()
    @reference_argument("references", nargs=-1)
    def listing(references: tuple[str, ...]) -> tuple[str, ...]:
        return references

    assert listing.main(["a", "b@q4_0"], standalone_mode=False) == ("a", "b@q4_0")
