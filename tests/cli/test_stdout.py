"""Standard output is the command's alone, and a program that it starts gets it back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cli.on_terminal import OnTerminal
from tests.engines.test_faults import install

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# It prints in each way that there is: Python's streams, the descriptor, a program.
LOUD = """
import os, subprocess, sys, threading
from gemmahub import hookimpl
from gemmahub.engines.contract import Inventory

def shout():
    print("noise")
    sys.__stdout__.write("noise")
    os.write(1, b"noise")
    subprocess.run(["echo", "noise"])
    thread = threading.Thread(target=print, args=("noise",))
    thread.start()
    thread.join()

class Store:
    name = "loud"
    def inventory(self):
        shout()
        return Inventory()

shout()

@hookimpl
def gemmahub_stores():
    shout()
    return [Store()]

@hookimpl
def gemmahub_commands(cli):
    import click

    @cli.command(name="loud")
    def loud():
        click.echo("one")
        os.write(1, b"two\\n")
        subprocess.run(["echo", "three"])
"""


def loud(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "loud_plugin.py").write_text(LOUD)
    if not (folder / "dist_loud-1.0.dist-info").exists():
        install(folder, "loud", "loud_plugin")
    return subprocess.run(
        [sys.executable, "-m", "gemmahub", *arguments],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


def test_nothing_of_a_plugin_is_among_the_data(tmp_path: Path) -> None:
    for arguments in (("list", "--json"), ("plugins", "--json")):
        done = loud(tmp_path, *arguments)
        assert done.returncode == 0, done.stderr
        assert isinstance(json.loads(done.stdout), dict)
        assert "noise" not in done.stdout


def test_a_command_of_a_plugin_prints_as_it_likes(tmp_path: Path) -> None:
    done = loud(tmp_path, "loud")
    assert sorted(done.stdout.split()) == ["one", "three", "two"], done.stderr


def test_the_editor_gets_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\ntest -t 1 && echo drawn\n")
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    program = OnTerminal("config", "edit")
    program.read_until("drawn")
