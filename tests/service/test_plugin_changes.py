"""Plugins that come into gemmahub's own environment and leave it, by whoever made that."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub import python_environment as environments
from gemmahub.service.plugin_changes import plan_install
from tests.service.plugin_wheels import GOOD, gemmahub, make_environment, write_wheel

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

Command = Any

TOOL = """\
#!{python}
import json, os, sys
names = ("UV_TOOL_DIR", "UV_TOOL_BIN_DIR", "PIPX_HOME")
variables = {{name: os.environ.get(name) for name in names}}
with open({log!r}, "a") as file:
    print(json.dumps([sys.argv[1:], variables]), file=file)
print("tool: \\x1b[31mworking")
sys.exit({code})
"""


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a program of that name on PATH, which writes down how it was called."""

    def make(name: str, code: int = 0) -> Path:
        log, program = tmp_path / "calls", tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(TOOL.format(python=sys.executable, log=str(log), code=code))
        program.chmod(0o755)
        return log

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "ollama,wheels")
    return make


def calls(log: Path) -> list[tuple[list[str], dict[str, str | None]]]:
    return [tuple(json.loads(line)) for line in log.read_text().splitlines()]


def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    """A folder that this interpreter takes for its environment's."""
    folder = tmp_path / name
    folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(folder))
    return folder


RECEIPT = """
[tool]
requirements = [
    { name = "gemmahub", extras = ["web"], specifier = ">=0.1" },
    { name = "gemmahub-echo" },
    { name = "idna", specifier = "<4", marker = "sys_platform == 'linux'" },
    { name = "gemmahub-local", directory = "/src/local" },
]
entrypoints = [{ name = "gemmahub", install-path = "/somewhere/bin/gemmahub", from = "gemmahub" }]
"""
KEPT = ["--with", "gemmahub-echo", "--with", "idna<4; sys_platform == 'linux'"]


def test_a_uv_tool_is_installed_again_with_what_it_had(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[..., Path]
) -> None:
    folder = prefix(tmp_path, monkeypatch, "tools/gemmahub")
    (folder / "uv-receipt.toml").write_text(RECEIPT)
    log = tool("uv")
    result = command("plugins", "install", "ollama", "--yes")
    assert (result.code, result.out.split()[0]) == (0, "ollama")
    assert "gemmahub is a uv tool; this will be run:\n  uv tool install" in result.err
    assert "tool: working" in result.err  # without its colours
    first = ["tool", "install", "gemmahub[web]>=0.1", *KEPT, "--with", "/src/local"]
    ((words, variables),) = calls(log)
    assert words == [*first, "--with", "gemmahub-ollama"]
    assert variables["UV_TOOL_DIR"] == str(tmp_path / "tools")
    assert variables["UV_TOOL_BIN_DIR"] == "/somewhere/bin"
    log.unlink()
    (folder / "uv-receipt.toml").write_text(RECEIPT.replace("gemmahub-local", "gemmahub_Ollama"))
    result = command("plugins", "uninstall", "ollama", "--yes")
    assert (result.code, "is still installed" in result.err) == (
        1,
        True,
    )  # the fake removes nothing
    ((words, _),) = calls(log)
    assert words == first[:-2]  # without the folder of that name
    log.unlink()
    command("plugins", "install", "ollama==0.1", "--yes")  # takes the folder's place
    assert calls(log)[0][0] == [*first[:-2], "--with", "gemmahub-ollama==0.1"]


@pytest.mark.parametrize(
    ("receipt", "told"),
    [
        ("[tool\n", "cannot be repeated"),
        ('[tool]\nrequirements = [{ name = "other" }]\n', "cannot be repeated"),
        ('[tool]\nrequirements = [{ name = "gemmahub", git = "x" }]\n', "comes from git"),
        ('[tool]\nrequirements = [{ name = "gemmahub" }]\n[tool.options]\na = 1\n', "options"),
    ],
)
def test_a_uv_tool_whose_receipt_says_too_little_is_left_alone(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tool: Callable[..., Path],
    receipt: str,
    told: str,
) -> None:
    folder = prefix(tmp_path, monkeypatch, "tools/gemmahub")
    (folder / "uv-receipt.toml").write_text(receipt)
    log = tool("uv")
    result = command("plugins", "install", "ollama", "--yes")
    assert result.code == 1
    assert told in result.err
    assert "uv tool install gemmahub " in result.err
    assert "--with gemmahub-ollama" in result.err
    assert not log.exists()


