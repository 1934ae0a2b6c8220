"""Size against quality, in dots: for ``gemmahub list --plot`` and ``gemmahub compare --plot``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.cli import output
from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.service import Library
    from gemmahub.service.comparing.records import Comparison
    from gemmahub.text.plot import Segment

_CELLS: Final = 120
_ROWS: Final = 22
_COMPARED_ROWS: Final = 9
_NAME: Final = 60
_COLOURS: Final = {"best": "32", "axis": "2"}


def show_library(library: Library, *, catalogue: bool) -> None:
    """A dot for each variant that is here; with ``catalogue`` also for those that are known."""
    from gemmahub.service import Requirements
    from gemmahub.service.overview import LibraryReading
    from gemmahub.service.size_quality import measures_of, size_plot

    overview = LibraryReading(library).overview(Requirements(), library.machine_for())
    rows = [row.sized for row in overview.rows if catalogue or row.installed]
    variants = [each for each in rows if each is not None]
    measures = measures_of(variants)
    if not measures:
        output.note("no two variants here have a size and a figure of quality: --all shows more")
        return
    measure = measures[0]
    plot, _ = size_plot(variants, measure, name=lambda text: one_line(text, _NAME))
    _show(f"size against {measure.name}: {measure.about}", plot.rows(_width(), _ROWS))


def show_compared(comparison: Comparison) -> None:
    """A dot for each side, by its letter; a plot for each measure that two sides have."""
    from gemmahub.service.comparing.text import size_plots

    plots = list(size_plots(comparison, _width(), _COMPARED_ROWS))
    if not plots:
        output.note("no plot: fewer than two of them have a size and a figure of quality")
    for measure, rows in plots:
        output.data("")
        _show(f"size against {measure.name}: {measure.about}", rows)


def _width() -> int:
    return min(_CELLS, output.width())


def _show(title: str, rows: list[list[Segment]]) -> None:
    from gemmahub.service.size_quality import LEGEND

    output.data(output.painted(title, "1"))
    for row in rows:
        output.data(
            *(output.painted(text, _COLOURS[s]) if s in _COLOURS else text for text, s in row)
        )
    output.data(LEGEND)
