"""Ranks candidates by what a person gets: capability less what precision and settings cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final

from gemmahub.errors import DoesNotFit, NotFound
from gemmahub.memory import largest_context
from gemmahub.recommend.settings import Chooser, host_reserve
from gemmahub.recommend.speed import Measurement
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmahub.recommend.goals import Requirements
    from gemmahub.recommend.records import Candidate, DevicePlace, ScoredPlan, Worth


@dataclass(frozen=True, slots=True)
class Ranking:
    """Plans, the best first: ``plans`` one of each model unless every variant was wanted, ``every``
    those of the other variants, too. ``able`` are the candidates that can do what is wanted,
    ``disk`` the bytes that are free for new files, None where that is not known."""

    plans: tuple[ScoredPlan, ...]
    every: tuple[ScoredPlan, ...]
    able: tuple[Candidate, ...]
    choosers: tuple[Chooser, ...]
    disk: int | None = None

    @property
    def too_large(self) -> list[Candidate]:
        """What does not fit: where the best of each model is wanted, models of which none does."""
        fitting = {plan.candidate.reference for plan in self.every}
        groups = {plan.candidate.group for plan in self.every}
        each = not self.choosers[0].wanted.best_of_each
        return [
            c for c in self.able if c.reference not in fitting and (each or c.group not in groups)
        ]

    def chooser(self, plan: ScoredPlan) -> Chooser:
        """That of the place that the plan is for."""
        return next(c for c in self.choosers if c.machine.names == plan.devices)

    def largest_context(self, plan: ScoredPlan) -> int:
        """The largest context with the same other settings, the reserve left free."""
        candidate, chooser = plan.candidate, self.chooser(plan)
        return max(
            plan.settings.context,
            largest_context(
                candidate.architecture,
                candidate.weights,
                plan.settings,
                chooser.room,
                images=chooser.images(candidate),
            ),
        )


def recommend(
    candidates: Iterable[Candidate],
    places: Sequence[DevicePlace],
    wanted: Requirements,
    disk: int | None = None,
) -> Ranking:
    """The candidates that fit one of the ``places`` of a machine (at least one), ranked; each where
    it is worth the most, and at equal points in the later place.

    A part of a model stays in system memory where that is worth more (and never where it is not
    wanted); every plan leaves ``goals.RESERVE`` free. What the ``disk`` has no room for stands
    behind all others.

    Raises: NotFound when no candidate can do what is wanted; DoesNotFit when none fits, with what
    the smallest would need.
    """
    able = tuple(_able(tuple(candidates), wanted))
    choosers = tuple(Chooser(place, wanted, disk) for place in places)
    measurements = measurements_of(able, choosers[0])
    for chooser in choosers:
        chooser.measurements = measurements
    found = _best_of_places(able, [chooser.on_accelerators for chooser in choosers])
    if wanted.offload:
        found = _with_parts(able, found, choosers, wanted)
    if not found:
        raise _nothing_fits(able, choosers[0])
    every = tuple(sorted(found, key=_order))
    plans = every
    if wanted.best_of_each:
        plans = tuple({plan.candidate.group: plan for plan in reversed(every)}.values())
        plans = tuple(sorted(plans, key=_order))
    return Ranking(plans, every, able, choosers, disk)


def _best_of_places(
    candidates: Iterable[Candidate],
    choose: Sequence[Callable[[Candidate], ScoredPlan | None]],
) -> list[ScoredPlan]:
    """For each candidate that fits somewhere, the plan of the place where it is worth the most."""
    found = []
    for candidate in candidates:
        plans = [plan for chosen in choose if (plan := chosen(candidate)) is not None]
        if plans:
            found.append(max(reversed(plans), key=lambda plan: plan.worth))
    return found


_NOTHING: Final = (False, False, -inf)


def _with_parts(
    candidates: Iterable[Candidate],
    whole: Sequence[ScoredPlan],
    choosers: Sequence[Chooser],
    wanted: Requirements,
) -> list[ScoredPlan]:
    """The same plans and candidates in parts, each where it is worth the most.

    Looked at is only what could be better: as it is, a candidate has not all that is wanted, and
    its quality alone is worth more than the best variant of its model.
    """
    found = {plan.candidate.reference: plan for plan in whole}
    best: dict[str, Worth] = {}
    for plan in whole:
        name = plan.candidate.group if wanted.best_of_each else plan.candidate.reference
        best[name] = max(plan.worth, best.get(name, _NOTHING))
    places = [chooser for chooser in reversed(choosers) if chooser.machine.devices]
    for candidate in sorted(candidates, key=lambda c: -choosers[0].most_points(c)):
        name = candidate.group if wanted.best_of_each else candidate.reference
        own = found.get(candidate.reference)
        if own and choosers[0].has_all(own):
            continue
        for chooser in places:
            better = chooser.in_parts(candidate, best.get(name, _NOTHING))
            if better is not None:
                found[candidate.reference] = better
                best[name] = better.worth
    return list(found.values())


def _order(plan: ScoredPlan) -> tuple[bool, bool, bool, float, bool, int, str]:
    """Known scores before unknown ones, then as :attr:`ScoredPlan.worth` says; at equal points what
    is here, smaller."""
    candidate, (storable, usable, points) = plan.candidate, plan.worth
    return (
        plan.quality.score is None,
        not storable,
        not usable,
        -points,
        not candidate.installed,
        candidate.weights.bytes,
        candidate.reference,
    )


def _able(candidates: Sequence[Candidate], wanted: Requirements) -> list[Candidate]:
    """Those that take images where that is wanted, and were trained for the wanted context.

    Where none was trained for so long a context, all stay: the reasons warn of it.
    """
    able = [c for c in candidates if c.images is not None or not wanted.goal.image]
    if not able:
        raise NotFound(
            "no known variant of it accepts images"
            if candidates
            else "there is nothing to recommend",
            "leave out --use vision"
            if wanted.goal.image
            else "gemmahub list --all shows the catalogue",
        )
    long_enough = [c for c in able if (wanted.context or 0) <= c.architecture.context_length]
    return long_enough or able


def measurements_of(candidates: Iterable[Candidate], chooser: Chooser) -> tuple[Measurement, ...]:
    """What the measured candidates showed of this machine, each at one depth."""
    found = []
    for candidate in candidates:
        if not candidate.measured:
            continue
        plan = chooser.on_accelerators(replace(candidate, measured=None))
        if plan is None:
            continue
        depth, rate = candidate.measured.nearest
        traffic = chooser.traffic(candidate, plan.memory, depth)
        likely = traffic.speed(chooser.bandwidths).likely
        if likely:
            found.append(Measurement(traffic.bytes, rate / likely))
    return tuple(found)


def _nothing_fits(able: Sequence[Candidate], chooser: Chooser) -> DoesNotFit:
    smallest = min(able, key=lambda c: c.weights.bytes)
    plan = chooser.plan(smallest, chooser.least(smallest), chooser.room)
    free = ", ".join(f"{p.device} {format_gib(p.free_bytes)}" for p in plan.places)
    context = chooser.least(smallest).context
    reserve = format_gib(host_reserve(chooser.machine))
    hint = "free some memory, or ask for less with --context"
    if not chooser.wanted.offload and chooser.machine.devices:
        hint = "leave out --no-offload, so that a part may stay in system memory"
    return DoesNotFit(
        f"nothing fits: the smallest, {smallest.reference}, needs "
        f"{format_gib(plan.total_bytes)} with {context:,} tokens; free apart from a reserve "
        f"of {reserve}: {free}",
        hint,
    )
