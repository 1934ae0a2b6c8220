"""A report's plots, each an SVG picture that stands in the page itself."""

from __future__ import annotations

import re
from io import StringIO
from math import log2
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendMissing
from gemmahub.python_environment import install_command
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.service.reporting.curves import Curve, PrecisionPoint

# Okabe and Ito, "Color Universal Design" (2008): told apart by people who see fewer colours, and
# on light and dark ground alike; the lightest of the eight is left out.
_COLORS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
_SEEN: Final = 1.6
"""Times the largest total from which on the line of free memory would press the curves down."""
_INK: Final = "#010203"
"""Drawn in this colour is what takes the page's own, light or dark."""
_SIZE: Final = (7.2, 3.8)
_GIB: Final = 1 << 30
_FIXED_SIZE: Final = re.compile(r'\s(?:width|height)="[^"]*"')


def memory_plot(curves: Sequence[Curve], free_bytes: int | None) -> str:
    """GiB by tokens of context: 16-bit caches as lines, others dashed; a line for what is free."""
    figure, axes = _figure("tokens of context", "GiB of memory")
    first = curves[0].kind
    for curve in curves:
        xs, ys = [x for x, *_ in curve.points], [y / _GIB for _, y, *_ in curve.points]
        main = curve.kind == first
        axes.plot(
            xs,
            ys,
            color=_color(curve.letter),
            linestyle="-" if main else "--",
            linewidth=1.8 if main else 1.2,
            label=f"{curve.letter}, {curve.kind}",
        )
    axes.set_xscale("log", base=2)
    _contexts(axes, [x for curve in curves for x, *_ in curve.points])
    most = max(y for curve in curves for _, y, *_ in curve.points)
    if free_bytes is not None and free_bytes < _SEEN * most:
        axes.axhline(free_bytes / _GIB, color=_INK, linewidth=1, linestyle=":")
        axes.annotate(
            f"free now: {format_gib(free_bytes)}",
            (0.01, free_bytes / _GIB),
            xycoords=("axes fraction", "data"),
            va="bottom",
            fontsize=8,
            color=_INK,
        )
    axes.set_ylim(bottom=0)
    return _svg(figure, axes)


def speed_plot(curves: Sequence[Curve]) -> str:
    """Tokens a second by tokens in the cache: medians, and bars from the lowest to the highest."""
    figure, axes = _figure("tokens in the cache", "tokens/s of the answer")
    for curve in curves:
        xs, ys = [x for x, *_ in curve.points], [y for _, y, *_ in curve.points]
        below = [y - low for _, y, low, _ in curve.points]
        above = [high - y for _, y, _, high in curve.points]
        axes.errorbar(
            xs,
            ys,
            yerr=(below, above),
            color=_color(curve.letter),
            marker=_marker(curve.letter),
            capsize=3,
            label=curve.letter,
        )
    axes.set_ylim(bottom=0)
    return _svg(figure, axes)


def precision_plot(points: Sequence[PrecisionPoint]) -> str:
    """Divergence by bits per weight: a dot a variant with its standard error."""
    figure, axes = _figure("bits per weight", "mean divergence (nats)")
    for point in points:
        axes.errorbar(
            [point.bits_per_weight],
            [point.divergence],
            yerr=[point.error],
            color=_color(point.letter),
            marker=_marker(point.letter),
            capsize=3,
            linestyle="none",
            fillstyle="full" if point.divergence or point.error else "none",
        )
        axes.annotate(
            point.letter,
            (point.bits_per_weight, point.divergence),
            xytext=(6, 4),
            textcoords="offset points",
            fontsize=9,
            color=_INK,
        )
    axes.set_ylim(bottom=0)
    return _svg(figure, axes, legend=False)


def _figure(across: str, up: str) -> tuple[Any, Any]:
    """Raises: BackendMissing where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BackendMissing(
            "plots need matplotlib, which is not installed",
            f"{install_command('gemmahub[report]')}, or use --markdown, which has tables only",
        ) from error
    figure = Figure(figsize=_SIZE, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(across, color=_INK)
    axes.set_ylabel(up, color=_INK)
    axes.tick_params(colors=_INK)
    axes.grid(color=_INK, alpha=0.15, linewidth=0.6)
    for side in axes.spines.values():
        side.set_color(_INK)
        side.set_alpha(0.4)
    return figure, axes


def _contexts(axes: Any, contexts: Iterable[float]) -> None:
    """Powers of two as people write them, every second one where there are many."""
    least, most = min(contexts := list(contexts)), max(contexts)
    powers = range(int(log2(least)), int(log2(most)) + 1)
    ticks = [2**power for power in powers][:: 1 if len(powers) < 9 else 2]
    axes.set_xticks(ticks, [f"{tick // 1024}k" for tick in ticks])
    axes.minorticks_off()


def _color(letter: str) -> str:
    return _COLORS[(ord(letter) - ord("A")) % len(_COLORS)]


def _marker(letter: str) -> str:
    return _MARKERS[(ord(letter) - ord("A")) // len(_COLORS) % len(_MARKERS)]


def _svg(figure: Any, axes: Any, *, legend: bool = True) -> str:
    """The picture alone, in the page's colours and with texts that can be found and read aloud."""
    import matplotlib as mpl

    if legend:
        axes.legend(frameon=False, fontsize=8, labelcolor=_INK, ncols=2)
    written = StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gemmahub"}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    picture = text[text.index("<svg") :].replace(_INK, "currentColor")
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture, flags=re.DOTALL)
    opening, _, rest = picture.partition(">")  # its size is the page's matter
    return f'{_FIXED_SIZE.sub("", opening)} role="img">{rest}'
