"""``gemmahub compare``."""

from __future__ import annotations

import sys
from textwrap import wrap
from typing import TYPE_CHECKING, Final

import click

from gemmahub.cli import output
from gemmahub.cli.forms import Form, answer_options
from gemmahub.cli.references import reference_argument
from gemmahub.cli.shared_options import MACHINE_HELP, use_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.service.comparing import Comparison
    from gemmahub.service.comparing.table import Row, Section

_LEAST: Final = 17  # characters a cell needs: 12.34 GiB too big
_GAP: Final = 1
_BOLD: Final = "1"


@click.command(name="compare")
@reference_argument("references", nargs=-1, metavar="REF REF [REF]...")
@use_option
@click.option("--memory", help="Assume a GPU of this size: 24GiB.")
@click.option("--ram", help="Assume this much system memory: 64GiB.")
@click.option("--machine", help=MACHINE_HELP)
@click.option("--plot", is_flag=True, help="Also draw size against quality.")
@answer_options("compare")
def compare_command(
    references: tuple[str, ...], use: str, plot: bool, form: Form, **machine: str | None
) -> None:
    """Compare variants side by side.

    It shows precision by role, memory, speed and quality, and what differs. A REF is anything that
    `inspect` accepts. A variant that is neither installed nor in the catalogue is read from its
    remote header, without downloading it.
    """
    from gemmahub.service import Library, Requirements

    library = Library(say=output.note)
    comparison = library.compare(references, Requirements(use), library.machine_for(**machine))
    form.answer(comparison.as_json, lambda: _show(comparison, plot))


def _show(comparison: Comparison, plot: bool) -> None:
    from gemmahub.service.comparing.rows import sections
    from gemmahub.service.comparing.text import machine_line, name_line

    for number, side in enumerate(comparison.sides):
        _hanging(name_line(number, side), 3)
    output.data("")
    _hanging(machine_line(comparison))
    found = sections(comparison)
    count = len(comparison.sides)
    label = max(len(row.label) for section in found for row in section.rows) + 2
    step = _columns(label, count)
    for start in range(0, count, step):
        output.data("")
        _table(found, range(start, min(count, start + step)), label)
    _remarks(found)
    output.data("")
    for difference in comparison.differences:
        _hanging(str(difference), 3)
    if plot:
        from gemmahub.cli.size_plot import show_compared

        show_compared(comparison)


def _columns(label: int, count: int) -> int:
    """How many variants stand side by side; the others follow below. A pipe has room for all."""
    if not sys.stdout.isatty():
        return count
    return min(count, max(1, (output.width() - label) // (_LEAST + _GAP)))


def _table(sections: Sequence[Section], sides: range, label: int) -> None:
    from gemmahub.service.comparing.table import BETTER, lines_of
    from gemmahub.service.comparing.text import letter

    rows = [_of(row, sides) for section in sections for row in section.rows]
    width = max(len(cell.marked) for row in rows for cell in row.cells)
    if sys.stdout.isatty():
        width = min(width, max(1, (output.width() - label) // len(sides) - _GAP))
    between = " " * _GAP
    heading = between.join(letter(number).ljust(width) for number in sides)
    marks = any(cell.better for row in rows for cell in row.cells)
    output.data(output.painted(f"{'':<{label}}{between}{heading}".rstrip(), _BOLD))
    for section in sections:
        output.data(output.painted(section.title, _BOLD))
        for row in section.rows:
            for first, *pieces in lines_of(_of(row, sides), label - 2, width):
                output.data(between.join([f"  {first}", *pieces]).rstrip())
    if marks:
        output.data(f"{BETTER} best in its row")


def _of(row: Row, sides: range) -> Row:
    from dataclasses import replace

    return replace(row, cells=row.cells[sides.start : sides.stop])


def _remarks(sections: Sequence[Section]) -> None:
    for section in sections:
        if section.remarks:
            output.data("")
            output.data(output.painted(section.title, _BOLD))
        for remark in section.remarks:
            _hanging(("! " if remark.warning else "") + str(remark), 2, 2)


def _hanging(text: str, indent: int = 0, before: int = 0) -> None:
    """A paragraph whose further lines are set in; one line in a pipe."""
    from gemmahub.text import strip_controls

    lines = [" " * before + strip_controls(text)]  # before it is measured
    if sys.stdout.isatty():
        start, further = " " * before, " " * (before + indent)
        width = max(20, output.width())
        lines = wrap(lines[0].strip(), width, initial_indent=start, subsequent_indent=further)
    for line in lines:
        output.data(line)
