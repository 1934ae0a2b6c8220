"""A report as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING

from gemmahub import __version__
from gemmahub.service.reporting import plots
from gemmahub.service.reporting.words import METHOD, others_rows, plot_words, title
from gemmahub.text import strip_controls

if TYPE_CHECKING:
    from gemmahub.service.reporting import VariantReport
    from gemmahub.service.reporting.words import PlotWords


@dataclass(frozen=True, slots=True)
class _Plot:
    title: str
    caption: str
    missing: str
    command: str
    picture: str


def as_html(report: VariantReport, now: datetime | None = None) -> str:
    """The page. Raises: BackendMissing where matplotlib is not installed."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, finalize=_harmless)
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    template = files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    precision, memory, speed = plot_words(report)
    return environment.from_string(template).render(
        title=title(report),
        version=__version__,
        day=f"{now or datetime.now():%Y-%m-%d}",
        report=report,
        sides=list(zip(report.letters, report.comparison.sides, strict=True)),
        plots=[
            _plot(precision, plots.precision_plot(report.precisions) if report.precisions else ""),
            _plot(
                memory,
                plots.memory_plot(report.memory, report.free_bytes) if report.memory else "",
            ),
            _plot(speed, plots.speed_plot(report.speeds) if report.speeds else ""),
        ],
        differences=[str(difference) for difference in report.comparison.differences],
        others=others_rows(report.others),
        method=METHOD,
    )


def _plot(words: PlotWords, picture: str) -> _Plot:
    return _Plot(words.title, words.caption, words.missing, words.command, picture)


def _harmless(value: object) -> object:
    """Texts of models and files without control characters."""
    return strip_controls(value) if type(value) is str else value
