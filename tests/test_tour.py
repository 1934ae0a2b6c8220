"""The tour in CONTRIBUTING follows one command: its functions are called in its order."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parent.parent

TRACED = """
import sys
from gemmahub.cli.main import main

root, called = sys.argv[1], {}

def note(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(root):
        called.setdefault((code.co_filename[len(root) + 1:].replace("\\\\", "/"), code.co_qualname))

sys.argv = ["gemmahub", *sys.argv[2:]]
sys.setprofile(note)
try:
    main()
finally:
    sys.setprofile(None)
    for file, function in called:
        print("called", file, function, file=sys.stderr)
"""


def steps() -> list[tuple[str, str]]:
    """File and function of each step."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tour = text.partition("<!-- tour -->")[2].partition("<!-- end -->")[0]
    found = re.findall(r"^(\d+)\. `([\w/]+\.py)` `([\w.]+)`: .+$", tour, re.MULTILINE)
    assert [int(number) for number, _, _ in found] == list(range(1, len(found) + 1))
    return [(file, function) for _, file, function in found]


def functions_of(file: str) -> set[str]:
    """``function`` and ``Class.method`` of a module."""
    found = set()
    for node in ast.parse((ROOT / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{n.name}" for n in node.body if isinstance(n, ast.FunctionDef)}
    return found


def test_each_step_names_a_function_that_exists() -> None:
    assert len(steps()) >= 15
    for file, function in steps():
        assert function in functions_of(file), f"{file}: {function}"


def test_the_tour_visits_the_rooms() -> None:
    rooms = {Path(file).parts[1] for file, _ in steps() if file.startswith("gemmahub/")}
    assert rooms >= {
        "cli", "service", "planning", "registry", "conversations", "recommend", "engines",
        "memory", "precision",
    }  # fmt: skip


def test_the_functions_are_called_in_that_order(
    real_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(real_model.parent))
    command = ["run", "gemma-3-270m", "hi", "--backend", "echo"]
    done = subprocess.run(
        [sys.executable, "-c", TRACED, str(ROOT), *command],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "hi" in done.stdout
    called = [
        (line.split()[1], line.split()[2])
        for line in done.stderr.splitlines()
        if line.startswith("called ")
    ]
    tour = steps()
    assert [step for step in tour if step not in called] == []
    for before, after in pairwise(tour):
        assert called.index(before) < called.index(after), f"{after} is called before {before}"
