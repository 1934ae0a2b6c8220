"""Ranks candidates by what a person gets: capability less what precision and settings cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gemmahub.errors import DoesNotFit, NotFound
from gemmahub.memory import largest_context
from gemmahub.recommend.goals import RESERVE
from gemmahub.recommend.reasons import reasons_for
from gemmahub.recommend.records import Recommendation
from gemmahub.recommend.settings import Chooser
from gemmahub.recommend.speed import Seen
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.memory import MachineMemory
    from gemmahub.recommend.goals import Wish
    from gemmahub.recommend.records import Candidate, Choice
    from gemmahub.recommend.speed import Bandwidths


@dataclass(frozen=True, slots=True)
class Ranking:
    """All choices, the best first, one of each model unless every variant was wanted."""

    choices: tuple[Choice, ...]
    too_large: tuple[Candidate, ...]
    chooser: Chooser

    def recommendations(self, limit: int | None = None) -> tuple[Recommendation, ...]:
        """The first ``limit`` with their reasons."""
        return tuple(self._described(i) for i in range(len(self.choices))[:limit])

    def _described(self, index: int) -> Recommendation:
        choice = self.choices[index]
        largest = self.largest_context(choice)
        first = self.choices[0] if index else None
        runner_up = self.choices[1] if not index and len(self.choices) > 1 else None
        return Recommendation(
            rank=index + 1,
            choice=choice,
            largest_context=largest,
            reasons=reasons_for(
                choice,
                largest,
                wish=self.chooser.wish,
                first=first,
                runner_up=runner_up,
                too_large=self.too_large if not index else (),
                need=self.need,
            ),
        )

    def largest_context(self, choice: Choice) -> int:
        """The largest context with the same other settings, the reserve left free."""
        candidate = choice.candidate
        return max(
            choice.settings.context,
            largest_context(
                candidate.architecture,
                candidate.weights,
                choice.settings,
                self.chooser.room,
                images=self.chooser.images(candidate),
            ),
        )

    def need(self, candidate: Candidate) -> int:
        """Bytes by which the least settings of a candidate are too large for this machine."""
        least = self.chooser.least(candidate)
        return -self.chooser.plan(candidate, least, self.chooser.room).headroom_bytes


def recommend(
    candidates: Iterable[Candidate],
    machine: MachineMemory,
    wish: Wish,
    bandwidths: Bandwidths,
    bandwidth_source: str = "the memory's bandwidth",
) -> Ranking:
    """The candidates that fit ``machine``, ranked.

    Layers are left in host memory only when nothing fits the accelerators (and never against the
    wish); every plan leaves ``goals.RESERVE`` free. ``bandwidths`` are of the machine's devices in
    their order.

    Raises: NotFound when no candidate can do what is wished; DoesNotFit when none fits, with what
    the smallest would need.
    """
    able = _able(tuple(candidates), wish)
    chooser = Chooser(machine, wish, bandwidths, bandwidth_source)
    chooser.seen = _seen(able, chooser)
    found = [c for c in map(chooser.on_accelerators, able) if c is not None]
    if not found and wish.offload and machine.devices:
        found = [c for c in map(chooser.offloaded, able) if c is not None]
    if not found:
        raise _nothing_fits(able, chooser)
    fitting = {choice.candidate.reference for choice in found}
    groups = {choice.candidate.group for choice in found}
    too_large = [
        c
        for c in able
        if c.reference not in fitting and (wish.every_variant or c.group not in groups)
    ]
    found.sort(key=_order)
    if not wish.every_variant:
        found = list({choice.candidate.group: choice for choice in reversed(found)}.values())
        found.sort(key=_order)
    return Ranking(tuple(found), tuple(too_large), chooser)


def _order(choice: Choice) -> tuple[bool, float, bool, int, str]:
    """Known scores before unknown ones; at equal points what is here, smaller."""
    candidate = choice.candidate
    return (
        choice.quality.score is None,
        -round(choice.points, 2),
        not candidate.installed,
        candidate.weights.bytes,
        candidate.reference,
    )


def _able(candidates: Sequence[Candidate], wish: Wish) -> list[Candidate]:
    """Those that take images where that is wished, and were trained for the wished context.

    Where none was trained for so long a context, all stay: the reasons warn of it.
    """
    able = [c for c in candidates if c.images is not None or not wish.goal.image]
    if not able:
        raise NotFound(
            "no known variant of it takes images"
            if candidates
            else "there is nothing to recommend",
            "leave --use vision out"
            if wish.goal.image
            else "gemmahub list --all shows the catalogue",
        )
    long_enough = [c for c in able if (wish.context or 0) <= c.architecture.context_length]
    return long_enough or able


def _seen(candidates: Sequence[Candidate], chooser: Chooser) -> tuple[Seen, ...]:
    """What the measured candidates showed of this machine."""
    found = []
    for candidate in candidates:
        if not candidate.measured:
            continue
        choice = chooser.on_accelerators(replace(candidate, measured=None))
        seconds = choice.traffic.seconds(chooser.bandwidths) if choice is not None else None
        if choice is not None and seconds:
            found.append(Seen(choice.traffic.bytes, candidate.measured * seconds))
    return tuple(found)


def _nothing_fits(able: Sequence[Candidate], chooser: Chooser) -> DoesNotFit:
    smallest = min(able, key=lambda c: c.weights.bytes)
    plan = chooser.plan(smallest, chooser.least(smallest), chooser.room)
    free = ", ".join(f"{p.device} {format_gib(p.free_bytes)}" for p in plan.places)
    context = chooser.least(smallest).context
    hint = "free some memory, or ask for less with --context"
    if not chooser.wish.offload and chooser.machine.devices:
        hint = "leave --no-offload out, so that a part may stay in system memory"
    return DoesNotFit(
        f"nothing fits: the smallest, {smallest.reference}, takes {format_gib(plan.total_bytes)} "
        f"with {context:,} tokens; beside a reserve of {format_gib(RESERVE)} there is free: {free}",
        hint,
    )
