"""``gemmahub plugins``: what is installed, and the beginning of a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.one_plugin import show_command
from gemmahub.cli.plugin_changes import (
    disable_command,
    enable_command,
    install_command,
    uninstall_command,
)
from gemmahub.testing.scaffold import KINDS

if TYPE_CHECKING:
    from gemmahub.service import Library


class _PluginsGroup(click.Group):
    """``gemmahub plugins NAME`` shows the plugin of that name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        is_name = not args[0].startswith("-") and args[0] not in self.commands
        return super().resolve_command(ctx, ["show", *args] if is_name else args)


@click.group(
    name="plugins",
    cls=_PluginsGroup,
    invoke_without_command=True,
    subcommand_metavar="[NAME | COMMAND [ARGS]...]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins_command(context: click.Context, as_json: bool) -> None:
    """Plugins, what they offer, and why one does not work."""
    if context.invoked_subcommand is None:
        from gemmahub.service import Library

        _show(Library(), as_json=as_json)


def _show(library: Library, *, as_json: bool) -> None:
    from gemmahub.cli.main import TAKEN
    from gemmahub.service import plugin_rows

    rows, chosen = plugin_rows.rows(library, TAKEN), plugin_rows.chosen(library)
    if as_json:
        formats = {row.format: {"backend": row.backend, "reason": row.reason} for row in chosen}
        output.json_data({"plugins": [row.as_json() for row in rows], "formats": formats})
        return
    output.table(
        ("plugin", "version", "state", "offers", "what to know"),
        [(row.name, row.version, row.state, tuple(row.offers), tuple(row.remarks)) for row in rows],
    )
    for choice in chosen:
        output.note(f"{choice.format}: {choice.backend or 'no backend'}: {choice.reason}")


@plugins_command.command(name="new")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to create the plugin's folder [here].",
)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default=KINDS[0],
    show_default=True,
    help="What the plugin offers.",
)
def new_command(name: str, folder: Path, kind: str) -> None:
    """Write a new plugin that installs and passes the conformance tests.

    NAME is the name of what the plugin offers, in small letters: demo creates the folder
    gemmahub-demo. Existing files are not overwritten.
    """
    from gemmahub.service import Library, plugin_rows

    plugin = plugin_rows.write_new(Library(), name, folder, kind)
    output.data(str(plugin.folder))
    output.note(f"wrote {len(plugin.files)} files: {', '.join(map(str, plugin.files))}")
    output.note(
        f"next: pip install -e {plugin.folder} pytest, then pytest {plugin.folder}, "
        f"then\n{plugin.attempt}; its README has the next steps"
    )


for _command in (
    show_command,
    install_command,
    uninstall_command,
    disable_command,
    enable_command,
):
    plugins_command.add_command(_command)
