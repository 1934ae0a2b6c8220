"""``gemmahub config``: what it lists, what it refuses, and what it leaves of the file."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Setting
from gemmahub.engines.manager import PluginManager
from gemmahub.service import Library

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
DECLARED = (
    Setting("port", "its port", int, 80, env="DEMO_PORT"),
    Setting("speed", "how fast", default="slow", choices=("slow", "fast")),
    Setting("key", "the server's key", secret=True, env="DEMO_KEY"),
)


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file, of an installation whose echo plugin has settings."""
    declared = [("echo", setting) for setting in DECLARED]
    monkeypatch.setattr(PluginManager, "settings", lambda _: declared)
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,ollama")
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    for name in ("DEMO_PORT", "DEMO_KEY", "GEMMAHUB_STORES", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config.toml"


def rows(command: Command) -> dict[str, dict[str, Any]]:
    answer = json.loads(command("config", "list", "--json").out)
    return {row["name"]: row for row in answer["settings"]}


# --- list and get ------------------------------------------------------------------------------


def test_every_setting_is_listed_with_its_value_and_where_it_comes_from(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(
        "[stores]\nfolders = ['~/a']\n[plugins.echo]\nport = 5\nkey = 'plain'\n"
        "[backends.echo]\ndelay = 1\n"
    )
    monkeypatch.setenv("GEMMAHUB_FOLDERS", "/b")
    found = rows(command)
    shown = {name: (row["value"], row["origin"]) for name, row in found.items() if row["set"]}
    assert shown == {
        "stores.folders": (["~/a", "/b"], "file, env GEMMAHUB_FOLDERS"),
        "plugins.echo.port": (5, "file"),
        "plugins.echo.key": (None, "file"),
        "backends.echo.delay": (1, "file"),
    }
    assert {"run.backend", "run.backends", "plugins.echo.enabled"} <= set(found)
    assert found["backends.ollama.import"]["type"] == "true or false"
    assert found["plugins.echo.speed"]["choices"] == ["slow", "fast"]
    monkeypatch.setenv("DEMO_PORT", "7")
    table = command("config", "list").out
    assert "plain" not in table
    assert "env DEMO_PORT" in table


def test_what_is_wrong_in_the_file_is_a_row(command: Command, file: Path) -> None:
    file.write_text(
        "[run]\nbakend = 'x'\n[plugins.echo]\nport = 'x'\nprot = 1\n[plugins.gone]\na = 1\n"
        "[plugins.llamacpp]\nenabled = false\nx = 1\n[backends.gone]\na = 1\n[[odd]]\na = 1\n"
    )
    result = command("config", "list")
    assert result.code == 0
    for told in (
        "there is no setting run.bakend",
        "plugins.echo.port must be a whole number",
        "there is no setting plugins.echo.prot",
        "the plugin gone is not loaded here",
        "the plugin llamacpp is not loaded here",
        "the backend gone is not loaded here",
        "there is no setting odd",
    ):
        assert told in result.err
        assert told in result.out


def test_tables_of_plugins_that_are_not_here_break_nothing(
    command: Command, file: Path, tmp_path: Path
) -> None:
    file.write_text("[plugins.gone]\na = { b = 1 }\n[backends.gone]\na = [1]\n")
    assert command("list").code == 0
    file.write_text("[plugins]\ngone = 1\n")
    result = command("list")
    assert (result.code, "plugins.gone must be a table" in result.err) == (2, True)


def test_get_prints_the_value_alone(command: Command, file: Path) -> None:
    file.write_text("[stores]\nfolders = ['~/a', '/b']\n")
    assert command("config", "get", "stores.folders").out == "~/a,/b\n"
    assert command("config", "get", "plugins.echo.enabled").out == "true\n"
    assert json.loads(command("config", "get", "plugins.echo.port", "--json").out)["value"] == 80
    result = command("config", "get", "plugins.echo.prot")
    assert (result.code, "plugins.echo.port" in result.err) == (2, True)


def test_get_does_not_print_a_secret(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_KEY", "hidden")
    result = command("config", "get", "plugins.echo.key")
    assert (result.code, result.out) == (2, "")
    assert "it is set, from env DEMO_KEY" in result.err
    monkeypatch.delenv("DEMO_KEY")
    assert "it is not set" in command("config", "get", "plugins.echo.key").err
    file.write_text("[plugins.echo]\nkey = { keyring = 'demo/me' }\n")
    assert "it is set, from keyring demo/me" in command("config", "get", "plugins.echo.key").err
    answer = json.loads(command("config", "get", "plugins.echo.key", "--json").out)
    assert (answer["value"], answer["set"]) == (None, True)


def test_path_says_where_the_file_would_be(command: Command, file: Path) -> None:
    assert command("config", "path").out == f"{file}\n"
    assert not file.exists()


# --- set and unset -----------------------------------------------------------------------------

COMMENTED = """\
# mine
[run]          # how
backend = "echo"  # because

[stores]
# two of them
only = [
    "huggingface",  # the cache
]
"""


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("stores.folders", "~/models,/data", {"stores": {"folders": ["~/models", "/data"]}}),
        ("stores.folders", '["a, b"]', {"stores": {"folders": ["a, b"]}}),
        ("run.backend", "llama.cpp", {"run": {"backend": "llama.cpp"}}),
        ("run.backends", "gguf=ollama", {"run": {"backends": {"gguf": "ollama"}}}),
        ("plugins.echo.port", "81", {"plugins": {"echo": {"port": 81}}}),
        ("plugins.echo.enabled", "no", {"plugins": {"echo": {"enabled": False}}}),
        ("plugins.echo.key", '{env="A"}', {"plugins": {"echo": {"key": {"env": "A"}}}}),
        ("backends.echo.delay", "0.5", {"backends": {"echo": {"delay": 0.5}}}),
    ],
)
def test_set_writes_a_value_as_people_write_it(
    command: Command, file: Path, name: str, text: str, written: dict[str, Any]
) -> None:
    import tomllib

    assert command("config", "set", name, text).code == 0
    assert tomllib.loads(file.read_text()) == written
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert command("config", "unset", name).code == 0
    assert name.rpartition(".")[2] not in file.read_text()
    assert "was not in the file" in command("config", "unset", name).err


def test_set_keeps_comments_order_mode_and_a_link(
    command: Command, file: Path, tmp_path: Path
) -> None:
    real = tmp_path / "dotfiles" / "gemmahub.toml"
    real.parent.mkdir()
    real.write_text(COMMENTED)
    real.chmod(0o640)
    file.symlink_to(real)
    assert command("config", "set", "run.backend", "ollama").code == 0
    assert command("config", "set", "plugins.echo.port", "5").code == 0
    assert file.is_symlink()
    text = real.read_text()
    start = COMMENTED.replace('"echo"  # because', '"ollama"  # because')
    assert text == start + "\n[plugins.echo]\nport = 5\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert [path.name for path in real.parent.iterdir()] == [real.name]
    command("config", "unset", "plugins.echo.port")
    assert real.read_text().startswith(start)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("stores.foldrs", "x", "did you mean stores.folders"),
        ("plugins.gone.port", "1", "there is no setting"),
        ("plugins.echo.port", "many", "cannot be 'many': it is a whole number"),
        ("plugins.echo.speed", "x", "must be one of slow, fast"),
        ("plugins.echo.enabled", "maybe", "true or false"),
        ("plugins.echo.key", "{ file = 'x' }", "must be a text, { env"),
        ("run.backends", "gguf", "it is a table of texts"),
        ("run.backends", "on nx=x", "no format is called 'on nx'"),
        ("stores.folders", "[1]", "it is a list of texts"),
        ("run.backend", "a\0b", "NUL"),
    ],
)
def test_what_cannot_be_is_refused_before_it_is_written(
    command: Command, file: Path, name: str, text: str, told: str
) -> None:
    result = command("config", "set", name, text)
    assert result.code == 2
    assert told in result.err
    assert not file.exists()


