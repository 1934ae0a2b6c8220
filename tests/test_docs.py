"""The documents say what the program does."""

from __future__ import annotations

import importlib.util
import inspect
import re
import tomllib
from pathlib import Path

import click

from gemmahub import config
from gemmahub.cli.main import ALIASES, COMMANDS, cli
from gemmahub.config import core
from gemmahub.engines import hookspecs
from gemmahub.errors import ExitCode

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


def test_the_hook_reference_is_current_and_complete() -> None:
    spec = importlib.util.spec_from_file_location("make_hooks", ROOT / "docs/make_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    document = text("docs/reference/hooks.md")
    assert document == maker.document(), "run: uv run python docs/make_hooks.py"
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


def test_every_command_and_option_is_documented() -> None:
    document = text("docs/reference/commands.md")
    context = click.Context(cli)
    for name in COMMANDS:
        assert f"gemmahub {name}" in document, name
        command = cli.get_command(context, name)
        assert command is not None
        below = command.commands if isinstance(command, click.Group) else {}
        for sub in below:
            assert f"gemmahub {name} {sub}" in document, (name, sub)
        for parameter in (p for c in (command, *below.values()) for p in c.params):
            if isinstance(parameter, click.Option):
                assert f"`{parameter.opts[-1]}" in document, (name, parameter.opts)
    for alias, name in ALIASES.items():
        assert re.search(rf"gemmahub {name} \({alias}\)", document)


def test_the_one_line_helps_agree() -> None:
    context = click.Context(cli)
    for name, (_, line) in COMMANDS.items():
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name
        first = (command.help or "").split("\n")[0].rstrip(".").split(";")[0]
        assert line.startswith(first[:12]), (line, first)


def test_every_exit_code_is_documented() -> None:
    document = text("docs/reference/commands.md")
    for code in ExitCode:
        assert f"| {code.value} |" in document, code.name


def test_every_setting_and_variable_is_documented() -> None:
    document = text("docs/reference/settings.md")
    for name in core.CORE:
        table, _, key = name.partition(".")
        assert f"[{table}]" in document
        assert f"{key} = " in document
    for variable in re.findall(r"``(GEMMAHUB_\w+)``", config.__doc__ or ""):
        assert f"`{variable}`" in document


def test_the_readme_has_the_two_commands() -> None:
    readme = text("README.md")
    for mark in ("first command", "test command"):
        assert re.search(rf"<!-- {mark} -->\n\n    \S.+\n\n<!-- end -->", readme), mark


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
