"""``gemmahub search``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.cli.selecting import selection_options
from gemmahub.text import format_bytes, one_line, plural

if TYPE_CHECKING:
    from gemmahub.service.model_filter import Selection
    from gemmahub.service.searching import FileRow, RepositoryRow


@click.command(name="search")
@click.argument("text", nargs=-1, required=True)
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Most repositories to show.",
)
@selection_options
@answer_options("search")
def search_command(text: tuple[str, ...], limit: int, selection: Selection, form: Form) -> None:
    """Find models to download, with the precision of each file.

    It searches Hugging Face and the sources of plugins. TEXT is one or more words in the name of a
    repository. Hugging Face repositories of the catalogue come first, then Google's, then the
    others by downloads.
    """
    from gemmahub.service import Library
    from gemmahub.service.model_facts import engines_by_format
    from gemmahub.service.model_filter import selected_repositories

    words, library = " ".join(text), Library(say=output.note)
    found = library.search(words, limit)
    engines = engines_by_format(library.plugins_manager) if selection.names_engines else {}
    rows = selected_repositories(found, selection, engines)
    form.answer(
        lambda: {"repositories": [row.as_json() for row in rows]},
        lambda: _show_found(rows, words, filtered=bool(found)),
    )


def _show_found(rows: list[RepositoryRow], words: str, *, filtered: bool) -> None:
    if not rows:
        none = f"there is no repository for {one_line(words)!r}; try fewer words"
        output.note("no file that was found passes the filter" if filtered else none)
        return
    if sys.stdout.isatty():
        for row in rows:
            _show(row)
    else:
        _show_lines(rows)
    if any(file.file.basis == "by name" for row in rows for file in row.files):
        output.note(
            "~ from the name only: gemmahub inspect REF measures it, without downloading it"
        )
    output.note("download one: gemmahub pull REF")


def _show(row: RepositoryRow) -> None:
    """A repository as a headline, its files below it."""
    repository = row.repository
    output.data("")
    output.data(output.painted(one_line(repository.name), "1"))
    output.paragraph(" · ".join(_about(row)), indent=2)
    if row.files:
        output.table(
            ("  pull", "precision", "bits", "size", "fit"),
            [(f"  {_ending(row, file)}", *_cells(file)) for file in row.files],
            right=("bits", "size"),
        )


def _show_lines(rows: list[RepositoryRow]) -> None:
    """One line a file, for pipes."""
    output.table(
        ("reference", "precision", "bits/weight", "size", "fit", "about"),
        [
            (file.file.catalogued or file.file.reference, *_cells(file), ", ".join(_about(row)))
            for row in rows
            for file in row.files
        ],
        right=("bits/weight", "size"),
    )


def _about(row: RepositoryRow) -> list[str]:
    repository = row.repository
    downloads = repository.downloads
    return [
        part
        for part in (
            f"{row.member.text} (runs in {row.member.runs})" if row.member else "",
            "in the catalogue" if repository.catalogued else "",
            "official" if repository.official else "",
            "gated: accept its licence there first" if repository.gated else "",
            "private" if repository.private else "",
            "with projector" if repository.projector else "",
            f"licence {repository.licence}" if repository.licence else "",
            f"{plural(downloads, 'download')} in 30 days" if downloads is not None else "",
            "" if row.files else "no model file of a known format",
        )
        if part
    ]


def _ending(row: RepositoryRow, file: FileRow) -> str:
    """What names a file: its catalogue name, its label where it is the only one, else its path."""
    found = file.file
    if found.catalogued:
        return found.catalogued
    if "://" in row.repository.name:  # another source's: labels name files at Hugging Face alone
        return f"/{one_line(found.path, 60)}"
    labels = [other.file.label for other in row.files]
    if found.label and labels.count(found.label) == 1:
        return f":{found.label}"
    return one_line(found.path, 60)


def _cells(row: FileRow) -> tuple[str, ...]:
    file = row.file
    qat = " QAT" if file.qat and "QAT" not in (file.label or "").upper() else ""
    form = "" if file.format == "gguf" else f" {file.format}"
    kind = "" if file.kind == "text" else f", {file.kind}"
    by_name = "~" if file.basis == "by name" else ""
    doubt = "" if row.confirmed else ", unconfirmed"
    return (
        f"{by_name}{file.label or '?'}{qat}{form}{kind}{doubt}",
        "?" if row.bits_per_weight is None else f"{row.bits_per_weight:.2f}",
        format_bytes(file.size_bytes),
        row.fit.short,
    )
