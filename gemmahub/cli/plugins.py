"""``gemmahub plugins``: what is installed, and the beginning of a new one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.cli.one_plugin import show_command
from gemmahub.cli.plugin_changes import (
    disable_command,
    enable_command,
    install_command,
    uninstall_command,
)
from gemmahub.testing.scaffold import KINDS

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from gemmahub.service import Library


class _PluginsGroup(click.Group):
    """``gemmahub plugins NAME`` shows the plugin of that name."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[Any]]:
        """Commands, and plugins, too."""
        from gemmahub.cli.completing import items

        return [*super().shell_complete(ctx, incomplete), *items(("plugins",), incomplete)]

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
@answer_options("plugins")
@click.pass_context
def plugins_command(context: click.Context, form: Form) -> None:
    """List, install and create plugins.

    Alone it lists them: what each offers, and why one does not work.
    """
    context.obj = form
    if context.invoked_subcommand is None:
        from gemmahub.service import Library

        _show(Library(), form)


def _show(library: Library, form: Form) -> None:
    from gemmahub.cli.main import TAKEN
    from gemmahub.service import plugin_rows

    rows, chosen = plugin_rows.rows(library, TAKEN), plugin_rows.chosen(library)

    def value() -> dict[str, Any]:
        formats = {row.format: {"backend": row.backend, "reason": row.reason} for row in chosen}
        return {"plugins": [row.as_json() for row in rows], "formats": formats}

    def show() -> None:
        output.table(
            ("plugin", "version", "state", "offers", "what to know"),
            [(r.name, r.version, r.state, tuple(r.offers), tuple(r.remarks)) for r in rows],
        )
        for choice in chosen:
            output.note(f"{choice.format}: {choice.backend or 'no backend'}: {choice.reason}")

    form.answer(value, show)


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
    """Create a plugin that installs and passes the conformance tests.

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
