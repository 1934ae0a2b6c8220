"""What was measured on this machine stands for it, and nothing of another one."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace as changed

from gemmahub.measurements.records import (
    Conditions,
    DepthSpeed,
    MeasuredModel,
    SpeedResult,
    Spread,
)
from gemmahub.measurements.results import Results
from gemmahub.recommend.speed import FILLED, SeenSpeed
from gemmahub.service import Library
from gemmahub.service.benching.prediction import prediction
from gemmahub.service.known_speeds import BENCHED
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from pathlib import Path

Command = Any


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in a folder of the user's, whose sha256 is known."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder / "tiny-F32.gguf")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(folder))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamacpp,echo")
    Library().sums.compute(folder / "tiny-F32.gguf")
    return folder / "tiny-F32.gguf"


def result(path: Path, *speeds: tuple[int, float], at: float = 1.0, **more: Any) -> SpeedResult:
    settings = more.pop("settings", {"threads": 2})
    return SpeedResult(
        model=MeasuredModel(
            reference=path.name,
            name="Tiny",
            precision="F32",
            content=sha256(path.read_bytes()).hexdigest(),
        ),
        conditions=Conditions(
            machine="a machine",
            system="Linux",
            engine=more.pop("engine", "llama.cpp"),
            build="1",
            at=at,
            place=more.pop("place", "cpu"),
            settings=settings,
        ),
        depths=tuple(
            DepthSpeed(depth=depth, decode=Spread(median=rate, low=rate, high=rate))
            for depth, rate in speeds
        ),
        **more,
    )


def known(here: Library) -> SeenSpeed:
    (found,) = here.measured(on_cpu(here)).speeds.values()
    return found


def on_cpu(here: Library) -> Any:
    return replace(here.hardware(), devices=())


def test_bench_stands_for_the_file_whatever_it_was_called(model: Path) -> None:
    here = Library()
    here.results.add([changed(result(model, (512, 40.0)), parallel=1)])
    assert known(here) == SeenSpeed(((512, 40.0),), BENCHED)


def test_the_last_result_of_the_fastest_way_counts(model: Path) -> None:
    here = Library()
    here.results.add(
        [
            result(model, (512, 50.0), at=1.0),
            result(model, (512, 40.0), at=2.0),  # the same way, later
            result(model, (512, 10.0), at=3.0, settings={"threads": 1}),
            result(model, (512, 99.0), at=4.0, settings={"threads": 2, "drafter": "head.gguf"}),
            result(model, (512, 98.0), at=5.0, place="gpu"),
            result(model, (512, 97.0), at=6.0, parallel=4),
            result(model, at=7.0, settings={"threads": 8}),
        ]
    )
    assert known(here).points == ((512, 40.0),)


def test_what_was_imported_and_other_machines_steer_nothing(model: Path) -> None:
    here = Library()
    here.results.add([result(model, (512, 40.0))], origin="a friend")
    assert here.measured(on_cpu(here)).speeds == {}
    here.results.add([result(model, (512, 30.0))])
    assert here.measured(here.machine_for("rtx-3090")).speeds == {}


def test_a_file_whose_content_is_not_known_is_not_read(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_CACHE", str(model.parent.parent / "other"))
    here = Library()
    here.results.add([result(model, (512, 40.0))])
    assert here.measured(on_cpu(here)).speeds == {}


def test_speeds_between_depths_lie_on_a_line_of_seconds() -> None:
    seen = SeenSpeed(((0, 100.0), (1000, 50.0)))
    assert seen.at(500) == pytest.approx(1 / 0.015)
    assert (seen.at(0), seen.at(1000), seen.at(9000)) == (100.0, 50.0, 50.0)
    assert SeenSpeed(((512, 7.0),)).at(0) == 7.0
    assert SeenSpeed(((0, 9.0), (8192, 3.0), (4000, 5.0))).nearest == (4000, 5.0)


def test_list_shows_what_was_measured_here(command: Command, model: Path, tmp_path: Path) -> None:
    assert "tokens/s" not in command("list").out
    Results(tmp_path / "data").add([result(model, (FILLED, 41.25))])
    shown = command("list")
    assert "tokens/s" in shown.out
    assert "41.2" in shown.out
    (entry,) = json.loads(command("list", "--json").out)["models"]
    assert entry["measured_speed"] == {"tokens_per_second": 41.25, "basis": BENCHED}


def test_recommend_says_that_its_speed_was_measured(
    command: Command, model: Path, tmp_path: Path
) -> None:
    Results(tmp_path / "data").add([result(model, (FILLED, 41.25))])
    found = json.loads(command("recommend", "--installed", "--json").out)["recommendations"]
    assert found[0]["tokens_per_second"] == 41.25
    assert found[0]["speed_basis"] == BENCHED


def test_one_measured_model_predicts_another(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "models" / "other-F32.gguf"
    write_model(other, seed=5)
    here = Library()
    monkeypatch.setattr(
        type(here), "machine_for", lambda *_: replace(here.hardware(measure=True), devices=())
    )
    variant = here.registry.resolve(str(other))
    measured = result(other, (512, 20.0))
    here.sums.compute(other)
    assert prediction(here, variant, measured) is None  # nothing else was measured
    here.results.add([result(model, (512, 25.0))])
    found = prediction(here, variant, measured)
    assert found is not None
    # They are of one size, so it is as fast; the bytes of a file's name do not count.
    assert found.depth == 512
    assert found.predicted == pytest.approx(25.0)
    assert found.text.endswith("at depth 512, 25% too high")
