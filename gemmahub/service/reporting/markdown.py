"""A report as Markdown: the tables and the words, without the plots."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from gemmahub import __version__
from gemmahub.service.reporting.words import METHOD, others_rows, plot_words, title
from gemmahub.text import one_line
from gemmahub.text.markdown import markdown_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gemmahub.service.reporting import VariantReport

_LONG = 600


def as_markdown(report: VariantReport, now: datetime | None = None) -> str:
    """The text of a file."""
    return "\n".join(_lines(report, now or datetime.now())) + "\n"


def _lines(report: VariantReport, now: datetime) -> Iterator[str]:
    yield f"# {markdown_line(title(report))}"
    yield ""
    yield f"{markdown_line(report.machine)} · {now:%Y-%m-%d} · gemmahub {__version__}"
    yield ""
    for letter, side in zip(report.letters, report.comparison.sides, strict=True):
        summary = markdown_line(side.variant.precision.summary)
        yield f"- **{letter}** `{one_line(side.variant.reference, _LONG)}`: {summary}"
    for section in report.sections:
        yield from ("", f"## {section.title[:1].upper()}{section.title[1:]}", "")
        rows = [(row.label, *(cell.marked for cell in row.cells)) for row in section.rows]
        yield from _table(("", *report.letters), rows)
        if section.remarks:
            yield ""
        for remark in section.remarks:
            yield f"- {'**!** ' if remark.warning else ''}{markdown_line(str(remark))}"
    if report.others:
        yield from ("", "## Measured on other machines", "")
        yield from _table(("from", "machine", "what", "result"), others_rows(report.others))
    missing = [
        words
        for words, found in zip(
            plot_words(report), (report.precisions, report.memory, report.speeds), strict=True
        )
        if not found
    ]
    for words in missing:
        yield from ("", f"{words.missing} `{words.command}`")
    if report.comparison.differences:
        yield from ("", "## Differences", "")
        yield from (
            f"- {markdown_line(str(difference))}" for difference in report.comparison.differences
        )
    yield from ("", "## How to read this")
    for paragraph in METHOD:
        yield from ("", paragraph)


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heading) + " |"
    yield "|" + " --- |" * len(heading)
    for row in rows:
        yield "| " + " | ".join(map(markdown_line, row)) + " |"
