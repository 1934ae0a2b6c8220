"""The commands of the documents do what the pages say. One test a page, in an installation of its
own with the real 270M; what needs no shell runs in this process."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.config import load_config
from tests.docs.blocks import PAGES, blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Result
    from tests.docs.blocks import Block

    Command = Callable[..., Result]

RUN = {
    page: found
    for page in PAGES
    if (found := [block for block in blocks(page) if block.mark == "run"])
}
_SHELL = re.compile(r"[|<>&$;~]|^\w+=|^(?!gemmahub )")


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit code."""

    code: int
    text: str


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, which is the home folder, too. The cache is shared: it holds the model."""
    cache = load_config().cache
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("GEMMAHUB_CACHE", str(cache))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(folder)
    return folder


def figures(line: str) -> set[str]:
    """The numbers of a line, without the commas at their end."""
    return {number.strip(".,") for number in re.findall(r"\d[\d.,]*", line)}


@pytest.mark.parametrize("page", RUN, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_the_commands_of_a_page(
    page: Path, home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for block in RUN[page]:
        ended = [
            (line, shown, _run(line, command, monkeypatch)) for line, shown in block.commands()
        ]
        for number, (line, shown, result) in enumerate(ended, 1):
            wanted = block.exit_code if number == len(ended) else 0
            assert result.code == wanted, f"{block.name}: {line}\n{result.text[-2000:]}"
            if block.said == "figures":
                _compare(block, line, shown, result.text)


def _run(line: str, command: Command, monkeypatch: pytest.MonkeyPatch) -> Ended:
    if line.startswith("export "):
        for assignment in shlex.split(line)[1:]:
            name, _, value = assignment.partition("=")
            monkeypatch.setenv(name, value)
        return Ended(0, "")
    if _SHELL.search(line.partition(" #")[0]):
        shell = ["bash", "-euo", "pipefail", "-c", line]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=240)
        return Ended(done.returncode, done.stdout + done.stderr)
    result = command(*shlex.split(line, comments=True)[1:])
    return Ended(result.code, result.out + result.err)


def _compare(block: Block, line: str, shown: list[str], text: str) -> None:
    printed = [figures(one) for one in text.splitlines()]
    assert shown, f"{block.name}: {line}: no output is shown"
    for one in shown:
        wanted = figures(one)
        words = set(re.findall(r"[A-Za-z]{4,}", one))
        found = (
            any(wanted <= there for there in printed) if wanted else words and one.strip() in text
        )
        assert found, f"{block.name}: {line} does not print {one!r}\n{text}"
