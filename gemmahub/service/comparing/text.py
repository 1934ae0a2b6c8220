"""A comparison in words: its variants, the machine, and what sets the variants apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.precision.training import QAT
from gemmahub.service.comparing.records import Difference
from gemmahub.service.size_quality import measures_of, size_plot
from gemmahub.text import format_bytes, format_gib, format_parameters, one_line
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gemmahub.precision.report import PrecisionReport
    from gemmahub.service.comparing.records import Comparison, Side
    from gemmahub.service.size_quality import QualityMeasure
    from gemmahub.text.plot import Segment

_AT: Final = 32_768  # tokens of context at which the memory is compared
_SEEN: Final = 0.01  # of the weights: a role that holds less is not worth a word
_CELL: Final = 60
_MIB: Final = 1 << 20
_LONG: Final = 600


def letter(number: int) -> str:
    """What a side is called: A for the first."""
    return chr(ord("A") + number)


def differences(sides: Sequence[Side]) -> tuple[Difference, ...]:
    """What sets each side apart from the first one."""
    first, *others = sides
    return tuple(
        Difference(
            (letter(number), letter(0)),
            side.variant.reference,
            first.variant.reference,
            tuple(filter(None, _words(side, first))),
        )
        for number, side in enumerate(others, 1)
    )


def name_line(number: int, side: Side) -> str:
    """``A  gemma-3-4b-it:q4_0-qat · Gemma 3 4B · not here``."""
    return f"{letter(number)}  {one_line(side.variant.reference, _LONG)} · {about(side)}"


def about(side: Side) -> str:
    """The model's name, and where it is."""
    variant = side.variant
    place = ", ".join(variant.places) or variant.remote or "not here"
    return f"{one_line(variant.name)} · {one_line(place)}"


def size_plots(
    comparison: Comparison, width: int, height: int
) -> Iterator[tuple[QualityMeasure, list[list[Segment]]]]:
    """Size against quality, ``height`` rows for each measure that two sides or more have."""
    letters = {side.variant.reference: letter(n) for n, side in enumerate(comparison.sides)}
    variants = [each for side in comparison.sides if (each := side.sized) is not None]
    for measure in measures_of(variants):
        if measure.name == "lost":
            continue  # the score of variants of one model says the same
        plot, _ = size_plot(variants, measure, name=letters.__getitem__)
        yield measure, plot.rows(width, height)


def machine_line(comparison: Comparison) -> str:
    """The machine with what is free there."""
    machine = comparison.machine
    name = machine.name or ("simulated machine" if machine.simulated else "this machine")
    free = ", ".join(f"{place} {format_gib(count)}" for place, count in comparison.free)
    return f"{one_line(name)} · free: {free or 'not known'}"


def compare_command(references: Sequence[str], use: str, machine: Mapping[str, str]) -> str:
    """The command that shows the same, as a shell takes it; ``machine`` are its options for
    another machine."""
    return command_line("compare", *references, **machine, use=None if use == "chat" else use)


def _words(side: Side, other: Side) -> Iterator[str]:
    ours, theirs = side.variant, other.variant
    yield _size_words(ours.size_bytes, theirs.size_bytes)
    if ours.parameters and theirs.parameters:
        mine, its = format_parameters(ours.parameters), format_parameters(theirs.parameters)
        yield f"{mine} against {its} weights" if mine != its else ""
    yield from _precision_words(side, other)
    yield _memory_words(side, other)
    yield _context_words(side, other)
    yield _speed_words(side, other)
    yield _quality_words(side, other)


def _size_words(size: int | None, other: int | None) -> str:
    if not size or not other or size == other:
        return ""
    return f"{format_bytes(abs(size - other))} {'smaller' if size < other else 'larger'}"


def _precision_words(side: Side, other: Side) -> Iterator[str]:
    ours, theirs = side.variant.precision, other.variant.precision
    if ours.bits_per_weight != theirs.bits_per_weight:
        unmeasured = "" if side.measured and other.measured else " (? is not measured)"
        yield f"{_bits(ours)} against {_bits(theirs)} bits/weight{unmeasured}"
    if (ours.training.value == QAT) != (theirs.training.value == QAT):
        yield f"{ours.training.value} against {theirs.training.value}"
    types = {role.role: role.types for role in other.roles}
    for role in side.roles:
        if role.share >= _SEEN and role.types[0] != types.get(role.role, role.types)[0]:
            yield f"{role.role} in {one_line(role.types[0], _CELL)} against " + one_line(
                types[role.role][0], _CELL
            )


def _bits(report: PrecisionReport) -> str:
    return "?" if report.bits_per_weight is None else f"{report.bits_per_weight:.2f}"


def _memory_words(side: Side, other: Side) -> str:
    """At the largest context up to ``_AT`` that both were trained for."""
    ours, theirs = (
        {t.context: t.total_bytes for t in s.memory.totals if t.cache_type == "f16"}
        for s in (side, other)
    )
    context = max((c for c in ours if c in theirs and c <= _AT), default=None)
    by = 0 if context is None else ours[context] - theirs[context]
    if context is None or abs(by) < _MIB:
        return ""
    return f"{format_gib(abs(by))} {'less' if by < 0 else 'more'} memory with {context:,} tokens"


def _context_words(side: Side, other: Side) -> str:
    one, two = (dict(s.memory.largest_contexts).get("f16") for s in (side, other))
    if one is None or two is None or one == two:
        return ""
    return f"at most {one:,} tokens against {two:,}" if one else f"does not fit, against {two:,}"


def _speed_words(side: Side, other: Side) -> str:
    if side.speed is None or other.speed is None or not other.speed.likely:
        return ""
    times = side.speed.likely / other.speed.likely
    return "" if 0.95 < times < 1.05 else f"{times:.2g} times as fast"


def _quality_words(side: Side, other: Side) -> str:
    one, two = side.quality, other.quality
    if one.score is not None and two.score is not None and one.score != two.score:
        return f"published score {one.score:g} against {two.score:g}"
    if one.loss.share is None or two.loss.share is None:
        return ""
    losses = f"{one.loss.share:.1%}", f"{two.loss.share:.1%}"
    if losses[0] == losses[1]:
        return ""
    return f"about {losses[0]} against {losses[1]} of the score lost by the precision"
