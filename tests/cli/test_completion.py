"""What a shell completes, in real shells where they are here, and where its script goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from click.shell_completion import get_completion_class

from gemmahub import __version__
from gemmahub.cli.completing import script
from gemmahub.cli.main import COMMANDS, cli
from gemmahub.config.kept_names import keep_names, kept_names
from gemmahub.service.shell_completion import MARK, setup_of, this_shell
from tests.cli.on_terminal import OnTerminal
from tests.test_imports import HEAVY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result

    Command = Callable[..., Result]

BIN = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with the echo plugin and a conversation."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR", "BASH_COMPLETION_USER_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PS1", "$ ")
    return folder


def completed(line: str) -> list[str]:
    """What bash would be offered for a line, by the program itself."""
    environment = os.environ | {"_GEMMAHUB_COMPLETE": "bash_complete", "COMP_LINE": line}
    done = subprocess.run(
        [sys.executable, "-m", "gemmahub"], env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert not done.stderr
    return [row.partition(",")[2] for row in done.stdout.splitlines()]


def test_every_kind_of_value_is_completed(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[run]\nbackend = "echo"\n')
    assert completed("gemmahub re") == ["recommend", "report"]
    assert "gemma-3-4b-it:q4_0-qat" in completed("gemmahub run gemma-3-4b")
    assert "gemma-3-4b-it" in completed("gemmahub pull gemma-3-4b")
    assert completed("gemmahub run x --backend e") == ["echo"]
    assert completed("gemmahub config set run.backend") == ["run.backend", "run.backends"]
    assert completed("gemmahub plan x --machine rtx-30") == ["rtx-3060", "rtx-3090"]
    assert completed("gemmahub schema chats-l") == ["chats-list"]
    assert completed("gemmahub plugins ec") == ["echo"]
    assert completed("gemmahub list --sort bi") == ["bits"]
    assert "--filter" in completed("gemmahub search x --f")
    assert completed("gemmahub list --format c") == ["csv"]
    assert completed("gemmahub bench gemma-3-4b") == []  # nothing is installed


def test_presets_and_conversations_are_completed(tmp_path: Path) -> None:
    from gemmahub.conversations import ConversationStore, Described

    journal = ConversationStore(tmp_path / "data").new(Described("any"))
    journal.add("user", "Which name has this?")
    journal.close()
    assert completed("gemmahub chats show ") == [journal.id]
    (tmp_path / "config.toml").write_text("[presets.short]\nmodel = 'x'\n")
    assert completed("gemmahub run @") == ["@short"]


@pytest.mark.parametrize(
    "line",
    ["gemmahub nosuch ", "gemmahub run 'open", "gemmahub list x y"],
)
def test_a_line_that_makes_no_sense_is_answered_with_nothing(line: str) -> None:
    assert completed(line) == []


def test_a_broken_file_of_names_is_read_again(tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "completion.json"
    kept.parent.mkdir()
    for text in ("", "{", "[]", '{"at": "x"}', json.dumps({"at": time.time(), "for": 1})):
        kept.write_text(text)
        assert completed("gemmahub run x --backend e") == ["echo"]
    assert json.loads(kept.read_text())["names"]["backends"] == [["echo", "gguf, safetensors, mlx"]]


def test_names_are_read_again_after_an_hour_and_after_a_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keep_names(__version__, {"models": [("one", "")]})
    assert kept_names(__version__) == {"models": [("one", "")]}
    assert kept_names("0.0") is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3601)
    assert kept_names(__version__) is None
    monkeypatch.undo()


def test_a_removal_forgets_the_names(
    command: Command, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tiny_model.parent))
    keep_names(__version__, {"models": []})
    assert kept_names(__version__) == {"models": []}
    assert command("rm", tiny_model, "--yes").code == 0
    assert kept_names(__version__) is None


def test_names_that_a_shell_would_split_are_left_out() -> None:
    keep_names(__version__, {"installed": [("a b", ""), ("$(x)", ""), ("a;b", ""), ("ab", "")]})
    assert completed("gemmahub inspect a") == ["ab"]


def test_bash_completes_whole_references(home: Path, tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    completed("gemmahub run x")  # names are there
    file = tmp_path / "gemmahub.bash"
    file.write_text(script(cli, "bash"))
    with OnTerminal("--norc", "--noprofile", "-i", program="bash") as shell:
        shell.write(f"source {file}; echo rea''dy\n".encode())
        shell.read_until("ready")
        shell.write(b"gemmahub inspect gemma-3-4b-it:q4_0\t")
        shell.read_until("-qat")
        shell.write(b"\x15gemmahub run x --backend ec\t")
        shell.read_until("--backend echo")


def test_zsh_completes_whole_references(home: Path, tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("there is no zsh")
    completed("gemmahub run x")
    setup = setup_of("zsh")
    setup.script.parent.mkdir(parents=True)
    setup.script.write_text(script(cli, "zsh"))
    line = setup.start_line.replace("&& compinit", "&& compinit -u")  # folders of tests are open
    (home / ".zshrc").write_text(f"{line}\n")
    with OnTerminal("-i", program="zsh") as shell:
        shell.write(b"echo rea''dy\n")
        shell.read_until("\nready")
        shell.write(b"gemmahub inspect gemma-3-4b-it:q4_0\t")
        shell.read_until("-qat")


def test_fish_completes_with_descriptions(home: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("there is no fish")
    setup = setup_of("fish")
    setup.script.parent.mkdir(parents=True)
    setup.script.write_text(script(cli, "fish"))

    def offered(line: str) -> str:
        return subprocess.run(
            ["fish", "-c", f'complete -C "{line}"'], capture_output=True, text=True, check=True
        ).stdout

    assert offered("gemmahub chats") == f"chats\t{COMMANDS['chats'][1]}\n"
    assert "gemma-3-4b-it:q4_0-qat\t" in offered("gemmahub inspect gemma-3-4b-it:q")


def test_install_is_told_twice_and_undone(command: Command, home: Path) -> None:
    (home / ".zshrc").write_bytes(b"# mine \xff\nalias x=y")
    first = command("completion", "install", "zsh", "--yes")
    assert first.code == 0
    assert "changed" in first.err
    written = (home / ".zshrc").read_bytes()
    assert written.startswith(b"# mine \xff\nalias x=y\n# >>> gemmahub completion >>>\nfpath=(")
    again = command("completion", "install", "zsh", "--yes")
    assert "installed already" in again.err
    assert (home / ".zshrc").read_bytes() == written
    assert "installed" in command("completion").out
    assert command("completion", "remove", "zsh", "--yes").code == 0
    assert (home / ".zshrc").read_bytes() == b"# mine \xff\nalias x=y\n"
    assert not setup_of("zsh").script.exists()
    assert "not installed for zsh" in command("completion", "remove", "zsh").err


def test_a_start_up_file_is_not_changed_unasked(command: Command, home: Path) -> None:
    done = command("completion", "install", "zsh")
    assert done.code == 0
    assert "add this line" in done.err
    assert not (home / ".zshrc").exists()
    assert "not read at start" in command("completion").out


def test_a_start_up_file_that_is_a_link_stays_one(command: Command, home: Path) -> None:
    real = home / "dotfiles"
    real.write_text("")
    (home / ".zshrc").symlink_to(real)
    command("completion", "install", "zsh", "--yes")
    assert (home / ".zshrc").is_symlink()
    assert "gemmahub" in real.read_text()


def test_a_file_of_somebody_else_is_not_replaced(command: Command) -> None:
    place = setup_of("fish").script
    place.parent.mkdir(parents=True)
    place.write_text("# mine\n")
    done = command("completion", "install", "fish")
    assert done.code == 2
    assert "was not made by gemmahub" in done.err
    assert place.read_text() == "# mine\n"
    command("completion", "remove", "fish")
    assert place.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_a_script(shell: str, command: Command) -> None:
    if get_completion_class(shell) is None:
        refused = command("completion", "show", shell)
        assert refused.code == 2
        assert "click>=8.5" in refused.err
        return
    shown = command("completion", "show", shell)
    assert shown.out == script(cli, shell)
    assert MARK in shown.out
    assert setup_of(shell).script.is_absolute()


def test_the_shell_is_taken_from_the_environment() -> None:
    from gemmahub.errors import UsageError

    assert this_shell({"SHELL": "/usr/bin/fish"}) == "fish"
    if sys.platform != "win32":
        with pytest.raises(UsageError, match="'ksh' is not known"):
            this_shell({"SHELL": "/bin/ksh"})


def test_completing_a_model_imports_nothing_heavy() -> None:
    keep_names(__version__, {"installed": [("gemma", "")]})
    code = (
        "import os, sys; os.environ['_GEMMAHUB_COMPLETE'] = 'bash_complete'\n"
        "os.environ['COMP_LINE'] = 'gemmahub inspect gem'\n"
        "from gemmahub.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('gemmahub.service') or m in ("
        f"{', '.join(map(repr, HEAVY))})])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["plain,gemma", "[]"]


def test_completing_a_command_imports_none_of_them() -> None:
    names = [item.value for item in cli.shell_complete(click.Context(cli), "")]
    assert set(COMMANDS) <= set(names)
    code = (
        "import sys, click\nfrom gemmahub.cli.main import cli\n"
        "cli.shell_complete(click.Context(cli), '')\n"
        "print([m for m in sys.modules if m.startswith('gemmahub.cli.')])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own = ("shell_scripts", "lazy_group", "windows_faults", "main")
    assert told.stdout.strip() == str([f"gemmahub.cli.{name}" for name in own])
