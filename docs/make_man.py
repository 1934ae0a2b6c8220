"""Writes the man pages, one for each command, from the commands themselves::

    uv run python docs/make_man.py FOLDER

The build of a release runs it. The same source makes the same pages: their date is that of
``SOURCE_DATE_EPOCH``, or none.
"""

from __future__ import annotations

import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gemmahub import __version__, config
from gemmahub.cli.main import ALIASES, COMMANDS, GROUPS, cli

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXIT_CODES = Path(__file__).parent / "reference" / "exit-codes.md"


def roff(text: str) -> str:
    """Text that roff prints as it stands: hyphens that can be copied, no line that is a request."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def prose(text: str) -> str:
    """Paragraphs of help; names in backquotes are bold."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        line = roff(" ".join(paragraph.split()))
        parts.append(re.sub(r"``?([^`]+)``?", r"\\fB\1\\fP", line))
    return "\n.PP\n".join(parts)


def page(name: str, command: click.Command, context: click.Context) -> str:
    """The page of a command; ``name`` has its groups: ``gemmahub chats list``."""
    first, _, rest = (command.help or "").partition("\n")
    title = name.replace(" ", "-")
    lines = [
        f'.TH "{roff(title.upper())}" "1" "{_date()}" "gemmahub {__version__}" "gemmahub manual"',
        ".SH NAME",
        f"{roff(title)} \\- {roff(first.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {roff(name)}",
        roff(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        prose(f"{first}\n{rest}"),
        *_options(command, context),
        *_commands(name, command, context),
    ]
    if name == "gemmahub":
        lines += [*_exit_codes(), *_environment()]
    else:
        lines += [".SH EXIT STATUS", "0 when it is done; the others are in gemmahub(1)."]
    return "\n".join([*lines, *_see_also(name), ""])


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    records = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
    ]
    if records:
        yield ".SH OPTIONS"
    for names, text in records:
        yield ".TP"
        yield f"\\fB{roff(names)}\\fP"
        yield roff(" ".join(text.split())) or "\\&"


def _commands(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    if name == "gemmahub":
        for task, group in GROUPS.items():
            yield f'.SH "{roff(task.upper())}"'
            for sub, (_, line) in group.items():
                yield from _row(name, sub, line)
    elif isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for sub, below in command.commands.items():
            yield from _row(name, sub, (below.help or "").partition("\n")[0].rstrip("."))


def _row(name: str, sub: str, line: str) -> list[str]:
    alias = next((alias for alias, of in ALIASES.items() if of == sub), "")
    also = f", \\fB{alias}\\fP" if alias and name == "gemmahub" else ""
    return [".TP", f"\\fB{roff(sub)}\\fP{also}", f"{roff(line)}, see {_link(f'{name}-{sub}')}"]


def _link(title: str) -> str:
    return f"\\fB{roff(title.replace(' ', '-'))}\\fP(1)"


def _exit_codes() -> Iterator[str]:
    """Those of the table in the reference, which a test holds against the code."""
    yield ".SH EXIT STATUS"
    table = _EXIT_CODES.read_text(encoding="utf-8").partition("\n## ")[0]
    for code, meaning in re.findall(r"^\| (\d+) \| (.+?) \|", table, re.MULTILINE):
        yield from (".TP", code, roff(meaning))


def _environment() -> Iterator[str]:
    yield ".SH ENVIRONMENT"
    rows = re.findall(r"^``(\w+)``\s+(.+)$", config.__doc__ or "", re.MULTILINE)
    for variable, meaning in rows:
        yield from (".TP", f"\\fB{variable}\\fP", prose(meaning))


def _see_also(name: str) -> list[str]:
    group, _, last = name.rpartition(" ")
    titles = [group] if group else [f"gemmahub-{sub}" for sub in COMMANDS]
    if group.count(" "):
        titles.insert(0, "gemmahub")
    return [".SH SEE ALSO", ", ".join(map(_link, titles)) if last else ""]


def _date() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return "" if epoch is None else datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%d")


def pages() -> dict[str, str]:
    """All pages by their file names. Commands of plugins have none."""
    root = click.Context(cli, info_name="gemmahub", **cli.context_settings)
    found = {"gemmahub.1": page("gemmahub", cli, root)}
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None
        found.update(_below(f"gemmahub {name}", command, root))
    for alias, name in ALIASES.items():
        found[f"gemmahub-{alias}.1"] = f".so man1/gemmahub-{name}.1\n"
    return found


def _below(name: str, command: click.Command, parent: click.Context) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=command.name, parent=parent)
    yield f"{name.replace(' ', '-')}.1", page(name, command, context)
    for sub, below in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {sub}", below, context)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        (folder / file).write_text(text, encoding="utf-8")
