"""The texts of the detail pane: what a variant is, what it takes, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content

from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.service.measured import commands_missing, figures_in_words
from gemmahub.text import duration, format_bytes, format_gib, format_parameters, one_line
from gemmahub.text.command import command_line
from gemmahub.tui.bars import legend, memory_bar, precision_parts, stacked
from gemmahub.tui.columns import prompt_time

if TYPE_CHECKING:
    from gemmahub.planning import Plan
    from gemmahub.service.memory_curve import MemoryCurve
    from gemmahub.service.overview import ModelRow
    from gemmahub.tui.slider import Slider

_LONG = 600


def memory(plan: Plan, width: int) -> Content:
    """A bar for each place that is used."""
    places = [place for place in plan.memory.places if place.total_bytes]
    return Content("\n").join(memory_bar(place, width) for place in places)


_CURVE_ROWS: Final = 8
CURVE_LINES: Final = _CURVE_ROWS + 1
"""Of :func:`curve`."""
_CURVE_STYLES: Final = {"f16": "$text-primary", "q8_0": "$text-success", "q4_0": "$text-accent"}
_STYLES: Final = {"limit": "$text-error", "point": "bold $foreground"}
DOT_STYLES: Final = {
    "best": "$text-success",
    "point": "bold $text-primary",
    "axis": "$foreground-muted",
}
"""How a plot of dots is drawn: those that are the best of their size, and the chosen one."""


def curve(found: MemoryCurve, slider: Slider, cache_type: str, width: int) -> Content:
    """Memory against context above the slider's track, a line for each cache type."""
    start, cells = slider.above(width)
    drawn = found.plot(cache_type, slider.value, _CURVE_STYLES)
    names = 1 + max(len(name) for name in found.totals)
    rows = [
        Content.assemble(" " * start, *((text, _STYLES.get(name, name)) for text, name in row))
        for row in drawn.rows(cells + names, _CURVE_ROWS)
    ]
    told = f"{found.device}: memory by context, ┄ {format_gib(found.free_bytes)} free"
    return Content("\n").join([Content.styled(told, "$foreground-muted"), *rows])


def no_plan(row: ModelRow, reason: str) -> Content:
    """Why nothing can be planned."""
    return Content.styled(f"No plan: {one_line(reason or row.fit.reason)}", "$foreground-muted")


def title(row: ModelRow, width: int) -> Content:
    """Name and size, the precision, and what it can do, a line each."""
    variant = row.variant
    facts = [
        one_line(variant.name),
        f"{format_parameters(variant.parameters)} weights" if variant.parameters else "",
        f"{format_bytes(variant.size_bytes)} {variant.format}" if variant.size_bytes else "",
    ]
    about = " · ".join(filter(None, facts))
    return Content.assemble(
        Content.styled(about, "$foreground-muted").truncate(width, ellipsis=True),
        ("\n" + one_line(variant.precision.summary), "bold $text-accent"),
        ("\n" + " · ".join(at_a_glance(row)), ""),
    )


def at_a_glance(row: ModelRow) -> list[str]:
    """What it can do, what using it takes, how long a prompt and a download take."""
    variant = row.variant
    found = [
        ", ".join(row.abilities) or variant.what,
        "base model" if row.base else "",
        "gated: accept its licence, log in" if row.gated and not row.installed else "",
        one_line(variant.licence.partition(" (")[0], 60),
    ]
    if (prompt := prompt_time(row)) != "?":
        found.append(f"1,000-token prompt {prompt}")
    if row.download_seconds and variant.size_bytes:
        rate = format_bytes(round(variant.size_bytes / row.download_seconds))
        found.append(f"download about {duration(row.download_seconds)} at the last {rate}/s")
    return [text for text in found if text]


