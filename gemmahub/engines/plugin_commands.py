"""Commands of plugins: each plugin adds its own to a group of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection

    import click

    from gemmahub.engines.hooks import Hooks


def commands_of(hooks: Hooks, taken: Collection[str], library: Any) -> dict[str, click.Command]:
    """The commands of all plugins by their names; one whose name is ``taken``, or that another
    plugin has, is refused."""
    import click

    groups: list[tuple[str, click.Group]] = []

    def own(plugin: str) -> dict[str, object]:
        groups.append((plugin, click.Group(name="gemmahub")))
        return {"cli": groups[-1][1]}

    hooks.ask("gemmahub_commands", {"library": library}, own)
    owners = dict.fromkeys(taken, "gemmahub")
    commands = {}
    for plugin, group in groups:
        for name, command in group.commands.items():
            if name in owners:
                reason = f"its command {one_line(name)!r} is one of {owners[name]}"
                hooks.fail(plugin, reason, "report it to its authors")
            else:
                owners[name], commands[name] = plugin, command
    return commands
