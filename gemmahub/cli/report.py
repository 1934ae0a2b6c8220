"""``gemmahub report``: one file that shows what variants are, take and lose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.shared_options import use_option
from gemmahub.errors import UsageError
from gemmahub.records.text_file import check_new, write_text_file

if TYPE_CHECKING:
    from gemmahub.service.reporting import VariantReport


@click.command(name="report")
@click.argument("references", nargs=-1, required=True, metavar="REF...")
@click.option("--html", type=click.Path(path_type=Path), help="Write one HTML page with plots.")
@click.option("--markdown", type=click.Path(path_type=Path, allow_dash=True),
              help='Write Markdown without plots; "-" prints it.')  # fmt: skip
@use_option
@click.option("--force", is_flag=True, help="Replace existing files.")
def report_command(
    references: tuple[str, ...],
    html: Path | None,
    markdown: Path | None,
    use: str,
    force: bool,
) -> None:
    """Write a report about models, with plots.

    It shows precision, memory, speed and quality, each with its doubts. It contains what `bench`
    and `quality` measured on this machine, and names the command for each missing figure. It needs
    no network and contains no path, user name or machine name.
    """
    from gemmahub.service import Library, Requirements
    from gemmahub.service.reporting import report_on

    if html is None and markdown is None:
        raise UsageError("no file to write was given", "use --html FILE, --markdown FILE, or both")
    for path in filter(None, (html, markdown)):
        if str(path) != "-":
            check_new(path, replace=force)
    library = Library(say=output.note)
    report = report_on(library, references, Requirements(use))
    if html is not None:
        _write(html, _html(report), force=force)
    if markdown is not None:
        from gemmahub.service.reporting.markdown import as_markdown

        text = as_markdown(report)
        if str(markdown) == "-":
            output.data(text.rstrip("\n"))
        else:
            _write(markdown, text, force=force)


def _html(report: VariantReport) -> str:
    from gemmahub.service.reporting.page import as_html

    return as_html(report)


def _write(path: Path, text: str, *, force: bool) -> None:
    write_text_file(path, text, replace=force)
    output.note(f"wrote {path}")
