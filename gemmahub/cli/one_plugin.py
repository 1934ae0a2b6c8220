"""``gemmahub plugins NAME``: one plugin in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.forms import JSON, TABLE
from gemmahub.errors import UsageError

if TYPE_CHECKING:
    from gemmahub.service.settings import SettingRow


@click.command(name="show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show_command(context: click.Context, name: str, as_json: bool) -> None:
    """Show a plugin: what it offers, its options and settings.

    gemmahub plugins NAME does the same.
    """
    from gemmahub.service import Library, one_plugin

    found = one_plugin.detail(Library(), name)
    given = context.obj  # of the group: gemmahub plugins --json NAME
    if given is not None and given.kind not in (TABLE, JSON):
        raise UsageError("one plugin has no rows", "leave out --format, or use --json")
    if as_json or (given is not None and given.kind == JSON):
        output.json_data(found.as_json())
        return
    row = found.row
    output.facts(
        [
            ("plugin", f"{row.name} {row.version} ({row.distribution})"),
            ("state", row.state),
            *_lines("offers", row.offers),
            *_lines("what to know", row.remarks),
        ]
    )
    for backend, options in found.options.items():
        output.data(f"\noptions of {backend}")
        _table(options)
        if options:
            key = options[0].name.rpartition(".")[2]
            output.note(
                f"for one run: gemmahub run MODEL --backend {backend} --option {key}=VALUE\n"
                f"for all: gemmahub config set {options[0].name} VALUE"
            )
    output.data("\nsettings")
    _table(found.settings)
    output.note(f"gemmahub config set {found.settings[0].name} VALUE sets one")


def _table(rows: list[SettingRow]) -> None:
    if not rows:
        output.data("none")
        return
    output.table(
        ("name", "type", "default", "value", "from", "what it is"),
        [
            (
                ".".join((*row.table[2:], row.name.rpartition(".")[2])),
                " | ".join(map(str, row.choices)) or row.kind,
                row.shown_default,
                row.shown if row.is_set else "",
                row.origin if row.is_set else "",
                row.problem or f"{row.help}{f' (variable {row.env})' if row.env else ''}",
            )
            for row in rows
        ],
    )


def _lines(name: str, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(name if number == 0 else "", text) for number, text in enumerate(texts)]