def precision(row: ModelRow, width: int) -> Content:
    """The mix by role, what does not fit the label, and how the training is known."""
    report = row.variant.precision
    parts = precision_parts(report.mix)
    lines = [stacked(parts, width), legend(parts, width)] if parts else []
    if report.mismatch:
        lines.append(Content.styled(f"! {one_line(report.mismatch, _LONG)}", "$text-warning"))
    training = report.training
    lines.append(
        Content.assemble(
            (f"{training.value}: ", "bold"), (one_line(training.basis, _LONG), "$foreground-muted")
        )
    )
    if training.note:
        lines.append(Content.styled(f"! {one_line(training.note, _LONG)}", "$text-warning"))
    return Content("\n").join(lines)


_CACHE: Final = "cache "


def caches(largest: int, chosen: str) -> Content:
    """The cache types, and the largest context that fits with the chosen one."""
    pieces: list[tuple[str, str]] = [(_CACHE, "")]
    for name in USUAL_CACHE_TYPES:
        label = f"[{name}]" if name == chosen else f" {name} "
        pieces.append((label, "bold $text-primary" if name == chosen else "$foreground-muted"))
    pieces.append((f" ≤ {largest:,}" if largest else " none fits", "$foreground-muted"))
    return Content.assemble(*pieces)


def cache_at(x: int) -> str | None:
    """The cache type whose label is at a cell of the line of :func:`caches`."""
    at = len(_CACHE)
    for name in USUAL_CACHE_TYPES:
        if at <= x < at + len(name) + 2:
            return name
        at += len(name) + 2
    return None


def words(row: ModelRow, notes: tuple[str, ...]) -> Content:
    """Reasons, doubts, licence, and where it lies or comes from."""
    variant, lines = row.variant, []
    if variant.embeds:
        lines.append(_point(variant.what))
    if variant.member is not None:
        lines += [_fact("family", variant.member.text), _fact("runs in", variant.member.runs)]
    if row.recommendation is not None:
        lines += [_point(reason) for reason in row.recommendation.reasons]
    else:
        if row.fit.fits is False and row.fit.short_bytes:
            lines.append(_point(f"Too big by {format_gib(row.fit.short_bytes)}: {row.fit.reason}"))
        elif row.fit.reason:
            lines.append(_point(row.fit.reason))
        lines.append(_point(row.quality.as_text()))
    if row.measured or row.variant.artifacts:
        lines.append(_measured(row))
    if variant.outdated is not None:
        lines.insert(
            0, Content.styled(f"! {one_line(variant.outdated.advice, _LONG)}", "$text-warning")
        )
    lines += [_point(note, "$foreground-muted") for note in (*notes, *variant.notes)]
    if variant.licence:
        lines.append(_fact("licence", variant.licence))
    if row.gated:
        lines.append(_fact("gated", "accept the licence on its page, then log in to get it"))
    if variant.served is not None:
        lines.append(_fact("server", variant.places[0]))
    for artifact in variant.artifacts:
        lines.append(_fact(artifact.store or "file", str(artifact.path)))
    for each in row.companions:
        size = "" if each.size_bytes is None else f" · {format_bytes(each.size_bytes)}"
        lines.append(_fact(each.kind, f"{each.name}{size}"))
    if variant.download and not variant.artifacts:
        lines.append(_fact("from", variant.download))
    return Content("\n").join(lines)


def _measured(row: ModelRow) -> Content:
    """What was measured of it here, and the commands that measure the rest."""
    name = one_line(row.variant.reference, _LONG)
    told = list(figures_in_words(row.measured)) or ["nothing yet"]
    if missing := [command_line(each, name) for each in commands_missing(row.measured)]:
        told.append(f"to measure more: {', '.join(missing)}")
    return _fact("measured here:", "; ".join(told))


def _point(text: str, style: str = "") -> Content:
    return Content.assemble(("· ", "$foreground-muted"), (one_line(text, _LONG), style))


def _fact(name: str, text: str) -> Content:
    return Content.assemble((f"{name} ", "bold"), (one_line(text, _LONG), "$foreground-muted"))
