"""``gemmahub completion``: the shell completes commands, options, models, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from gemmahub.cli import output

if TYPE_CHECKING:
    from gemmahub.service.shell_completion import ShellSetup

_SHELLS: Final = click.Choice(("bash", "zsh", "fish", "powershell"))
_yes = click.option("-y", "--yes", is_flag=True, help="Change the shell's start-up file, too.")


@click.group(name="completion", invoke_without_command=True)
@click.pass_context
def completion_command(context: click.Context) -> None:
    """Install shell completion.

    Alone it says for which shells it is installed.
    """
    if context.invoked_subcommand is not None:
        return
    from gemmahub.service.shell_completion import SHELLS, setup_of

    found = [setup_of(shell) for shell in SHELLS]
    output.table(
        ("shell", "state", "script"),
        [(each.shell, _state(each), str(each.script)) for each in found],
    )
    if not any(each.installed for each in found):
        output.note("gemmahub completion install sets up the shell that you use")


def _state(setup: ShellSetup) -> str:
    if not setup.installed:
        return "not installed"
    return "installed" if setup.ready else "not read at start"


@completion_command.command(name="install")
@click.argument("shell", type=_SHELLS, required=False)
@_yes
def install_command(shell: str | None, yes: bool) -> None:
    """Install completion for a shell.

    SHELL is the one that you use where none is named. The script goes into the folder that the
    shell reads. Where its start-up file has to name that folder, you are asked first.
    """
    from gemmahub.cli.completing import script
    from gemmahub.cli.main import cli
    from gemmahub.service.shell_completion import add_start_line, put_script, setup_of, this_shell

    setup = setup_of(shell or this_shell())
    new = put_script(setup, script(cli, setup.shell))
    output.data(str(setup.script))
    output.note("installed" if new else "it was installed already")
    if not setup.ready:
        question = f"Add this line to {setup.start_file}?\n  {setup.start_line}\n"
        if not (yes or (output.interactive() and output.confirm(question))):
            output.note(f"to use it, add this line to {setup.start_file}:\n  {setup.start_line}")
            return
        add_start_line(setup)
        output.note(f"changed {setup.start_file}; gemmahub completion remove undoes it")
    output.note(f"open a new {setup.shell} to use it")
    if setup.shell == "bash" and not setup.start_line:
        output.note(f'where it does not work there, add to ~/.bashrc: source "{setup.script}"')


@completion_command.command(name="show")
@click.argument("shell", type=_SHELLS)
def show_command(shell: str) -> None:
    """Print the completion script of a shell."""
    from gemmahub.cli.completing import script
    from gemmahub.cli.main import cli

    output.data(script(cli, shell), end="")


@completion_command.command(name="remove")
@click.argument("shell", type=_SHELLS, required=False)
@_yes
def remove_command(shell: str | None, yes: bool) -> None:
    """Remove completion from a shell.

    SHELL is the one that you use where none is named.
    """
    from gemmahub.service.shell_completion import drop_script, drop_start_line, setup_of, this_shell

    setup = setup_of(shell or this_shell())
    if setup.started_by_us:
        question = f"Remove gemmahub's lines from {setup.start_file}?"
        if not (yes or (output.interactive() and output.confirm(question))):
            output.note(f"nothing was removed: --yes takes the lines out of {setup.start_file}")
            return
        drop_start_line(setup)
        output.note(f"changed {setup.start_file}")
    if drop_script(setup):
        output.note(f"removed {setup.script}")
    else:
        output.note(f"it is not installed for {setup.shell}")
