"""What the shell is told when somebody presses Tab. Loaded then, and for no other command.

Which values an argument or option has follows from its name, so that commands need not say it.
Nothing is printed and nothing fails: a person in the middle of a line wants no message.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from gemmahub import __version__
from gemmahub.cli import output
from gemmahub.cli.shell_scripts import BASH, COMPLETES, FISH
from gemmahub.config.kept_names import kept_names
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.config.kept_names import Names

_WORD: Final = re.compile(r"[\w./:@+~=,%-]{1,300}")
"""What a shell takes as one word without quotes; other names are not completed."""

# By the parameter's name, or by the command's and the parameter's.
_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "reference": ("installed", "models", "presets"),
    "references": ("installed", "models"),
    "pinned": ("installed",),
    "model": ("models",),
    "judge": ("installed",),
    "backend": ("backends",),
    "machine": ("machines",),
    "stores": ("stores",),
    "id_": ("chats",),
    "ids": ("chats",),
    "sort": ("keys",),
    "filter_": ("keys",),
    "pull reference": ("models",),
    "rm reference": ("installed",),
    "schema name": ("schemas",),
    "show name": ("plugins",),
    "enable name": ("plugins",),
    "disable name": ("plugins",),
    "uninstall plugin": ("plugins",),
    "get name": ("settings",),
    "set name": ("settings",),
    "unset name": ("settings",),
}


class _Known(click.types.StringParamType):
    """A text with known values."""

    def __init__(self, kinds: tuple[str, ...]) -> None:
        self._kinds = kinds

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """The values that begin like this; files where the word looks like a path."""
        if incomplete.startswith(("/", "./", "../", "~")):
            return [CompletionItem(incomplete, type="file")]
        return items(self._kinds, incomplete)


def items(kinds: Iterable[str], incomplete: str) -> list[CompletionItem[Any]]:
    """The names of these kinds that begin like this, each once."""
    found: dict[str, CompletionItem[Any]] = {}
    for kind in kinds:
        if (kind == "presets") != incomplete.startswith("@"):
            continue
        for name, what in _names(kind):
            if name.startswith(incomplete) and _WORD.fullmatch(name):
                found.setdefault(name, CompletionItem(name, help=one_line(what, 60) or None))
    return list(found.values())


def _names(kind: str) -> Names:
    if kind == "presets":
        from gemmahub.config.file import read_tables, settings_path

        return [(f"@{name}", "preset") for name in read_tables(settings_path()).get("presets", {})]
    if kind == "chats":
        from gemmahub.config import load_config
        from gemmahub.conversations import ConversationStore

        rows = ConversationStore(load_config().data).rows()
        return [(row.id, getattr(row, "title", "")) for row in rows]
    found = kept_names(__version__)
    if found is None:
        from gemmahub.service import Library
        from gemmahub.service.completion_names import names_here

        found = names_here(Library())
    return found.get(kind, [])


def give_values(command: click.Command) -> None:
    """Tell the parameters of a command, and of those below it, which values they have."""
    for parameter in command.params:
        kinds = _KINDS.get(f"{command.name} {parameter.name}", _KINDS.get(parameter.name or ""))
        if kinds is not None and isinstance(parameter.type, click.types.StringParamType):
            parameter.type = _Known(kinds)
    for below in getattr(command, "commands", {}).values():
        give_values(below)


class _WholeWords(BashComplete):
    """Bash breaks words at colons, which references have: the line is split here instead."""

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_LINE"]
        words = split_arg_string(line)
        if not line[-1:].isspace() and len(words) > 1:
            return words[1:-1], words[-1]
        return words[1:], ""


class _WholeDescriptions(FishComplete):
    source_template = FISH


class _EscapedColons(ZshComplete):
    def format_completion(self, item: CompletionItem[str]) -> str:
        """As click does it since 8.2: zsh takes what is behind a colon for the description."""
        value = item.value.replace(":", r"\:") if item.help else item.value
        return f"{item.type}\n{value}\n{item.help or '_'}"


add_completion_class(_WholeWords)
add_completion_class(_WholeDescriptions)
add_completion_class(_EscapedColons)


def script(cli: click.Command, shell: str) -> str:
    """What a shell has to read. Raises: UsageError for a click that has none for that shell."""
    from gemmahub.errors import UsageError
    from gemmahub.python_environment import install_command

    found = get_completion_class(shell)
    if found is None:
        raise UsageError(
            f"the installed click has no completion for {shell}", install_command("click>=8.5")
        )
    made = found(cli, {}, "gemmahub", COMPLETES)
    return made.source_template % made.source_vars()


def answer(cli: click.Command) -> int:
    """Print what completes the line that the shell gave; nothing where that is not known."""
    shell, _, instruction = os.environ.get(COMPLETES, "").partition("_")
    try:
        found = get_completion_class(shell)
        if found is None or instruction != "complete":
            return 1
        text = found(cli, {}, "gemmahub", COMPLETES).complete()
        if text:
            output.data(text)
    except Exception:  # noqa: BLE001 - whatever is wrong, the shell goes on
        return 1
    return 0
