"""The choices for 41 machines against what experienced users would run (``experts.toml``)."""

from __future__ import annotations

from typing import Any, Final

import pytest

from benchmarks.what_fits import DOCUMENT, machine_table
from tests.recommend.experts import MACHINES, choice

NAMES: Final = [machine["name"] for machine in MACHINES]


@pytest.mark.parametrize("machine", MACHINES, ids=NAMES)
def test_the_first_choice_for_a_chat_is_an_expert_s(machine: dict[str, Any]) -> None:
    first = choice(machine, "chat").plans[0]
    assert first.candidate.reference.startswith(tuple(machine["chat"])), machine["why"]


@pytest.mark.parametrize(
    "machine", [each for each in MACHINES if "fast" in each], ids=lambda each: each["name"]
)
def test_the_first_choice_for_speed_is_an_expert_s(machine: dict[str, Any]) -> None:
    first = choice(machine, "fast").plans[0]
    assert first.candidate.reference.startswith(tuple(machine["fast"])), machine["why_fast"]


@pytest.mark.parametrize("machine", MACHINES, ids=NAMES)
def test_what_is_slow_never_stands_before_what_is_not(machine: dict[str, Any]) -> None:
    for use in ("chat", "fast"):
        plans = choice(machine, use).plans
        usable = [plan.usable for plan in plans if plan.quality.score is not None]
        assert usable == sorted(usable, reverse=True)


def test_there_are_forty_machines_and_each_has_a_reason() -> None:
    assert len(set(NAMES)) >= 40
    assert all(machine["why"].endswith(".") for machine in MACHINES)


def test_the_document_has_what_is_recommended_now() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert machine_table() in document, "run: python -m benchmarks.what_fits --machines"
