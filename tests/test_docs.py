"""The documents say what the program does."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import click
import pytest

from docs import make_commands, make_reference
from gemmahub.cli.main import ALIASES, COMMANDS, cli
from gemmahub.engines import hookspecs

ROOT = Path(__file__).parent.parent


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_hook_has_a_heading_with_its_arguments() -> None:
    headings = set(re.findall(r"^### (.+)$", text("docs/reference/plugins.md"), re.MULTILINE))
    hooks = {n: f for n, f in vars(hookspecs).items() if n.startswith("gemmahub_")}
    assert len(hooks) >= 7
    for name, function in hooks.items():
        arguments = ", ".join(inspect.signature(function).parameters)
        assert f"{name}({arguments})" in headings


@pytest.mark.parametrize("name", make_reference.PAGES)
def test_the_reference_is_current(name: str) -> None:
    document = text(f"docs/{name}")
    made = make_reference.PAGES[name]().rstrip("\n") + "\n"
    assert document == made, "run: uv run python -m docs.make_reference"


def test_the_hook_reference_has_examples_that_compile() -> None:
    document = text("docs/reference/hooks.md")
    hooks = [name for name in vars(hookspecs) if name.startswith("gemmahub_")]
    assert re.findall(r"^## (\w+)\(", document, re.MULTILINE) == hooks
    for example in re.findall(r"^```python\n(.*?)^```$", document, re.MULTILINE | re.DOTALL):
        compile(example, "docs/reference/hooks.md", "exec")


def test_every_hook_is_used() -> None:
    rooms = (ROOT / "gemmahub" / "engines").glob("*.py")
    asking = "".join(path.read_text(encoding="utf-8") for path in rooms)
    for name in vars(hookspecs):
        if name.startswith("gemmahub_"):
            assert f'"{name}"' in asking, name


def test_every_command_has_a_heading_and_is_in_a_group() -> None:
    document = text("docs/reference/commands.md")
    grouped = [name for names in make_commands.groups().values() for name in names]
    assert sorted(grouped) == sorted(COMMANDS)
    headings = re.findall(r"^### gemmahub (\S+)$", document, re.MULTILINE)
    assert headings == grouped
    for alias in ALIASES:
        assert f"Also: `gemmahub {alias}`." in document


def test_no_option_of_the_reference_is_left_unexplained() -> None:
    """The reference is made of the helps: one without help, choices and default says nothing."""
    rows = re.findall(r"^\| (`-.+?) \| (.*?) \|$", text("docs/reference/commands.md"), re.MULTILINE)
    assert len(rows) > 150
    assert [names for names, meaning in rows if not meaning] == []


def test_the_one_line_helps_agree() -> None:
    context = click.Context(cli)
    for name, (_, line) in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        first = (command.help or "").split("\n")[0]
        assert first == f"{line}.", name


def test_the_readme_has_the_two_commands() -> None:
    readme = text("README.md")
    for mark in ("first command", "test command"):
        assert re.search(rf"<!-- {mark} -->\n\n    \S.+\n\n<!-- end -->", readme), mark


def test_every_extra_is_explained() -> None:
    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    document = text("docs/getting-started/your-system.md")
    table = document.partition("## Extras")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(extras)


def test_every_plugin_has_a_readme_and_the_same_version() -> None:
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    from gemmahub import __version__

    assert version == __version__
    for folder in (ROOT / "plugins").iterdir():
        if (folder / "pyproject.toml").exists():
            assert (folder / "README.md").read_text().startswith("# gemmahub-")
            assert f'version = "{version}"' in (folder / "pyproject.toml").read_text()


def test_security_limits_are_those_of_the_code() -> None:
    from gemmahub.engines import template_process
    from gemmahub.formats import gguf_tensors, safetensors, source
    from gemmahub.http import limits, values
    from gemmahub.memory.ranges import RANGES
    from gemmahub.tui.web import protocol

    document = " ".join(text("docs/security.md").split())
    for said in (
        f"GGUF header, on the disk or over HTTP | {source.LARGEST_PREFIX >> 20} MiB",
        f"tensors of a GGUF model | {gguf_tensors.MAX_TENSORS:,}",
        f"safetensors header | {safetensors.MAX_HEADER_BYTES >> 20} MiB",
        f"layers, experts | {RANGES['layers'].highest} and {RANGES['experts'].highest:,}",
        f"use {template_process.CPU_SECONDS} s of CPU time",
        f"{template_process.WALL_SECONDS:.0f} s on the clock",
        f"{template_process.MEMORY_BYTES // 10**6} MB beyond",
        f"{limits.WHOLE:.0f} s and {limits.MOST_BYTES >> 20} MiB",
        f"{values.MOST_VALUES:,} JSON values",
        f"{protocol.MAX_COLUMNS:,} x {protocol.MAX_ROWS} cells",
    ):
        assert said in document, said


def test_every_option_says_what_it_does() -> None:
    def silent(command: click.Command, name: str) -> list[str]:
        options = [p for p in command.params if isinstance(p, click.Option)]
        found = [f"{name} {p.opts[-1]}" for p in options if not p.help]
        below = command.commands if isinstance(command, click.Group) else {}
        return found + [each for n, sub in below.items() for each in silent(sub, f"{name} {n}")]

    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        assert silent(command, name) == []
