"""What gemmahub says to install exists, and the command reaches the environment gemmahub is in."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gemmahub import python_environment as environments
from gemmahub.python_environment import install_command, rebuild_command, update_command
from gemmahub.text.command import quoted

ROOT = Path(__file__).parent.parent
SOURCES = [
    path
    for pattern in ("gemmahub/**/*.py", "plugins/*/gemmahub_*/**/*.py")
    for path in ROOT.glob(pattern)
]
DOCUMENTS = [
    path
    for pattern in ("*.md", "docs/**/*.md", "plugins/*/*.md", "packaging/*", "release/*.md")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.name != "CHANGELOG.md"
]
# gemmahub-NAME or gemmahub[EXTRA,EXTRA], not a path, a module or a part of a longer name.
NAMED = re.compile(r"(?<![\w./#\-])(gemmahub(?:-[a-z0-9]+)*)(?:\[([a-z0-9,\-]+)\])?(?![\w/.*\-])")
# Folders, programs, threads and examples that are no distributions of this repository.
OTHERS = {"gemmahub-ci", "gemmahub-tests", "gemmahub-bench", "gemmahub-demo", "gemmahub-lab"}


def workspace() -> dict[str, set[str]]:
    """The extras of each distribution of this repository."""
    found = {}
    for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")):
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        found[project["name"]] = set(project.get("optional-dependencies", {}))
    return found


def unknown(text: str, known: dict[str, set[str]]) -> set[str]:
    """What is installed by the commands of a text and is not in the workspace."""
    missing = set()
    for name, extras in NAMED.findall(text):
        if name not in known:
            missing.add(name)
        elif extras and not set(extras.split(",")) <= known[name]:
            missing.add(f"{name}[{extras}]")
    return missing


def strings(path: Path) -> list[ast.Constant]:
    """The string constants of a module that are no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in statements
    ]


