"""Machines from public reports: what the probe finds, and what is recommended there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from gemmahub.hardware.cpu import compute_threads
from gemmahub.hardware.simulate import other_machine, preset_machine
from gemmahub.planning.model import places_of
from gemmahub.recommend.goals import USES, Requirements
from gemmahub.recommend.ranking import recommend
from tests.recommend.experts import GIB, PROBED, SIMULATED, candidates
from tests.recommend.recorded_containers import RECORDED

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.hardware.records import Machine
    from gemmahub.recommend.ranking import Ranking

NEAR: Final = 0.02
"""GiB that a table may be rounded by."""


def ranking(machine: Machine, use: str = "chat", **wanted: Any) -> Ranking:
    return recommend(candidates(), places_of(machine), Requirements(use, **wanted))


def test_each_machine_is_recorded_and_has_an_expert() -> None:
    assert PROBED.keys() == RECORDED.keys()
    assert len(PROBED) >= 45
    assert all(expert["why"].endswith(".") for expert in (*PROBED.values(), *SIMULATED))


@pytest.mark.parametrize("name", PROBED)
def test_probe_finds_what_is_there(name: str, tmp_path: Path) -> None:
    machine, expert = RECORDED[name].probed(tmp_path), PROBED[name]
    free = {device.id: (device.available.value or 0) / GIB for device in machine.devices}
    assert free == pytest.approx(expert["free"], abs=NEAR)
    assert (machine.memory.available.value or 0) / GIB == pytest.approx(expert["system"], abs=NEAR)
    rates = {device.id: (device.bandwidth.value or 0) / 1e9 for device in machine.devices}
    for device, rate in expert.get("rates", {}).items():
        assert rates[device] == pytest.approx(rate, rel=0.01), device
    problems, told = expert.get("problems", []), machine.problems
    assert len(told) == len(problems)
    assert all(part in problem.reason for part, problem in zip(problems, told, strict=True))
    hints = expert.get("hints", [])
    assert all(part in problem.hint for part, problem in zip(hints, told, strict=True))
    said = json.dumps(machine.as_json())
    assert all(doubt in said for doubt in expert.get("doubts", []))


@pytest.mark.parametrize(
    "name",
    [name for name, expert in PROBED.items() if {"cpus", "threads", "sockets"} & set(expert)],
)
def test_processors_that_may_be_used(name: str, tmp_path: Path) -> None:
    recorded, expert = RECORDED[name], PROBED[name]
    cpu = recorded.probed(tmp_path).cpu
    assert cpu.usable.value == expert.get("cpus", cpu.usable.value)
    assert cpu.numa_nodes.value == expert.get("sockets", cpu.numa_nodes.value)
    threads = compute_threads(recorded.host(tmp_path))
    assert threads == expert.get("threads", threads)


@pytest.mark.parametrize(
    ("name", "use"),
    [(name, use) for name, expert in PROBED.items() for use in USES if use in expert],
)
def test_first_choice_is_an_expert_s(name: str, use: str, tmp_path: Path) -> None:
    expert = PROBED[name]
    first = ranking(RECORDED[name].probed(tmp_path), use).plans[0]
    assert first.candidate.reference.startswith(tuple(expert[use])), expert["why"]
    if use == "chat" and "on" in expert:
        assert list(first.devices) == expert["on"], expert["why"]


def simulated(expert: dict[str, Any], folder: Path) -> Machine:
    """As ``recommend --machine --memory --ram`` has it; without a name on a PC without a GPU."""
    name = expert.get("name")
    base = preset_machine(name) if name else RECORDED["Processor alone, 16 GB"].probed(folder)
    return other_machine(expert.get("memory"), expert.get("ram"), base)


@pytest.mark.parametrize(
    "expert", SIMULATED, ids=lambda each: "-".join(map(str, list(each.values())[:2]))
)
def test_first_choice_for_a_simulated_machine_is_an_expert_s(
    expert: dict[str, Any], tmp_path: Path
) -> None:
    machine = simulated(expert, tmp_path)
    assert (machine.memory.available.value or 0) / GIB == pytest.approx(expert["system"], abs=NEAR)
    first = ranking(machine).plans[0]
    assert first.candidate.reference.startswith(tuple(expert["chat"])), expert["why"]
