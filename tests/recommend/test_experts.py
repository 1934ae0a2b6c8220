"""The choices for 41 machines against what experienced users would run (``experts.toml``)."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.memory import DeviceMemory, MachineMemory
from gemmahub.planning.candidates import candidates_of
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.ranking import Ranking, recommend
from gemmahub.recommend.records import Candidate, DevicePlace
from gemmahub.recommend.speed import Bandwidths

GIB: Final = 1 << 30
TABLE: Final = tomllib.loads(Path(__file__).with_name("experts.toml").read_text("utf-8"))
MACHINES: Final[list[dict[str, Any]]] = TABLE["machine"]
NAMES: Final = [machine["name"] for machine in MACHINES]


@cache
def candidates() -> tuple[Candidate, ...]:
    return tuple(candidates_of([], load_catalog(), {}))


def place_of(machine: dict[str, Any]) -> DevicePlace:
    devices = tuple(
        DeviceMemory(
            f"gpu:{number}",
            found["kind"],
            int(found["free"] * GIB),
            int(found["free"] * GIB),
            unified=found.get("unified", False),
        )
        for number, found in enumerate(machine["devices"])
    )
    host = int(machine["system"]["free"] * GIB)
    rates = tuple(int(found["bandwidth"] * 1e9) for found in machine["devices"])
    return DevicePlace(
        MachineMemory(devices, host, host),
        Bandwidths(rates, int(machine["system"]["bandwidth"] * 1e9)),
    )


def choice(machine: dict[str, Any], use: str) -> Ranking:
    return recommend(candidates(), (place_of(machine),), Requirements(use))


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