def test_what_the_code_says_to_install_is_in_the_workspace() -> None:
    known, wrong = workspace(), {}
    for path in SOURCES:
        calls = [
            node.args[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            and getattr(node.func, "id", "").endswith(("install_command", "update_command"))
            and node.args
        ]
        named = [a.value for a in calls if isinstance(a, ast.Constant) and isinstance(a.value, str)]
        if missing := unknown(" ".join(named), known):
            wrong[path.relative_to(ROOT).as_posix()] = missing
    assert wrong == {}


def test_what_documents_say_to_install_is_in_the_workspace() -> None:
    known, wrong = workspace(), {}
    for path in DOCUMENTS:
        lines = re.findall(
            r"^.*\b(?:install|inject|--with)\b.*$", path.read_text("utf-8"), re.MULTILINE
        )
        if missing := unknown("\n".join(lines), known) - OTHERS:
            wrong[path.relative_to(ROOT).as_posix()] = missing
    assert wrong == {}


def test_a_command_that_installs_is_made_in_one_place() -> None:
    """A literal ``pip install`` would reach another environment than that of a uv tool."""
    allowed = {
        "gemmahub/cli/plugins.py",  # what the author of a plugin types, in an environment of theirs
        "gemmahub/python_environment.py",
    }
    found = {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        for node in strings(path)
        if re.search(r"\bpip install\b", str(node.value))
    }
    assert found <= allowed


def environment(monkeypatch: pytest.MonkeyPatch, folder: Path, *, pip: bool = False) -> Path:
    """A folder that this interpreter takes for its environment's, and that is not activated."""
    folder.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setattr(environments, "find_spec", lambda name: object() if pip else None)
    return folder


RECEIPT = """
[tool]
requirements = [{ name = "gemmahub", extras = ["web"] }, { name = "gemmahub-echo" }]
"""


def test_of_a_uv_tool_the_extras_are_joined(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = environment(monkeypatch, tmp_path / "tools/gemmahub")
    (folder / "uv-receipt.toml").write_text(RECEIPT)
    joined = "'gemmahub[server,web]' --with gemmahub-echo"
    assert install_command("gemmahub[server]") == f"uv tool install {joined}"
    line = "uv tool install 'gemmahub[web]' --with gemmahub-echo --with 'gemmahub-mlx[cpu]'"
    assert install_command("gemmahub-mlx[cpu]") == line
    newer = "uv tool install --upgrade 'gemmahub[web]<2,>=0.9' --with gemmahub-echo"
    assert update_command("gemmahub<2,>=0.9") == newer
    assert rebuild_command("llama-cpp-python==0.3.36") == (
        "uv tool install --reinstall-package llama-cpp-python --no-cache "
        "--no-binary-package llama-cpp-python 'gemmahub[web]' --with gemmahub-echo "
        "--with llama-cpp-python==0.3.36"
    )


def test_of_a_pipx_application_pipx_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = environment(monkeypatch, tmp_path / "venvs/gemmahub", pip=True)
    (folder / "pipx_metadata.json").write_text("{}")
    assert install_command("gemmahub[server]") == "pipx inject gemmahub 'gemmahub[server]'"
    assert update_command("gemmahub-mlx") == "pipx runpip gemmahub install --upgrade gemmahub-mlx"


@pytest.mark.parametrize("pip", [True, False])
def test_of_an_activated_environment_the_command_is_short(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pip: bool
) -> None:
    folder = environment(monkeypatch, tmp_path / "venv", pip=pip)
    long = [sys.executable, "-P", "-m", "pip", "install", "gemmahub[server]"]
    if not pip:
        long = ["uv", "pip", "install", "--python", sys.executable, "gemmahub[server]"]
    assert install_command("gemmahub[server]") == quoted(long)
    monkeypatch.setenv("VIRTUAL_ENV", str(folder))
    short = "pip install" if pip else "uv pip install"
    assert install_command("gemmahub[server]") == f"{short} 'gemmahub[server]'"
    assert update_command("gemmahub-mlx") == f"{short} --upgrade gemmahub-mlx"


def test_of_a_checkout_uv_installs_what_is_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment(monkeypatch, tmp_path / ".venv")
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).touch()
    for name in ("gemmahub/python_environment.py", "plugins/jax/pyproject.toml"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    sync = f"uv sync --project {tmp_path} --inexact"
    assert install_command("gemmahub[server,web]") == f"{sync} --extra server --extra web"
    assert install_command("gemmahub-jax[cpu]") == f"{sync} --package gemmahub-jax --extra cpu"
    here = f"uv pip install --python {sys.executable}"
    assert install_command("idna<4") == f"{here} 'idna<4'"


def test_of_a_systems_python_a_tool_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = environment(monkeypatch, tmp_path / "usr")
    (folder / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sys, "base_prefix", str(folder))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(folder))
    assert install_command("gemmahub[server]") == "uv tool install 'gemmahub[server]'"
    assert install_command("no requirement!").endswith("--with 'no requirement!'")


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        ("gemmahub-mlx", "gemmahub-mlx"),
        ("gemmahub[server]", "gemmahub[server]"),
        (r"C:\models\a.gguf", r"C:\models\a.gguf"),
        (r"C:\My models\a.gguf", r'"C:\My models\a.gguf"'),
        ("gemmahub<2,>=0.9", '"gemmahub<2,>=0.9"'),  # < and > are redirections
        ("a & b", '"a & b"'),
        ("", '""'),
        ('say "hi"', r'"say \"hi\""'),
        ("ends in a backslash\\", '"ends in a backslash\\\\"'),
        (r"a\"b", r'"a\\\"b"'),
    ],
)
def test_on_windows_words_are_quoted_for_both_shells(
    monkeypatch: pytest.MonkeyPatch, word: str, typed: str
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert quoted(["x", word]) == f"x {typed}"


def test_quoted_words_arrive_as_a_windows_program_takes_them_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the rules of Microsoft's C runtime, for each word of up to four hard characters."""
    monkeypatch.setattr(sys, "platform", "win32")
    hard = ("a", " ", '"', "\\")
    words: list[Any] = [""]
    for _ in range(4):
        words += [word + one for word in words[-(4 ** len(words[-1])) :] for one in hard]
    for word in words:
        assert taken_apart(quoted([word])) == word


def taken_apart(typed: str) -> str:
    """One argument: 2n backslashes and a quote are n and the end of a quoted part, 2n+1 a quote."""
    out, place, inside = "", 0, False
    while place < len(typed):
        slashes = len(typed) - place - len(typed[place:].lstrip("\\"))
        place += slashes
        if typed[place : place + 1] == '"':
            out += "\\" * (slashes // 2)
            if slashes % 2:
                out += '"'
            else:
                inside = not inside
            place += 1
            continue
        out += "\\" * slashes
        if place < len(typed):
            assert inside or typed[place] != " "
            out += typed[place]
            place += 1
    return out
