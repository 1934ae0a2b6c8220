"""The four parts of a score: they add up to it, each with its figure and its source."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.hardware.simulate import preset_machine
from gemmahub.planning.candidates import candidates_of
from gemmahub.planning.model import places_of
from gemmahub.recommend import alternatives
from gemmahub.recommend.explanation import PARTS, explanation_lines, explanation_of
from gemmahub.recommend.goals import USES, Requirements
from gemmahub.recommend.ranking import Ranking, recommend


def ranking(machine: str = "rtx-3060", use: str = "chat") -> Ranking:
    candidates = candidates_of((), load_catalog())
    wanted = Requirements(use, every_variant=True)
    return recommend(candidates, places_of(preset_machine(machine)), wanted)


@pytest.mark.parametrize("use", USES)
def test_the_parts_add_up_to_the_points(use: str) -> None:
    found, wanted = ranking(use=use), Requirements(use)
    assert len(found.plans) > 20
    for plan in found.plans:
        parts = explanation_of(plan, found.largest_context(plan), wanted)
        assert tuple(part.name for part in parts) == PARTS
        assert sum(part.points for part in parts) == pytest.approx(plan.points)
        assert all(part.level is None or 0 <= part.level <= 1 for part in parts)
        assert all(part.figure and part.source for part in parts)
        quality, *others = parts
        assert quality.points > 0 or "base model" in quality.figure
        assert all(part.points <= 0 for part in others)
        *lines, last = explanation_lines(parts)
        assert [line[0] for line in lines] == list(PARTS)
        assert last[:2] == ("score", f"{plan.points:.1f}")


def test_more_speed_and_more_context_are_higher() -> None:
    found, wanted = ranking(), Requirements()
    plan = next(plan for plan in found.plans if plan.speed)
    assert plan.speed is not None
    slower = replace(plan, speed=replace(plan.speed, likely=plan.speed.likely / 2))
    before, after = (explanation_of(p, 10**6, wanted)[1].level for p in (plan, slower))
    assert before is not None
    assert after is not None
    assert after < before


def test_layers_in_system_memory_lower_the_fit_and_are_named() -> None:
    found = ranking("rtx-3060")
    parted = next(
        p for p in found.plans if p.placement.in_words(len(p.candidate.architecture.layers))
    )
    whole = next(p for p in found.plans if p.placement == type(p.placement)())
    low, high = (explanation_of(p, 10**6, Requirements())[2] for p in (parted, whole))
    assert low.level is not None
    assert high.level is not None
    assert low.level < high.level == 1
    assert "stay in system memory" in low.figure


def test_what_is_slow_and_has_more_points_is_no_runner_up() -> None:
    found = ranking()
    first, second, *others = found.plans
    better = replace(
        second, usable=False, score=replace(second.score, published=first.score.published + 5)
    )
    assert better.points > first.points
    changed = replace(found, plans=(first, better, *others))
    reasons = alternatives.reasons_of(changed, 0, 4096)
    (runner_up,) = [reason for reason in reasons if reason.startswith("The runner-up")]
    assert better.candidate.reference not in runner_up
    assert others[0].candidate.reference in runner_up
    assert "points more" not in runner_up
    own = alternatives.reasons_of(changed, 1, 4096)[-1]
    assert "points more" in own
    assert own.endswith("; it is behind because it is slow here.")
    (nothing,) = [r for r in alternatives.reasons_of(changed, 2, 4096) if "Against" in r]
    assert "behind because" not in nothing


@pytest.mark.parametrize("machine", ["rtx-3060", "rtx-3090", "m1-8gb"])
def test_no_runner_up_has_more_points(machine: str) -> None:
    reasons = alternatives.reasons_of(ranking(machine), 0, 4096)
    for reason in reasons:
        if reason.startswith("The runner-up"):
            assert "points more" not in reason
