"""The man pages: one for each command, and groff and man have nothing to say against them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from docs import make_man
from gemmahub.cli.main import ALIASES, COMMANDS, cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written as a release does it."""
    found = tmp_path_factory.mktemp("man") / "man1"
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([sys.executable, make_man.__file__, str(found)], check=True, env=environment)
    return found


def names(group: click.Group, path: str) -> Iterator[str]:
    for name in COMMANDS if path == "gemmahub" else group.commands:
        command = group.get_command(click.Context(group), name)
        yield f"{path}-{name}"
        if isinstance(command, click.Group):
            yield from names(command, f"{path}-{name}")


def test_every_command_has_a_page(folder: Path) -> None:
    wanted = {"gemmahub", *names(cli, "gemmahub"), *(f"gemmahub-{alias}" for alias in ALIASES)}
    assert {path.stem for path in folder.iterdir()} == wanted
    page = (folder / "gemmahub.1").read_text("utf-8")
    assert "2023-11-14" in page.splitlines()[0]
    for text in ("GET MODELS", "EXIT STATUS", "GEMMAHUB_CACHE", "gemmahub\\-chats\\fP(1)"):
        assert text in page


def test_the_same_source_makes_the_same_pages() -> None:
    assert make_man.pages() == make_man.pages()
    assert make_man.pages()["gemmahub.1"].splitlines()[0].split()[3] == '""'


def test_groff_renders_all_pages_without_a_warning(folder: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("there is no groff")
    for path in folder.iterdir():
        line = ["groff", "-man", "-Tutf8", "-K", "utf8", "-ww", "-z", str(path)]
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=folder.parent)
        assert (done.returncode, done.stderr) == (0, ""), path.name


def test_man_finds_and_shows_the_pages(folder: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("there is no man")
    environment = os.environ | {
        "MANPATH": str(folder.parent), "MANWIDTH": "80", "MANPAGER": "cat", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    for name in ("gemmahub", "gemmahub-chats-list", "gemmahub-ls"):
        done = subprocess.run(
            ["man", name], env=environment, capture_output=True, text=True, check=False
        )
        if "minimized" in done.stdout:
            pytest.skip("this system left man out")
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        assert "--help" in done.stdout


def test_text_that_roff_would_obey_is_shown() -> None:
    assert make_man.roff(".so /etc/passwd\n'x\n\\fB-x") == "\\&.so /etc/passwd\n\\&'x\n\\efB\\-x"
