"""The library: rows with fit, speed and rank, and plans again and again."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.formats.ggml_types import USUAL_CACHE_TYPES
from gemmahub.service import PlanOptions, Requirements
from gemmahub.service.overview import LibraryReading
from gemmahub.service.planner import planner_for
from gemmahub.text.command import command_to_run
from tests.tui.library_support import HERE, SteadyHub, install, steady_hub

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service.overview import ModelOverview


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    install(tmp_path, HERE)
    return steady_hub(tmp_path)


def test_rows_say_the_same_as_list_and_recommend(hub: SteadyHub) -> None:
    library = LibraryReading(hub).overview()
    models = hub.models(catalogue=True)
    fits = dict(zip([v.reference for v in models.variants], hub.fits(models.variants), strict=True))
    assert {row.variant.reference: row.fit for row in library.rows} == fits
    best: dict[str, str] = {}
    for row in library.rows:
        if row.rank is not None:
            best.setdefault(row.model, row.variant.reference)
    found = hub.recommend(Requirements())
    assert list(best.values()) == [entry.variant.reference for entry in found]
    assert [row.rank for row in library.rows if row.rank] == list(range(1, 1 + _ranked(library)))


def _ranked(library: ModelOverview) -> int:
    return sum(row.rank is not None for row in library.rows)


def test_shares_agree_with_fits(hub: SteadyHub) -> None:
    rows = LibraryReading(hub).overview(machine=hub.machine_for(memory="8GiB", ram="16GiB")).rows
    assert {row.fit.fits for row in rows} == {True, False, None}
    for row in rows:
        if row.fit.fits is None:
            assert row.share is None
        elif row.fit.fits is False:
            assert row.share is not None
            assert row.share > 1
        elif not row.fit.tight:
            assert row.share is not None
            assert row.share <= 1


def test_another_machine_has_another_ranking(hub: SteadyHub) -> None:
    here, there = (
        LibraryReading(hub).overview(),
        LibraryReading(hub).overview(machine=hub.machine_for(machine="m1-8gb")),
    )
    assert there.machine.simulated
    assert here.rows[0].variant.reference != there.rows[0].variant.reference
    with pytest.raises(UsageError):
        LibraryReading(hub).overview(machine=hub.machine_for(machine="abacus"))


def test_where_nothing_fits_rows_are_still_there(hub: SteadyHub) -> None:
    library = LibraryReading(hub).overview(machine=hub.machine_for(memory="64MiB", ram="64MiB"))
    assert "nothing fits" in library.problem
    assert library.rows[0].variant.reference == HERE
    assert all(row.rank is None for row in library.rows)


def test_a_model_that_came_is_seen_when_looked_for_again(hub: SteadyHub, tmp_path: Path) -> None:
    def installed(library: ModelOverview) -> set[str]:
        return {row.variant.reference for row in library.rows if row.installed}

    assert installed(LibraryReading(hub).overview()) == {HERE}
    install(tmp_path, "gemma-3-270m-it:q4_0-qat")
    assert installed(LibraryReading(hub).overview()) == {HERE}
    assert installed(LibraryReading(hub, again=True).overview()) == {
        HERE,
        "gemma-3-270m-it:q4_0-qat",
    }


def test_a_planner_gives_the_plan_of_the_command(hub: SteadyHub) -> None:
    library = LibraryReading(hub).overview()
    for row in library.rows:
        if row.rank != 1 and row.variant.reference != HERE:
            continue
        planner = planner_for(hub, row.variant, library.machine, row.recommendation)
        for cache in USUAL_CACHE_TYPES:
            made = planner.plan(16384, cache)
            options = PlanOptions(context=16384, cache_type=cache)
            asked = hub.plan(row.variant.reference, options)
            assert made.memory.as_json() == asked.memory.as_json()
            assert made.largest_context == asked.largest_context
            steps = planner.steps(cache)
            assert list(steps) == sorted(set(steps))
            assert steps[-1] == planner.trained_context
            assert planner.largest_context(cache) in steps


def test_what_no_memory_is_known_of_has_no_planner(hub: SteadyHub) -> None:
    library = LibraryReading(hub).overview()
    row = next(row for row in library.rows if row.fit.fits is None)
    with pytest.raises(GemmahubError):
        planner_for(hub, row.variant, library.machine, row.recommendation)


def test_the_layers_that_are_recommended_are_planned(hub: SteadyHub) -> None:
    library = LibraryReading(hub).overview(machine=hub.machine_for(memory="1GiB", ram="64GiB"))
    row = next(row for row in library.rows if row.recommendation and row.fit.fits is False)
    planner = planner_for(hub, row.variant, library.machine, row.recommendation)
    layers = planner.placement.gpu_layers
    assert layers is not None
    assert f"--gpu-layers {layers}" in planner.command(4096)


def test_commands_are_for_a_shell() -> None:
    command = command_to_run("/models/my model.gguf", 4096, "q8_0", gpu_layers=3)
    assert shlex.split(command) == [
        "gemmahub", "run", "/models/my model.gguf", "--ctx-size", "4096", "--cache-type", "q8_0",
        "--gpu-layers", "3",
    ]  # fmt: skip
    assert command_to_run("a:b", 1024) == "gemmahub run a:b --ctx-size 1024"
