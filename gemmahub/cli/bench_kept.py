"""``gemmahub bench reset``, ``import`` and ``forget``: what becomes of measurements."""

from __future__ import annotations

from pathlib import Path

import click

from gemmahub.cli import output
from gemmahub.text import plural
from gemmahub.text.command import command_line


@click.command(name="reset")
@click.argument("reference")
def reset_command(reference: str) -> None:
    """Drop the settings that --tune found for a model.

    It is run with the usual ones again.
    """
    from gemmahub.service import Library
    from gemmahub.service.tuned import reset_tuned

    reset_tuned(Library(say=output.note), reference)
    output.note("the usual settings are used again")


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--as", "name", help="How the other machine is called [the file's name].")
def import_command(file: Path, name: str | None) -> None:
    """Import results of another machine, to compare with this one.

    FILE is what bench --export or --json wrote there. They are marked as that machine's, and steer
    nothing here.
    """
    from gemmahub.service import Library
    from gemmahub.service.benching.kept import import_results

    origin, count = import_results(Library(say=output.note), file, name)
    output.note(f"imported {plural(count, 'result')} of another machine as {origin}")
    output.note(f"{command_line('bench', 'forget', origin)} forgets them")


@click.command(name="forget")
@click.argument("name")
def forget_command(name: str) -> None:
    """Forget imported results, by the name they were imported under."""
    from gemmahub.service import Library
    from gemmahub.service.benching.kept import forget_results

    count = forget_results(Library(say=output.note), name)
    output.note(f"forgot {plural(count, 'result')}")
