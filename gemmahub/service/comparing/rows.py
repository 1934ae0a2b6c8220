"""A comparison as rows of cells, with what the figures rest on.

Variants go by letters, A for the first. The command and the terminal UI draw the same rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.precision.roles import ROLES
from gemmahub.service.comparing.measured_rows import measured_section
from gemmahub.service.comparing.table import (
    Remark,
    Row,
    Section,
    TableCell,
    marked,
    remarks_of,
    row_of,
)
from gemmahub.text import format_bytes, format_gib, format_parameters, one_line, percent
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.planning import ContextTotal
    from gemmahub.service.comparing.records import Comparison, Side

SHOWN_CACHES: Final = USUAL_CACHE_TYPES[:2]
"""Cache types whose totals are shown; the largest context is shown for all of them."""

_UNKNOWN: Final = "?"
_NONE: Final = "-"
_CELL: Final = 60
_LONG: Final = 600


def sections(comparison: Comparison) -> tuple[Section, ...]:
    """Everything that is compared, in the order in which it is shown."""
    sides = comparison.sides
    return (
        Section("file", _file_rows(sides)),
        Section("precision, by role", _precision_rows(sides), _precision_remarks(sides)),
        Section(
            "memory, by context and cache type", _memory_rows(sides), _memory_remarks(comparison)
        ),
        Section(
            "speed, with the recommended settings",
            _speed_rows(sides),
            remarks_of(side.speed_basis for side in sides),
        ),
        Section(
            "quality, and what it rests on",
            _quality_rows(sides),
            remarks_of(one_line(side.quality.as_text(), _LONG) for side in sides),
        ),
        measured_section(sides),
    )


# --- rows --------------------------------------------------------------------------------------


def _file_rows(sides: Sequence[Side]) -> tuple[Row, ...]:
    sizes = [side.variant.size_bytes for side in sides]
    weights = [side.variant.parameters for side in sides]
    fits = [_fit_word(side) for side in sides]
    return (
        row_of("size", sizes, format_bytes, smaller=True),
        Row("weights", tuple(TableCell(format_parameters(n) if n else _UNKNOWN) for n in weights)),
        Row("fits", tuple(map(TableCell, fits))),
    )


def _fit_word(side: Side) -> str:
    fit = side.fit
    if fit.fits is None:
        return "not known"
    if fit.fits:
        return "tight" if fit.tight else "yes"
    return "partly on the GPU" if side.plan else "NO"


def _precision_rows(sides: Sequence[Side]) -> tuple[Row, ...]:
    reports = [side.variant.precision for side in sides]
    bits = [_UNKNOWN if r.bits_per_weight is None else f"{r.bits_per_weight:.2f}" for r in reports]
    known = {role.role for side in sides for role in side.roles}
    return (
        Row("precision", tuple(TableCell(one_line(report.short, _CELL)) for report in reports)),
        Row("bits/weight", tuple(map(TableCell, bits))),
        Row("training", tuple(TableCell(report.training.value) for report in reports)),
        *(
            Row(role, tuple(TableCell(_role(side, role)) for side in sides), role)
            for role in (*ROLES, *sorted(known - set(ROLES)))
            if role in known
        ),
    )


def _role(side: Side, role: str) -> str:
    """``62% Q4_K, Q6_K``."""
    if not side.measured:
        return _UNKNOWN
    found = next((entry for entry in side.roles if entry.role == role), None)
    if found is None:
        return _NONE
    return f"{percent(found.share)} {one_line(', '.join(found.types), _CELL)}"


def _memory_rows(sides: Sequence[Side]) -> tuple[Row, ...]:
    contexts = sorted({total.context for side in sides for total in side.memory.totals})
    rows = [
        _totals_row(f"{context:,} {cache}", [side.memory.at(context, cache) for side in sides])
        for cache in SHOWN_CACHES
        for context in contexts
    ]
    for cache in USUAL_CACHE_TYPES:
        largest = [dict(side.memory.largest_contexts).get(cache) for side in sides]
        rows.append(row_of(f"at most {cache}", largest, _largest))
    known = [row for row in rows if any(cell.text not in (_UNKNOWN, _NONE) for cell in row.cells)]
    unknown = tuple(TableCell(_UNKNOWN) for _ in sides)
    return tuple(known) or (Row("needed", unknown),)


def _largest(tokens: int | None) -> str:
    return _NONE if tokens is None else f"{tokens:,}" if tokens else "none fits"


def _totals_row(label: str, totals: Sequence[ContextTotal | None]) -> Row:
    """Only where all fit one is better."""
    cells = [
        TableCell(_NONE)
        if total is None
        else TableCell(
            f"{format_gib(total.total_bytes)} {'fits' if total.fits else 'too big'}",
            fits=total.fits,
            share=total.share,
        )
        for total in totals
    ]
    taken = [total.total_bytes if total and total.fits else None for total in totals]
    return marked(label, cells, taken, smaller=True)


def _speed_rows(sides: Sequence[Side]) -> tuple[Row, ...]:
    from gemmahub.recommend.reasons import speed_text

    likely = [side.speed.likely if side.speed else None for side in sides]
    speeds = [TableCell(speed_text(side.plan) if side.plan else _UNKNOWN) for side in sides]
    return (
        Row("settings", tuple(TableCell(_settings(side)) for side in sides)),
        marked("tokens/s", speeds, likely),
    )


def _settings(side: Side) -> str:
    if side.plan is None:
        return _NONE
    chosen = side.plan.settings
    layers = len(side.plan.candidate.architecture.layers)
    parts = side.plan.placement.in_words(layers)
    left = f", {parts} in system memory" if parts else ""
    return f"{chosen.context:,} {chosen.cache_type_k}{left}"


def _quality_rows(sides: Sequence[Side]) -> tuple[Row, ...]:
    scores = [side.quality.score for side in sides]
    shares = [side.quality.loss.share for side in sides]
    losses = [None if share is None else round(share, 4) for share in shares]
    return (
        row_of("published score", scores, lambda n: "none" if n is None else f"{n:g}"),
        row_of(
            "lost, about", losses, lambda n: "not known" if n is None else f"{n:.1%}", smaller=True
        ),
    )


# --- remarks -----------------------------------------------------------------------------------


def _precision_remarks(sides: Sequence[Side]) -> tuple[Remark, ...]:
    reports = [side.variant.precision for side in sides]
    unmeasured = ["" if side.measured else f"not measured, {_read(side)}" for side in sides]
    return (
        *remarks_of(unmeasured, warning=True),
        *remarks_of((one_line(r.mismatch or "", _LONG) for r in reports), warning=True),
        *remarks_of((one_line(r.training.note, _LONG) for r in reports), warning=True),
        *remarks_of(f"{r.training.value}: {one_line(r.training.basis, _LONG)}" for r in reports),
    )


def _read(side: Side) -> str:
    if side.variant.served is not None:
        return "so its precision is what its server states"
    command = command_line("inspect", one_line(side.variant.reference, _LONG), remote=True)
    return f"so its precision is from its name: {command} reads it from the header"


def _memory_remarks(comparison: Comparison) -> tuple[Remark, ...]:
    sides = comparison.sides
    reasons = [f"not known: {side.memory.reason}" if side.memory.reason else "" for side in sides]
    bases = [f"by formula, checked on {s.memory.engine}" if s.memory.engine else "" for s in sides]
    return (*remarks_of(reasons, warning=True), *remarks_of(bases))
