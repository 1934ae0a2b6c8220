"""``docs/reference/commands.md``: every command, as its help has it, in the groups of
``gemmahub --help``."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli.main import ALIASES, COMMANDS, cli

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """# Commands

<!-- Written by docs/make_commands.py from the commands themselves: change their help there. -->

Every command with all its options, as `gemmahub COMMAND --help` has them. The [guides](../index.md)
say what to do with them.

- Data goes to standard output, everything else to standard error, so pipes work.
- `--json` prints JSON on every command that reads: [JSON](json.md). A failure is then
  `{"error": {"kind", "message", "hint"}}` on standard output.
- [Names of models](references.md), [exit codes](exit-codes.md), [machines](machines.md) and
  [settings](settings.md) have pages of their own.
- Text is printed without characters that a terminal obeys or that cannot be seen.
  [Security](../security.md#the-terminal) has the list; `--json` writes them as `\\uXXXX`.
"""
_TYPES = {"integer range": "N", "integer": "N", "float range": "NUMBER", "float": "NUMBER"}


def groups() -> dict[str, list[str]]:
    """The commands by the heading under which ``gemmahub --help`` lists them; commands that it
    lists nowhere come last. Those of plugins are left out."""
    found: dict[str, list[str]] = {}
    heading = ""
    for line in click.Context(cli, info_name="gemmahub").get_help().splitlines():
        if line and not line.startswith(" "):
            heading = line.rstrip(":") if line.endswith(":") else ""
        name = line.split()[0].rstrip(",") if line.startswith("  ") and line.split() else ""
        if heading and name in COMMANDS:
            found.setdefault(heading, []).append(name)
    listed = {name for names in found.values() for name in names}
    rest = [name for name in COMMANDS if name not in listed]
    return found | ({"More commands": rest} if rest else {})


def document() -> str:
    """The whole page."""
    top = click.Context(cli, info_name="gemmahub")
    parts = [HEAD, *_command(cli, top, "gemmahub", 2)]
    for heading, names in groups().items():
        parts.append(f"## {heading}\n")
        for name in names:
            command = cli.get_command(top, name)
            assert command is not None, name
            parts += _command(command, top, f"gemmahub {name}", 3)
    return "\n".join(parts)


def _command(command: click.Command, above: click.Context, path: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=above)
    yield f"{'#' * level} {path}\n"
    aliases = [alias for alias, name in ALIASES.items() if path == f"gemmahub {name}"]
    if aliases:
        yield f"Also: {', '.join(f'`gemmahub {alias}`' for alias in aliases)}.\n"
    if command is not cli:
        usage = " ".join(command.collect_usage_pieces(context))
        yield f"```text\n{path} {usage}\n```\n"
    yield from _help(command)
    rows = [row for parameter in command.params if (row := _row(parameter)) is not None]
    if rows:
        yield "\n".join(["| option | meaning |", "|---|---|", *rows]) + "\n"
    if isinstance(command, click.Group) and command is not cli:
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _command(below, context, f"{path} {name}", level + 1)


def _help(command: click.Command) -> Iterator[str]:
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    for paragraph in re.split(r"\n{2,}", text):
        if paragraph.startswith("\b"):
            yield f"```text\n{paragraph.removeprefix(chr(8)).strip(chr(10))}\n```\n"
        elif paragraph.strip():
            yield f"{_marked(' '.join(paragraph.split()))}\n"


def _row(parameter: click.Parameter) -> str | None:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return None
    # A flag's other half (--no-draft) belongs to its row.
    names = [f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts)]
    if value := _value(parameter):
        names[-1] = f"{names[-1][:-1]} {value}`"
    return f"| {', '.join(names)} | {_meaning(parameter)} |"


def _value(option: click.Option) -> str:
    if option.is_flag or option.count:
        return ""
    if option.metavar:
        return option.metavar.replace("|", " or ")
    if isinstance(option.type, click.Choice):
        return "NAME"
    if isinstance(option.type, click.Path):
        return "PATH"
    return _TYPES.get(option.type.name, option.type.name.upper())


def _meaning(option: click.Option) -> str:
    text = " ".join((option.help or "").split()).replace("|", "\\|")
    said = [_marked(text)] if text else []
    if isinstance(option.type, click.Choice):
        said.append(f"One of {', '.join(f'`{_name(choice)}`' for choice in option.type.choices)}.")
    if isinstance(option.type, click.IntRange | click.FloatRange):
        said.append(_range(option.type))
    if option.multiple and "several" not in text and "repeat" not in text:
        said.append("May be repeated.")
    default = option.default
    if option.is_bool_flag and option.secondary_opts and option.show_default:
        said.append(f"Default: `{(option.opts if default else option.secondary_opts)[-1]}`.")
    elif option.show_default and isinstance(default, str | int | float) and not option.is_flag:
        said.append(f"Default: `{default}`.")
    return " ".join(filter(None, said))


def _range(kind: click.IntRange | click.FloatRange) -> str:
    if kind.min is not None and kind.max is not None:
        return f"From {kind.min:,} to {kind.max:,}."
    return ""


def _name(choice: Any) -> str:
    return str(getattr(choice, "value", choice))


def _marked(text: str) -> str:
    """The text as Markdown: options and commands as code, and no HTML."""
    pieces = re.split(r"(`[^`]+`)", text)
    for number in range(0, len(pieces), 2):
        escaped = re.sub(r"([<*])", r"\\\1", pieces[number])
        pieces[number] = re.sub(r"(?<![\w\-])(--?[a-z][a-z\-]*)", r"`\1`", escaped)
    return "".join(pieces)
