"""The group of all commands: its help by task, and no module loaded before its command runs."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from gemmahub.cli.shell_scripts import COMPLETES
from gemmahub.errors import UsageError
from gemmahub.text.streams import allow_colours

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem

_NAMES: Final = 14
"""Columns of a command's name in the help."""


class HelpFormatter(click.HelpFormatter):
    """Help of commands, also of plugins', with harmless text."""

    def getvalue(self) -> str:
        from gemmahub.text import strip_controls

        return strip_controls(super().getvalue())


class LazyGroup(click.Group):
    """Imports a command's module only when that command runs; plugins add theirs after ours."""

    def __init__(
        self,
        *arguments: Any,
        tasks: Mapping[str, Mapping[str, tuple[str, str]]],
        aliases: Mapping[str, str],
        **options: Any,
    ) -> None:
        """``tasks`` are headings of the help, each with its commands: module and one line."""
        super().__init__(*arguments, **options)
        self._tasks, self._aliases = tasks, aliases
        self._lazy = {name: entry for group in tasks.values() for name, entry in group.items()}
        self._plugins_added = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands: ours in their order, then those of plugins."""
        self._add_plugin_commands()
        return [*self._lazy, *self._of_plugins()]

    def _of_plugins(self) -> list[str]:
        return sorted(name for name in self.commands if name not in self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command with that name or alias."""
        name = self._aliases.get(cmd_name, cmd_name)
        if name in self._lazy:
            module = import_module(f"gemmahub.cli.{self._lazy[name][0]}")
            command: click.Command = getattr(module, f"{name}_command")
            if COMPLETES in os.environ:
                from gemmahub.cli.completing import give_values

                give_values(command)
            return command
        self._add_plugin_commands()
        return self.commands.get(name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Names of commands, of which none is imported, and options."""
        from click.shell_completion import CompletionItem

        lines = {name: line for name, (_, line) in self._lazy.items()}
        lines |= {alias: lines[name] for alias, name in self._aliases.items()}
        found = [CompletionItem(n, help=line) for n, line in lines.items()]
        return [
            *(item for item in found if item.value.startswith(incomplete)),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest names for a typing error. A plugin's command may colour
        what it prints."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            from gemmahub.text import nearest, one_line

            near = nearest(name, [*self._lazy, *self._aliases, *self.commands])
            hint = f"did you mean {', '.join(near)}?" if near else "gemmahub --help lists commands"
            raise UsageError(f"there is no command {one_line(name)!r}", hint)
        if self._aliases.get(name, name) not in self._lazy:
            allow_colours()
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands come first: few people look for the options of the whole program."""
        self.format_commands(ctx, formatter)
        click.Command.format_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Ours with their one line of help, without importing them."""
        aliases = {target: f"{target} | {alias}" for alias, target in self._aliases.items()}
        for task, group in self._tasks.items():
            with formatter.section(task):
                formatter.write_dl(
                    [
                        (f"{aliases.get(name, name):<{_NAMES}}", line)
                        for name, (_, line) in group.items()
                    ]
                )
        self._add_plugin_commands()
        own = self._of_plugins()
        if own:
            with formatter.section("Plugins"):
                formatter.write_dl(
                    [(f"{n:<{_NAMES}}", self.commands[n].get_short_help_str()) for n in own]
                )

    def _add_plugin_commands(self) -> None:
        if self._plugins_added:
            return
        self._plugins_added = True
        from gemmahub.cli import output
        from gemmahub.service import Library

        library = Library(say=output.note)
        self.commands.update(
            library.plugins_manager.commands((*self._lazy, *self._aliases), library)
        )
