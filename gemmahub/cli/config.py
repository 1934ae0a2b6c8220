"""``gemmahub config``: the settings, what they are, and changing them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service import Library

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="config")
def config_command() -> None:
    """Show and change settings."""


@config_command.command(name="list")
@answer_options("config list")
def list_command(form: Form) -> None:
    """List all settings with their values.

    They are those of gemmahub, of each plugin and each backend.
    """
    from gemmahub.service import Library, settings

    rows = settings.setting_rows(Library())

    def show() -> None:
        output.table(
            ("setting", "value", "from", "what it is"),
            [(row.name, row.shown, row.origin, row.problem or row.help) for row in rows],
        )
        for row in rows:
            if row.problem:
                output.warning(row.problem)

    form.answer(lambda: {"settings": [row.as_json() for row in rows]}, show)


@config_command.command(name="get")
@click.argument("name")
@_json
def get_command(name: str, as_json: bool) -> None:
    """Print the value of a setting.

    It is the one in effect. A secret is not printed.
    """
    from gemmahub.errors import UsageError
    from gemmahub.service import Library, settings

    row = settings.setting_row(Library(), name)
    if as_json:
        output.json_data(row.as_json())
    elif row.problem:
        raise UsageError(row.problem, row.help)
    elif row.secret:
        state = f"it is set, from {row.origin}" if row.is_set else "it is not set"
        raise UsageError(f"{row.name} is a secret and is not printed: {state}", row.help)
    else:
        output.data(row.shown)


@config_command.command(name="set")
@click.argument("name")
@click.argument("value", required=False)
def set_command(name: str, value: str | None) -> None:
    """Change a setting.

    Separate the items of a list with commas, and write a table as name=value,name=value. Without
    VALUE the value is read from standard input, which keeps a secret out of the shell's history.
    """
    from gemmahub.service import Library, setting_changes

    library = Library()
    text = _typed(name) if value is None else value
    row = setting_changes.set_setting(library, name, text)
    output.note(f"{row.name} = {row.shown}")
    if row.origin.startswith("env") and row.env in row.origin:
        output.warning(f"the variable {row.env} overrides the file")


@config_command.command(name="unset")
@click.argument("name")
def unset_command(name: str) -> None:
    """Reset a setting to its default.

    It is removed from the settings file.
    """
    from gemmahub.service import Library, setting_changes

    was_there = setting_changes.unset_setting(Library(), name)
    output.note(f"{name} {'was removed' if was_there else 'was not in the file'}")


@config_command.command(name="edit")
def edit_command() -> None:
    """Edit the settings file in $VISUAL or $EDITOR.

    It is replaced when the new text is valid.
    """
    from gemmahub.config.file import file_text, settings_path
    from gemmahub.service import Library, setting_changes

    library, path = Library(), settings_path()
    before = file_text(path)
    copy = _copy_of(
        before or "# The settings of gemmahub; `gemmahub config list` shows them all.\n"
    )
    first = copy.read_bytes()
    try:
        text = _edited(library, copy, path)
    except BaseException:
        if copy.read_bytes() == first:  # such as an editor that is not there
            copy.unlink()
        raise
    if text.encode() == first:
        output.note("nothing was changed")
    else:
        setting_changes.replace_file(path, before, text)
        output.note(f"wrote {path}")
    copy.unlink()


@config_command.command(name="path")
def path_command() -> None:
    """Print the path of the settings file."""
    from gemmahub.config.file import settings_path

    output.data(str(settings_path()))


def _typed(name: str) -> str:
    """A value from standard input; on a terminal it is not shown."""
    import getpass
    import sys

    if sys.stdin.isatty():
        return getpass.getpass(f"{name}: ")
    return sys.stdin.readline().rstrip("\r\n")


def _copy_of(text: str) -> Path:
    """A file for the editor, for this user's eyes only."""
    import os
    import tempfile
    from pathlib import Path

    handle, name = tempfile.mkstemp(prefix="gemmahub-settings-", suffix=".toml")
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return Path(name)


def _edited(library: Library, copy: Path, path: Path) -> str:
    """The text that a person wrote, once it is right. Raises: UsageError, which names the copy."""
    from gemmahub.config.file import file_text
    from gemmahub.errors import UsageError
    from gemmahub.service import setting_changes
    from gemmahub.text.streams import give_stdout_back

    while True:
        give_stdout_back()  # the editor draws on the terminal
        click.edit(filename=str(copy))
        try:
            text = file_text(copy)
            faults = setting_changes.faults_in(library, text, copy)
        except UsageError as error:
            faults = [f"{error.message}; {error.hint}"]
        if not faults:
            return text
        for fault in faults:
            output.warning(fault)
        if not (output.interactive() and output.confirm("Edit it again?")):
            what = f"{path} was left unchanged: {faults[0]}"
            raise UsageError(what, f"your text is in {copy}")
