"""What was measured here, beside each other: perplexity, divergence, speed and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.service.comparing.table import (
    Remark,
    Row,
    Section,
    TableCell,
    marked,
    remarks_of,
    row_of,
)
from gemmahub.service.known_losses import text_in_words
from gemmahub.service.measured import UNMEASURED, commands_missing, estimate_text
from gemmahub.text import format_gib, format_rate, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.measurements.records import DepthSpeed, SpeedResult, Spread
    from gemmahub.service.comparing.records import Side

NOT_MEASURED: Final = "-"
_LONG: Final = 600


def measured_section(sides: Sequence[Side]) -> Section:
    """Figures of this machine, a dash where there are none, and the commands that measure them."""
    return Section(
        "measured on this machine",
        (*_quality_rows(sides), *_speed_rows(sides)),
        (*_bases(sides), *_commands(sides)),
    )


def _quality_rows(sides: Sequence[Side]) -> tuple[Row, ...]:
    found = [side.seen.quality for side in sides]
    perplexities = [None if quality is None else quality.perplexity for quality in found]
    divergences = [quality.divergence if quality else None for quality in found]
    compared = {d.reference.content for d in divergences if d is not None}
    means = [d.mean if d is not None and len(compared) == 1 else None for d in divergences]
    same = [None if d is None else d.same_top for d in divergences]
    return (
        marked(
            "perplexity",
            [TableCell(NOT_MEASURED if p is None else estimate_text(p)) for p in perplexities],
            # One tells of another only where both were trained alike, so none is the best.
            [None for _ in sides],
        ),
        marked(
            "divergence",
            [
                TableCell(estimate_text(d.mean, 5))
                if d is not None
                else TableCell("the reference" if side.is_reference(sides) else NOT_MEASURED)
                for side, d in zip(sides, divergences, strict=True)
            ],
            [None if mean is None else mean.value for mean in means],
            smaller=True,
        ),
        row_of(
            "same top token",
            [None if estimate is None else estimate.value for estimate in same],
            lambda share: NOT_MEASURED if share is None else f"{share:.1%}",
        ),
    )


def _speed_rows(sides: Sequence[Side]) -> tuple[Row, ...]:
    found = [side.seen.speed for side in sides]
    depths = sorted({depth.depth for speed in found if speed for depth in speed.depths})
    rows = [
        _spreads(f"{word} at {depth:,}", found, depth, spread)
        for word, spread in (("answer", _decode), ("prompt", _prefill))
        for depth in depths
    ]
    memory = [speed.memory.engine or speed.memory.process if speed else None for speed in found]
    return (
        *(rows or [Row("answer", tuple(TableCell(NOT_MEASURED) for _ in sides))]),
        row_of(
            "memory taken",
            memory,
            lambda count: NOT_MEASURED if count is None else format_gib(count),
            smaller=True,
        ),
    )


def _decode(depth: DepthSpeed) -> Spread | None:
    return depth.decode


def _prefill(depth: DepthSpeed) -> Spread | None:
    return depth.prefill


def _spreads(
    label: str,
    found: Sequence[SpeedResult | None],
    depth: int,
    spread: Callable[[DepthSpeed], Spread | None],
) -> Row:
    at = [next((d for d in s.depths if d.depth == depth), None) if s else None for s in found]
    spreads = [None if one is None else spread(one) for one in at]
    return marked(
        label,
        [TableCell(NOT_MEASURED if one is None else format_rate(one.median)) for one in spreads],
        [None if one is None else one.median for one in spreads],
    )


def _bases(sides: Sequence[Side]) -> tuple[Remark, ...]:
    qualities = []
    for side in sides:
        quality = side.seen.quality
        if quality is None:
            qualities.append("")
            continue
        other = quality.divergence and quality.divergence.reference
        from_ = (
            f", divergence from {one_line(other.label or other.precision, 200)}" if other else ""
        )
        qualities.append(f"{text_in_words(quality)}{from_}")
    speeds = [
        f"{one_line(side.seen.speed.conditions.build)}, {side.seen.speed.conditions.place}"
        if side.seen.speed
        else ""
        for side in sides
    ]
    doubts = [
        one_line("; ".join(result.conditions.doubts), _LONG) if result else ""
        for side in sides
        for result in (side.seen.speed,)
    ]
    return (*remarks_of(qualities), *remarks_of(speeds), *remarks_of(doubts, warning=True))


def _commands(sides: Sequence[Side]) -> tuple[Remark, ...]:
    """One command for all that lack the same measurement."""
    found: list[Remark] = []
    for name in commands_missing(UNMEASURED):
        lacks = [name in commands_missing(side.seen) for side in sides]
        missing = [
            one_line(side.variant.reference, _LONG)
            for side, one in zip(sides, lacks, strict=True)
            if one
        ]
        text = f"not measured here: {command_line(name, *missing)} measures it"
        found += remarks_of(text if one else "" for one in lacks)
    return tuple(found)