@pytest.mark.parametrize("metadata", ['{"main_package": {"package": "gemmahub"}}', "{", "[]"])
def test_a_pipx_application_is_injected_into(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tool: Callable[..., Path],
    metadata: str,
) -> None:
    folder = prefix(tmp_path, monkeypatch, "pipx/venvs/gemmahub")
    (folder / "pipx_metadata.json").write_text(metadata)
    log = tool("pipx")
    assert command("plugins", "install", "gemmahub_Ollama==0.1", "--yes").code == 0
    command("plugins", "uninstall", "gemmahub-ollama", "--yes")
    (first, variables), (second, _) = calls(log)
    assert first == ["inject", "gemmahub", "gemmahub_Ollama==0.1"]
    assert second == ["uninject", "gemmahub", "gemmahub-ollama"]
    assert variables["PIPX_HOME"] == str(tmp_path / "pipx")


def test_a_uv_project_gets_a_dependency(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[..., Path]
) -> None:
    prefix(tmp_path, monkeypatch, "project/.venv")
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / "project" / name).touch()
    log = tool("uv")
    assert command("plugins", "install", "ollama", "-y").code == 0
    command("plugins", "uninstall", "ollama", "-y")
    at = ["--project", str(tmp_path / "project")]
    assert [words for words, _ in calls(log)] == [
        ["add", *at, "gemmahub-ollama"],
        ["remove", *at, "gemmahub-ollama"],
    ]


@pytest.mark.parametrize("conda", [True, False])
def test_without_pip_uv_installs_into_the_environment(
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tool: Callable[..., Path],
    conda: bool,
) -> None:
    folder = prefix(tmp_path, monkeypatch, "any")
    if conda:
        (folder / "conda-meta").mkdir()
    monkeypatch.setattr(environments, "find_spec", lambda name: None)
    log = tool("uv")
    result = command("plugins", "install", "ollama", "-y")
    assert result.code == 0
    assert ("a conda environment" if conda else "a virtual environment") in result.err
    ((words, _),) = calls(log)
    assert words == ["pip", "install", "--python", sys.executable, "gemmahub-ollama"]


def test_with_pip_the_interpreters_own_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix(tmp_path, monkeypatch, "any")
    monkeypatch.setattr(environments, "find_spec", lambda name: object())
    words = plan_install("ollama>=0.1").command
    assert words == [sys.executable, "-P", "-m", "pip", "install", "gemmahub-ollama>=0.1"]


def test_a_systems_python_is_left_alone(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[..., Path]
) -> None:
    folder = prefix(tmp_path, monkeypatch, "usr")
    (folder / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sys, "base_prefix", str(folder))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(folder))
    log = tool("uv")
    result = command("plugins", "install", "ollama", "--yes")
    assert result.code == 1
    assert "uv tool install gemmahub --with gemmahub-ollama" in result.err
    assert "break-system-packages" not in result.err
    result = command("plugins", "uninstall", "ollama", "--yes")
    assert (result.code, "remove it with the tool that installed it" in result.err) == (1, True)
    assert not log.exists()


def test_where_the_tool_is_missing_or_fails_the_command_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[..., Path]
) -> None:
    (prefix(tmp_path, monkeypatch, "venvs/gemmahub") / "pipx_metadata.json").write_text("{}")
    line = "pipx inject gemmahub gemmahub-ollama"
    result = command("plugins", "install", "ollama", "--yes")
    assert (result.code, line in result.err, "no pipx on PATH" in result.err) == (1, True, True)
    tool("pipx", code=3)
    result = command("plugins", "install", "ollama", "--yes")
    assert result.code == 1
    assert "pipx ended with exit code 3" in result.err
    assert f"the command was: {line}" in result.err