def test_a_secret_is_read_from_standard_input_and_not_shown(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("hidden=1, x\n")
    with (tmp_path / "key").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        result = command("config", "set", "plugins.echo.key")
    assert "hidden" not in result.out + result.err
    assert 'key = "hidden=1, x"' in file.read_text()


def test_a_variable_that_goes_before_is_reported(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_PORT", "7")
    result = command("config", "set", "plugins.echo.port", "8")
    assert (result.code, "DEMO_PORT overrides the file" in result.err) == (0, True)


def test_unset_removes_what_is_not_a_setting(command: Command, file: Path) -> None:
    file.write_text('[run]\nbakend = "x"\nbackend = "echo"\n[backends."llama.cpp"]\nx = 1\n')
    assert command("config", "unset", "run.bakend").code == 0
    assert command("config", "unset", 'backends."llama.cpp".x').code == 0
    assert file.read_text() == '[run]\nbackend = "echo"\n[backends."llama.cpp"]\n'
    assert command("config", "unset", "run.bakend").code == 2


def test_a_broken_file_is_not_written_over(command: Command, file: Path) -> None:
    file.write_text("[run\n")
    for arguments in (("set", "run.backend", "echo"), ("unset", "run.backend"), ("list",)):
        result = command("config", *arguments)
        assert (result.code, "line 1" in result.err) == (2, True)
    assert file.read_text() == "[run\n"


@pytest.mark.parametrize(
    "text",
    [
        'plugins.echo.speed = "fast"\n[stores]\nonly = []\n',
        'plugins = { echo = { speed = "fast" } }\n',
        '[plugins]\necho.speed = "fast"\n',
        '[plugins.other]\na = 1\n[run]\nbackend = "x"\n[plugins.echo]\nspeed = "fast"\n',
        '[plugins.echo]\r\nspeed = "fast"\r\n',
        '[plugins.echo]\n"speed" = """fast"""',
    ],
)
def test_set_and_unset_work_however_the_file_is_written(
    command: Command, file: Path, text: str
) -> None:
    import tomllib

    file.write_bytes(text.encode())
    before = tomllib.loads(text)
    assert command("config", "set", "plugins.echo.port", "5").code == 0
    after = tomllib.loads(file.read_bytes().decode())
    assert after["plugins"]["echo"] == {"speed": "fast", "port": 5}
    assert {key: after[key] for key in before if key != "plugins"} == {
        key: before[key] for key in before if key != "plugins"
    }
    assert command("config", "unset", "plugins.echo.port").code == 0
    assert tomllib.loads(file.read_bytes().decode()) == before


@pytest.mark.parametrize("text", ["plugins = 5\n", "[plugins]\necho = 'x'\n"])
def test_set_names_what_is_in_the_place_of_a_table(command: Command, file: Path, text: str) -> None:
    file.write_text(text)
    result = command("config", "set", "plugins.echo.port", "5")
    assert (result.code, "must be a table" in result.err) == (2, True)
    assert file.read_text() == text
    assert command("config", "list").code == 0


def test_two_at_once_lose_nothing(file: Path) -> None:
    program = [sys.executable, "-m", "gemmahub", "config", "set"]
    names = ("run.backend", "stores.only", "stores.folders", "plugins.echo.enabled")
    values = ("echo", "a", "b", "true")
    running = [
        subprocess.Popen([*program, name, value], env=dict(os.environ))
        for name, value in zip(names, values, strict=True)
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0, 0]
    text = file.read_text()
    assert all(name.rpartition(".")[2] in text for name in names)


# --- edit --------------------------------------------------------------------------------------


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """An editor that runs a few lines of Python on the ``path`` that it is given."""
    script = tmp_path / "editor.py"
    script.write_text(f"import sys, pathlib\npath = pathlib.Path(sys.argv[1])\n{code}\n")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")


def test_edit_takes_over_what_is_right(
    command: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("# mine\n[run]\nbackend = 'a'\n")
    editor(tmp_path, monkeypatch, "path.write_text(path.read_text() + 'backends = {}')")
    assert command("config", "edit").code == 0
    assert file.read_text() == "# mine\n[run]\nbackend = 'a'\nbackends = {}"
    editor(tmp_path, monkeypatch, "")
    assert "nothing was changed" in command("config", "edit").err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[run\\n", "line 1"),
        ("[run]\\nbakend = 1\\n", "there is no setting"),
        ("[plugins.echo]\\nport = 0.5\\n", "plugins.echo.port must be a whole number"),
        ("[plugins.echo]\\nprot = 1\\n", "there is no setting plugins.echo.prot"),
        ("[plugins]\\necho = 1\\n", "plugins.echo must be a table"),
    ],
)
def test_edit_keeps_the_copy_with_a_mistake(
    command: Command,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    told: str,
) -> None:
    file.write_text("[run]\nbackend = 'a'\n")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    editor(tmp_path, monkeypatch, f"path.write_text('{text}')")
    result = command("config", "edit")
    assert result.code == 2
    assert told in result.err
    assert file.read_text() == "[run]\nbackend = 'a'\n"
    (copy,) = tmp_path.glob("gemmahub-settings-*.toml")
    assert str(copy) in result.err
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_edit_offers_to_edit_a_mistake_again(
    command: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmahub.cli.output.interactive", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    text = "'[run]' if path.read_text() == '[run' else '[run'"
    editor(tmp_path, monkeypatch, f"path.write_text({text})")
    result = command("config", "edit")
    assert (result.code, "Edit it again?" in result.err) == (0, True)
    assert file.read_text() == "[run]"


def test_an_editor_that_is_not_there_leaves_no_copy(
    command: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    assert command("config", "edit").code == 2
    assert list(tmp_path.glob("gemmahub-settings-*")) == []


def test_edit_does_not_write_over_a_change_that_was_made_meanwhile(
    command: Command, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"pathlib.Path({str(file)!r}).write_text('# other\\n')"
    editor(tmp_path, monkeypatch, f"path.write_text('# this\\n'); {other}")
    result = command("config", "edit")
    assert (result.code, "was changed by another program" in result.err) == (2, True)
    assert file.read_text() == "# other\n"


# --- in effect ---------------------------------------------------------------------------------


def test_a_disabled_plugin_is_left_out(
    command: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMMAHUB_PLUGINS")
    file.write_text("[plugins.echo]\nenabled = false\n")
    found = {row["name"]: row for row in json.loads(command("plugins", "--json").out)["plugins"]}
    assert found["echo"]["state"] == "disabled"
    assert found["echo"]["remarks"][0] == "disabled in the settings"
    assert found["ollama"]["state"] == "ok"
    file.write_text("[plugins.echo\n")  # what cannot be read disables nothing
    assert command("--help").code == 0


def test_options_in_the_file_are_defaults_below_those_of_the_command_line(
    command: Command, file: Path, tiny_model: Path
) -> None:
    run = ("run", tiny_model, "one", "--backend", "echo")
    file.write_text("[backends.echo]\ndelay = 'x'\n")
    result = command(*run)
    assert (result.code, "backends.echo.delay must be a number" in result.err) == (2, True)
    file.write_text("[backends.echo]\ndelay = 0.001\n")
    for given, options in ((None, {"delay": 0.001}), ({"delay": "0"}, {"delay": 0.0})):
        running = Library().load(str(tiny_model), backend="echo", options=given)
        assert running.session.info.settings.options == options
        running.session.close()
    file.write_text("[backends.echo]\ndelya = 1\n")
    assert "backends.echo has no option 'delya'" in command(*run).err


@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o600, False)])
def test_doctor_warns_of_a_secret_that_others_can_read(
    command: Command, file: Path, mode: int, told: bool
) -> None:
    file.write_text("[plugins.echo]\nkey = 'plain'\nprot = 1\n")
    file.chmod(mode)
    answer = command("doctor").out
    assert ("others can read" in answer) is told
    assert "there is no setting plugins.echo.prot" in answer
    assert "'plain'" not in answer
