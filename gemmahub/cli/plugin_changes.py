"""``gemmahub plugins install``, ``uninstall``, ``disable`` and ``enable``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.errors import ExitCode, GemmahubError, UsageError

if TYPE_CHECKING:
    from gemmahub.service.plugin_changes import PluginChange

_yes = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


@click.command(name="install")
@click.argument("plugin")
@_yes
def install_command(plugin: str, yes: bool) -> int:
    """Install a plugin and check that it loads.

    It goes into gemmahub's own environment. PLUGIN is its distribution, with or without
    gemmahub- (ollama, gemmahub-ollama==0.1), a wheel, a folder or an address.
    """
    from gemmahub.service import plugin_changes

    change = plugin_changes.plan_install(plugin)
    before = [] if change.distribution else plugin_changes.rows_of_fresh_start()
    if not _done(change, yes=yes):
        output.note("nothing was installed")
        return ExitCode.FAILED
    after = plugin_changes.rows_of_fresh_start()
    rows = plugin_changes.rows_that_came(before, after, change.distribution)
    for row in rows:
        output.data(f"{row['name']} {row['version']}: {row['state']}")
        for text in (*row["offers"], *row["remarks"]):
            output.note(f"  {text}")
    if not rows:
        raise GemmahubError(
            f"it is installed, but offers no plugin: {plugin}",
            "gemmahub plugins lists the plugins",
        )
    return ExitCode.FAILED if any(row["state"] == "failed" for row in rows) else ExitCode.DONE


@click.command(name="uninstall")
@click.argument("plugin")
@_yes
def uninstall_command(plugin: str, yes: bool) -> int:
    """Uninstall a plugin, by its name or that of its distribution."""
    from gemmahub.service import Library, plugin_changes

    change = plugin_changes.plan_uninstall(Library(), plugin)
    if not _done(change, yes=yes):
        output.note("nothing was removed")
        return ExitCode.FAILED
    left = plugin_changes.rows_that_came(
        [], plugin_changes.rows_of_fresh_start(), change.distribution
    )
    if left:
        raise GemmahubError(f"{change.distribution} is still installed", change.line)
    output.note(f"{change.distribution} was removed")
    return ExitCode.DONE


@click.command(name="disable")
@click.argument("name")
def disable_command(name: str) -> None:
    """Disable a plugin without uninstalling it."""
    from gemmahub.service import Library, plugin_changes

    plugin_changes.disable(Library(), name)
    output.note(f"{name} is disabled; gemmahub plugins enable {name} enables it again")


@click.command(name="enable")
@click.argument("name")
def enable_command(name: str) -> None:
    """Enable a plugin that was disabled."""
    from gemmahub.service import Library, plugin_changes

    was = plugin_changes.enable(Library(), name)
    output.note(f"{name} is enabled" if was else f"{name} was not disabled")


def _done(change: PluginChange, *, yes: bool) -> bool:
    """Whether the command was run, after it was shown and agreed to. Raises: GemmahubError."""
    change.environment.ready(change.command)
    output.note(f"gemmahub is {change.environment.kind}; this will be run:\n  {change.line}")
    if not yes:
        if not output.interactive():
            raise UsageError(
                "cannot ask for confirmation: standard input is not a terminal", "use --yes"
            )
        if not output.confirm("Run it?"):
            return False
    change.carry_out(output.note)
    return True