def test_nothing_is_run_before_a_person_agrees(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[..., Path]
) -> None:
    (prefix(tmp_path, monkeypatch, "venvs/gemmahub") / "pipx_metadata.json").write_text("{}")
    log = tool("pipx")
    result = command("plugins", "install", "ollama")
    assert (result.code, "use --yes" in result.err) == (2, True)
    monkeypatch.setattr("gemmahub.cli.output.interactive", lambda: True)
    monkeypatch.setattr("gemmahub.cli.output.confirm", lambda question: False)
    result = command("plugins", "install", "ollama")
    assert (result.code, "nothing was installed" in result.err) == (1, True)
    assert command("plugins", "uninstall", "ollama").code == 1
    assert not log.exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("install", "--", "--target=x"), 2, "is not a plugin"),
        (("install", "a b"), 2, "is not a plugin name"),
        (("install", " "), 2, "is not a plugin"),
        (("install", "./none.whl"), 3, "./none.whl does not exist"),
        (("uninstall", "olama"), 3, "did you mean"),
        (("uninstall", "gemmahub"), 2, "gemmahub is not a plugin of gemmahub"),
        (("uninstall", "click"), 2, "click is not a plugin of gemmahub"),
        (("disable", "olama"), 3, "did you mean ollama"),
        (("enable", "olama"), 3, "did you mean ollama"),
        (("olama",), 3, "did you mean ollama"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    command: Command, words: tuple[str, ...], code: int, told: str
) -> None:
    result = command("plugins", *words)
    assert (result.code, told in result.err) == (code, True), result.err


def test_a_disabled_plugin_is_loaded_again_when_it_is_enabled(
    command: Command, tmp_path: Path
) -> None:
    assert command("plugins", "disable", "gemmahub-ollama").code == 0
    assert (tmp_path / "config.toml").read_text() == "[plugins.ollama]\nenabled = false\n"
    assert "state" in command("plugins", "ollama").out
    assert json.loads(command("plugins", "show", "ollama", "--json").out)["plugin"]["state"] == (
        "disabled"
    )
    assert command("plugins", "enable", "ollama").code == 0
    assert "was not disabled" in command("plugins", "enable", "ollama").err


def test_one_plugin_is_shown_with_options_and_settings(command: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[backends.ollama]\nkeep_alive = "1h"\n')
    result = command("plugins", "ollama")
    for text in ("gemmahub-ollama", "options of ollama", "keep_alive", "1h", "enabled"):
        assert text in result.out
    assert "--option import=VALUE" in result.err
    answer = json.loads(command("plugins", "--json", "gemmahub-ollama").out)
    options = {row["name"]: row for row in answer["options"]["ollama"]}
    assert options["backends.ollama.keep_alive"]["origin"] == "file"
    assert [row["name"] for row in answer["settings"]] == ["plugins.ollama.enabled"]


# --- a real environment ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("environment") / "own")


def said(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def test_pip_installs_and_removes_a_plugin_for_real(python: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    write_wheel(wheels, "gemmahub-demo", GOOD)
    other = write_wheel(wheels, "gemmahub-other", "raise OSError('not here')", "gemmahub-demo")
    plain = write_wheel(wheels, "plain", "", point=False)
    done = gemmahub(python, wheels, "plugins", "install", "demo", "--yes")
    assert done.returncode == 0, said(done)
    assert done.stdout == "demo 1.0: ok\n"
    assert "gemmahub is a virtual environment" in done.stderr
    assert "backend demo (gguf)" in done.stderr
    done = gemmahub(python, wheels, "plugins", "install", str(other), "--yes")
    assert done.returncode == 1, said(done)
    assert done.stdout == "other 1.0: failed\n"
    assert "OSError: not here" in done.stderr
    done = gemmahub(python, wheels, "plugins", "uninstall", "demo", "--yes")
    assert done.returncode == 2, said(done)
    assert "gemmahub-demo is needed by gemmahub-other" in done.stderr
    done = gemmahub(python, wheels, "plugins", "install", str(plain), "--yes")
    assert done.returncode == 1, said(done)
    assert "offers no plugin" in done.stderr
    for name in ("other", "gemmahub_demo"):  # also one that does not load
        done = gemmahub(python, wheels, "plugins", "uninstall", name, "--yes")
        assert done.returncode == 0, said(done)
        assert "was removed" in done.stderr
    done = gemmahub(python, wheels, "plugins", "install", "no-such-plugin", "--yes")
    assert done.returncode == 1, said(done)
    assert "gemmahub-no-such-plugin" in done.stderr
    assert os.listdir(tmp_path) == ["wheels"]
