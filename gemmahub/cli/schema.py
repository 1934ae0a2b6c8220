"""``gemmahub schema``: what the JSON of the commands looks like."""

from __future__ import annotations

import click

from gemmahub.cli import output


@click.command(name="schema")
@click.argument("name", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def schema_command(name: tuple[str, ...], as_json: bool) -> None:
    """Print the JSON schema of a command's output.

    Without NAME it lists the schemas.

    NAME is a command (list, chats list); "error" is what every command prints with --json when it
    fails. The schemas are JSON Schema, draft 2020-12.
    """
    from gemmahub.service.schemas import schema_named, schema_rows

    if name:
        output.json_data(schema_named(" ".join(name)))
    elif as_json:
        output.json_data({"schemas": schema_rows()})
    else:
        rows = schema_rows()
        output.table(
            ("name", "version", "description"),
            [(row["name"], str(row["version"]), row["description"]) for row in rows],
            right=("version",),
        )
        output.note("gemmahub schema NAME prints one")
