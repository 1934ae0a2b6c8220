"""What stands beside the first choice: what is here, what the disk and other programs prevent."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.memory import DeviceMemory, MachineMemory
from gemmahub.planning.candidates import candidates_of
from gemmahub.recommend.alternatives import reasons_of
from gemmahub.recommend.goals import NEARLY_AS_GOOD, Requirements
from gemmahub.recommend.ranking import Ranking, recommend
from gemmahub.recommend.records import Candidate, DevicePlace
from gemmahub.recommend.speed import Bandwidths
from gemmahub.text import format_bytes

GIB = 1 << 30
GB = 10**9


@cache
def candidates() -> dict[str, Candidate]:
    return {c.reference: c for c in candidates_of([], load_catalog())}


def with_installed(*references: str) -> list[Candidate]:
    return [replace(c, installed=c.reference in references) for c in candidates().values()]


def card(free: float, capacity: float, ram: float = 8) -> DevicePlace:
    device = DeviceMemory("cuda:0", "cuda", int(capacity * GIB), int(free * GIB))
    host = int(ram * GIB)
    return DevicePlace(MachineMemory((device,), host, host), Bandwidths((936 * GB,), 50 * GB))


def reasons(ranking: Ranking, number: int = 0) -> str:
    return "\n".join(reasons_of(ranking, number, 16_384))


BEST = "gemma-4-31b-it:q4_0-qat"
OTHER = "gemma-4-26b-a4b-it:ud-q4_k_xl-qat"


def test_one_that_is_here_and_nearly_as_good_is_named() -> None:
    ranking = recommend(with_installed(OTHER), (card(24, 24),), Requirements())
    assert ranking.plans[0].candidate.reference == BEST
    (here,) = (plan for plan in ranking.every if plan.candidate.reference == OTHER)
    less = ranking.plans[0].points - here.points
    assert less < NEARLY_AS_GOOD
    assert f"{OTHER} is installed already, worth {less:.1f} points less." in reasons(ranking)


@pytest.mark.parametrize("installed", [BEST, "gemma-3-4b-it:q4_0-qat"])
def test_nothing_is_named_where_the_first_is_here_or_the_other_is_much_worse(
    installed: str,
) -> None:
    ranking = recommend(with_installed(installed), (card(24, 24),), Requirements())
    assert "here already" not in reasons(ranking)


def test_what_the_disk_has_no_room_for_is_never_first() -> None:
    free = 9 * GB
    ranking = recommend(candidates().values(), (card(24, 24),), Requirements(), free)
    storable = [plan.storable for plan in ranking.plans if plan.quality.score is not None]
    assert storable == sorted(storable, reverse=True)
    assert ranking.plans[0].candidate.weights.bytes <= free
    assert f"{BEST}, worth " in reasons(ranking)
    size = format_bytes(candidates()[BEST].weights.bytes)
    assert f"does not fit on the disk: {size}, and {format_bytes(free)} are free." in reasons(
        ranking
    )
    last = next(n for n, plan in enumerate(ranking.plans) if not plan.storable)
    assert "The disk has no room for it: " in reasons(ranking, last)


def test_what_is_installed_needs_no_room_on_the_disk() -> None:
    ranking = recommend(with_installed(BEST), (card(24, 24),), Requirements(), 1 * GB)
    assert ranking.plans[0].candidate.reference == BEST
    assert "disk" not in reasons(ranking)


def test_a_disk_of_unknown_room_hides_nothing() -> None:
    ranking = recommend(candidates().values(), (card(24, 24),), Requirements(), None)
    assert all(plan.storable for plan in ranking.plans)


def test_what_other_programs_take_is_named_where_closing_them_is_worth_it() -> None:
    ranking = recommend(candidates().values(), (card(15.5, 24),), Requirements())
    assert ranking.plans[0].candidate.reference != BEST
    text = reasons(ranking)
    assert f"{BEST} would be worth " in text
    assert "if other programs were closed: it needs " in text
    assert "does not fit" not in text


def test_an_empty_machine_has_nothing_to_close() -> None:
    assert "closed" not in reasons(
        recommend(candidates().values(), (card(15.5, 16),), Requirements())
    )


def test_the_sum_is_shown_and_adds_up() -> None:
    for plan in recommend(candidates().values(), (card(6, 8, 30),), Requirements()).plans:
        score = plan.score
        assert score.total == pytest.approx(score.published - sum(score.costs.values()))
        assert min(score.costs.values()) >= 0.0
        assert score.as_json()["total"] == pytest.approx(plan.points, abs=0.01)
    ranking = recommend(candidates().values(), (card(24, 24),), Requirements())
    first = ranking.plans[0].score
    assert (
        f"Worth {first.total:.1f} of 85.2 points: {first.precision:.1f} off for its precision, "
        f"{first.speed:.1f} for its speed."
    ) in reasons(ranking)


def test_what_is_slow_says_so() -> None:
    host = 16 * GIB
    slow = DevicePlace(MachineMemory((), host, host), Bandwidths((), 15 * GB))
    ranking = recommend(candidates().values(), (slow,), Requirements())
    number = next(n for n, plan in enumerate(ranking.plans) if not plan.usable)
    assert "slow here, below 5 tokens/s." in reasons(ranking, number)
    assert "slow here" not in reasons(ranking, 0)
