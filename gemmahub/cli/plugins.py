"""``gemmahub plugins``."""

from __future__ import annotations

import click

from gemmahub.cli import output


@click.command(name="plugins")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plugins_command(as_json: bool) -> None:
    """Plugins, what they offer, and why one does not work."""
    from gemmahub.service import Gemmahub

    rows = Gemmahub().plugins()
    if as_json:
        output.json_data({"plugins": [row.as_json() for row in rows]})
        return
    output.table(
        ("plugin", "version", "state", "offers", "what to know"),
        [
            (row.name, row.version, row.state, "\n".join(row.offers), "\n".join(row.remarks))
            for row in rows
        ],
    )
