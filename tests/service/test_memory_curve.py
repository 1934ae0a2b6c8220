"""Memory against context: what the plans say, at each of the slider's steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.service.memory_curve import memory_curve
from gemmahub.service.planner import planner_for
from tests.tui.library_support import HERE, install, steady_hub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.service.planner import Planner
    from tests.conftest import Result


@pytest.fixture
def planner(tmp_path: Path) -> Planner:
    install(tmp_path, HERE)
    hub = steady_hub(tmp_path)
    return planner_for(hub, hub.registry.resolve(HERE), hub.machine)


def test_each_point_is_a_plan(planner: Planner) -> None:
    curve = memory_curve(planner, "q8_0")
    assert curve.contexts == planner.steps("q8_0")
    for name, totals in curve.totals.items():
        for context, total in zip(curve.contexts, totals, strict=True):
            places = planner.memory(context, name).places
            place = next(each for each in places if each.device == curve.device)
            assert (total, curve.free_bytes) == (place.total_bytes, place.free_bytes)
    assert curve.totals["f16"][-1] > curve.totals["q8_0"][-1] > curve.totals["q4_0"][-1]


def test_the_point_is_the_chosen_context(planner: Planner) -> None:
    curve = memory_curve(planner, "f16")
    plot = curve.plot("q8_0", curve.contexts[3])
    assert (plot.at, plot.lines[plot.chosen].name) == (3, "q8_0")
    assert curve.plot("f16", 1).at == 0


def test_the_command_draws_it(command: Callable[..., Result]) -> None:
    arguments = ("plan", "gemma-3-12b-it:q4_0-qat", "--machine", "rtx-3090")
    plain, plotted = command(*arguments), command(*arguments, "--plot")
    assert plotted.code == 0
    assert plotted.out.startswith(plain.out)
    drawn = plotted.out[len(plain.out) :]
    assert "cuda:0: memory with 1,024 to 131,072 tokens" in drawn
    assert "●" in drawn
    assert all(name in drawn for name in ("f16", "q8_0", "q4_0"))
