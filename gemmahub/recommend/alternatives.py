"""What else there is than the first plan of a ranking, in sentences for people."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.records import kept_by_system
from gemmahub.recommend.goals import NEARLY_AS_GOOD
from gemmahub.recommend.reasons import disk_in_words, reasons_for, trade, worth
from gemmahub.recommend.settings import Chooser
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.memory import MachineMemory
    from gemmahub.recommend.ranking import Ranking
    from gemmahub.recommend.records import Candidate, ScoredPlan


def reasons_of(ranking: Ranking, number: int, largest: int) -> tuple[str, ...]:
    """Why the plan of that number stands there, in sentences; ``largest`` is the context that would
    fit. Of the first also what else there is, of the others what they are worse in."""
    plan = ranking.plans[number]
    found = reasons_for(plan, largest, ranking.choosers[0].wanted, ranking.disk)
    if number:
        first = ranking.plans[0]
        return (*found, f"Against the first: {trade(first, plan)}{_why_behind(first, plan)}.")
    return (*found, *_alternatives(ranking))


def _alternatives(ranking: Ranking) -> Iterator[str]:
    """What is nearly as good and here already, the runner-up, and what would be better if there
    were more room: on the disk, in memory with other programs closed, or on a larger machine."""
    first = ranking.plans[0]
    installed = _nearly_as_good(ranking)
    # What stands behind only because it is slow, or not storable, may have more points.
    rivals = (plan for plan in ranking.plans[1:] if plan.worth[:2] == first.worth[:2])
    for second in islice(rivals, 1):
        yield f"The runner-up, {second.candidate.reference}: {trade(first, second)}."
    if installed is not None:
        less = worth(installed.points - first.points) or "as good"
        yield f"{installed.candidate.reference} is installed already, {less}."
    yield from _without_room_on_disk(ranking)
    closed = _with_others_closed(ranking)
    if closed is not None:
        yield closed
    elif (better := _too_large(ranking)) is not None:
        shortage = min(chooser.shortage(better) for chooser in ranking.choosers)
        short = format_gib(max(0, shortage))
        yield f"{better.reference} would be better but does not fit: {short} short."


def _why_behind(first: ScoredPlan, plan: ScoredPlan) -> str:
    """Why a plan with more points than the first stands behind it."""
    if plan.points <= first.points:
        return ""
    if plan.storable < first.storable:
        return "; it is behind because the disk has no room for it"
    return "; it is behind because it is slow here" if plan.usable < first.usable else ""


def _nearly_as_good(ranking: Ranking) -> ScoredPlan | None:
    """The best that is here already, where the first is not and is worth little more."""
    first = ranking.plans[0]
    if first.candidate.installed:
        return None
    for plan in ranking.every:
        if plan.candidate.installed and plan.usable >= first.usable:
            return plan if plan.points >= first.points - NEARLY_AS_GOOD else None
    return None


def _without_room_on_disk(ranking: Ranking) -> Iterator[str]:
    first = ranking.plans[0]
    better = [p for p in ranking.plans if not p.storable and p.worth[1:] > first.worth[1:]]
    if first.storable and better and ranking.disk is not None:
        best = max(better, key=lambda plan: plan.worth)
        gain = worth(best.points - first.points) or "as good"
        left = disk_in_words(best.candidate, ranking.disk)
        yield f"{best.candidate.reference}, {gain}, does not fit on the disk: {left}."


_DEVICE_KEEPS: Final = 512 << 20
"""What a desktop keeps of a GPU. A judgement."""
_WORTH_CLOSING: Final = 1.0
"""Points that are worth closing other programs for."""


def _with_others_closed(ranking: Ranking) -> str | None:
    """What would be the first choice if no other program took memory, where that is better."""
    first = ranking.plans[0]
    least = first.points + _WORTH_CLOSING
    best = None
    for chooser in ranking.choosers:
        empty = _empty(chooser.machine)
        if empty == chooser.machine:
            continue
        roomy = Chooser(replace(chooser.place, machine=empty), chooser.wanted, ranking.disk)
        for candidate in sorted(ranking.able, key=roomy.most_points, reverse=True):
            if roomy.most_points(candidate) <= least:
                break
            plan = roomy.on_accelerators(candidate)
            if plan is not None and plan.worth > (True, True, least):
                best, least = (plan, chooser), plan.points
    if best is None:
        return None
    plan, chooser = best
    found = chooser.plan(plan.candidate, plan.settings, chooser.room)
    return (
        f"{plan.candidate.reference} would be {worth(plan.points - first.points)} if other "
        f"programs were closed: it needs {format_gib(-found.headroom_bytes)} more than is "
        "free."
    )


def _empty(machine: MachineMemory) -> MachineMemory:
    """The machine with nothing in its memory but the system and a desktop."""
    total = machine.host_capacity_bytes
    host = total - kept_by_system(total)
    devices = tuple(
        replace(d, free_bytes=max(d.free_bytes, d.capacity_bytes - _DEVICE_KEEPS))
        for d in machine.devices
    )
    return replace(machine, devices=devices, host_free_bytes=max(machine.host_free_bytes, host))


def _too_large(ranking: Ranking) -> Candidate | None:
    """The smallest variant of the model that could be worth the most here, if it fitted."""
    chooser, least = ranking.choosers[0], ranking.plans[0].points
    better = [
        (chooser.most_points(candidate), candidate)
        for candidate in ranking.too_large
        if chooser.quality(candidate).score is not None
    ]
    better = [(points, candidate) for points, candidate in better if points > least]
    if not better:
        return None
    group = max(better, key=lambda pair: pair[0])[1].group
    variants = [candidate for _, candidate in better if candidate.group == group]
    return min(variants, key=lambda candidate: candidate.weights.bytes)
