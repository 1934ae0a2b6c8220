"""``gemmahub bench`` with a tiny model in two engines."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.hardware.records import Figure
from gemmahub.hardware.simulate import preset_machine
from gemmahub.measurements.records import SpeedResult
from gemmahub.measurements.results import Results, from_file
from gemmahub.service.benching import depths as measured_depths
from gemmahub.service.installation import Installation
from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
QUICK = ("--repeat", "2", "--depth", "0,64")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny-F32.gguf"
    write_model(path)
    return path


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_depths, "READ", 32)


def kept(folder: Path) -> list[SpeedResult]:
    found = [each.result for each in Results(folder / "data").kept]
    assert all(isinstance(result, SpeedResult) for result in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("backend", ["llama.cpp", "llama-server"])
def test_a_model_is_measured_and_remembered(
    command: Command, model: Path, tmp_path: Path, backend: str
) -> None:
    found = command("bench", model, *QUICK, "--backend", backend)
    assert found.code == 0, found
    assert "decode tokens/s" in found.out
    (result,) = kept(tmp_path)
    assert result.conditions.engine == backend
    assert [each.depth for each in result.depths] == [0, 64]
    for each in result.depths:
        assert each.decode is not None
        assert each.prefill is not None
        assert each.decode.runs == each.prefill.runs == 2
    memory = result.memory
    assert memory.planned
    assert memory.engine
    assert memory.process
    assert result.load_seconds is not None
    assert result.model.name
    assert len(result.model.content) == 64
    shown = command("bench").out
    assert "tiny-F32.gguf" in shown
    assert "this one" in shown


def test_json_is_a_file_to_share(command: Command, model: Path, tmp_path: Path) -> None:
    found = command("bench", model, *QUICK, "--json", "--threads", 1)
    path = tmp_path / "shared.json"
    path.write_text(found.out)
    (result,) = from_file(path)
    assert result == kept(tmp_path)[0]
    assert str(model.parent) not in found.out


def test_csv_and_markdown_have_a_line_for_each_depth(command: Command, model: Path) -> None:
    lines = command("bench", model, *QUICK, "--csv").out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("reference,precision,engine,")
    assert lines[1].startswith("tiny-F32.gguf,")
    text = command("bench", model, *QUICK, "--markdown").out
    assert text.count("| tiny-F32.gguf |") == 2


def test_one_broken_reference_costs_itself(command: Command, model: Path, tmp_path: Path) -> None:
    found = command("bench", tmp_path / "none.gguf", model, *QUICK, "--json")
    assert found.code == 3
    assert "error:" in found.err
    assert len(json.loads(found.out)["results"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--backend", "echo"), 2, "has no real timings"),
        (("--depth", "a"), 2, "is not a list of depths"),
        (("--depth", "-1"), 2, "is not a list of depths"),
        (("--depth", ""), 2, "is not a list of depths"),
        (("--depth", "0,1000000"), 2, "a depth of 1,000,000 needs"),
        (("--backend", "llama.cpp", "--parallel", "2"), 5, "one answer at a time"),
        (("--backend", "none"), 5, "none"),
        (("--repeat", "0"), 2, "repeat"),
        (("--json", "--csv"), 2, "choose one of them"),
        (("--option", "x"), 2, "has no value"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_error(
    command: Command, model: Path, tmp_path: Path, arguments: Any, code: int, said: str
) -> None:
    found = command("bench", model, *arguments)
    assert found.code == code, found
    assert said in found.err + found.out
    assert not kept(tmp_path)


def test_nothing_to_measure_is_reported(command: Command) -> None:
    assert command("bench", "--repeat", "2").code == 2
    assert "nothing has been measured yet" in command("bench").err


def test_a_model_that_does_not_fit_is_not_loaded(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = preset_machine("rtx-3090")
    available = Figure(1 << 20, "a test")
    full = replace(full, devices=(), memory=replace(full.memory, available=available))
    monkeypatch.setattr(Installation, "with_sizes", lambda *_: full)
    found = command("bench", model, *QUICK)
    assert found.code == 4, found
    assert "would not fit" in found.err
    assert not kept(tmp_path)


def test_an_interrupt_keeps_the_depths_that_are_done(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = measured_depths.DepthBench.measure

    def interrupted(self: Any, depth: int, *rest: Any) -> Any:
        if depth:
            raise KeyboardInterrupt
        return real(self, depth, *rest)

    monkeypatch.setattr(measured_depths.DepthBench, "measure", interrupted)
    found = command("bench", model, *QUICK, "--json")
    assert found.code == 130
    (result,) = kept(tmp_path)
    assert [each.depth for each in result.depths] == [0]
    assert json.loads(found.out)["results"]
    again = command("bench", model, "--depth", "64", "--repeat", "1")
    assert (again.code, again.out) == (130, "")
    assert len(kept(tmp_path)) == 1


def test_a_busy_machine_is_reported_and_stays_in_the_result(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gemmahub.service.benching.busy_now", lambda: ["others are at work"])
    found = command("bench", model, "--depth", 0, "--repeat", 1)
    assert "warning: others are at work" in found.err
    assert "others are at work" in kept(tmp_path)[0].conditions.doubts


def test_a_server_keeps_its_own_context(
    command: Command, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gemmahub_llamacpp.backend import LlamaCppBackend

    fixed = LlamaCppBackend.capabilities | {"fixed_context"}
    monkeypatch.setattr(LlamaCppBackend, "capabilities", fixed)
    quick = ("--backend", "llama.cpp", "--repeat", 1, "--depth")
    assert command("bench", model, *quick, 0).code == 0
    assert kept(tmp_path)[0].conditions.settings["context"] == 4096  # as the model was trained


def test_a_kill_while_it_measures_leaves_nothing_broken(
    command: Command, model: Path, tmp_path: Path
) -> None:
    assert command("bench", model, "--depth", 0, "--repeat", 1).code == 0
    ended = (
        "import os, sys\n"
        "from gemmahub.cli.main import run\n"
        "from gemmahub.service.benching import depths\n"
        "depths.DepthBench.measure = lambda *_: os._exit(9)\n"  # as a kill: nothing is put away
        "run(['bench', sys.argv[1], '--depth', '0'])\n"
    )
    done = subprocess.run([sys.executable, "-c", ended, str(model)], check=False, timeout=300)
    assert done.returncode == 9
    assert len(kept(tmp_path)) == 1
    assert not list((tmp_path / "data").glob("*.damaged"))
    assert command("bench", model, "--depth", 0, "--repeat", 1).code == 0
    assert len(kept(tmp_path)) == 2


def test_several_conversations_at_once(command: Command, model: Path, tmp_path: Path) -> None:
    found = command(
        "bench", model, "--backend", "llama-server", "--parallel", 2, "--depth", 0, "--repeat", 1
    )
    assert found.code == 0, found
    (result,) = kept(tmp_path)
    assert result.parallel == 2
    assert result.conditions.settings["parallel"] == 2


def test_results_that_cannot_be_kept_are_reported(
    command: Command, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("in the way")
    found = command("bench", model, *QUICK)
    assert found.code == 0
    assert "could not be saved" in found.err
