"""A build of the engine that cannot use a GPU that is here: both answers, and what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import EngineDevice
from gemmahub.errors import BackendError
from gemmahub.hardware.records import Figure
from gemmahub.hardware.simulate import preset_machine
from gemmahub.service import Library, Requirements, engine_devices
from gemmahub.service.right_build import right_build

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Command = Any
CPU = EngineDevice("CPU", "cpu")
CUDA = EngineDevice("CUDA0", "cuda")


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[int]]:
    """Makes this a PC with an RTX 3090 whose engine states these devices; counts the questions."""
    pc = replace(preset_machine("rtx-3090"), simulated=False)
    rate = Figure(50 * 10**9, "test", unit="B/s")
    pc = replace(pc, cpu=replace(pc.cpu, bandwidth=rate))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no answer is remembered there
    monkeypatch.setattr(Library, "hardware", lambda self, measure=False: pc)

    def state(devices: Sequence[EngineDevice] | None | BackendError) -> list[int]:
        asked: list[int] = []

        def answer(offer: Any) -> Any:
            asked.append(1)
            if isinstance(devices, BackendError):
                raise devices
            return devices and tuple(devices)

        monkeypatch.setattr(engine_devices, "devices_of", answer)
        return asked

    return state


def advised(library: Library) -> tuple[str, tuple[str, ...]]:
    best = library.recommend(Requirements(limit=1))[0]
    return best.variant.reference, best.plan.devices


def test_the_recommendation_is_for_what_runs_now(states: Callable[..., Any]) -> None:
    states([CPU])
    library = Library()
    machine = library.machine_for()
    assert machine.devices[0].unusable.startswith("the installed llama-server")
    assert advised(library) == ("gemma-4-26b-a4b-it:q4_0-qat", ())
    better = right_build(library, Requirements(), machine)
    assert better is not None
    assert better.recommendation.variant.reference == "gemma-4-31b-it:q4_0-qat"
    assert better.devices == ("GeForce RTX 3090",)
    assert "plugins.llamaserver.program" in better.hint


def test_a_build_that_uses_the_gpu_is_right(states: Callable[..., Any]) -> None:
    states([CPU, CUDA])
    library = Library()
    machine = library.machine_for()
    assert advised(library) == ("gemma-4-31b-it:q4_0-qat", ("cuda:0",))
    assert right_build(library, Requirements(), machine) is None


@pytest.mark.parametrize("answer", [None, BackendError("it does not start")])
def test_an_engine_that_does_not_say_may_use_everything(
    states: Callable[..., Any], answer: Any
) -> None:
    states(answer)
    library = Library()
    assert advised(library)[1] == ("cuda:0",)
    assert right_build(library, Requirements(), library.machine_for()) is None


def test_the_engine_is_asked_once(
    states: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = states([CPU])
    first = Library().machine_for()
    assert Library().machine_for() == first
    assert len(asked) == 1
    file = Library().config.cache / "engine-devices.json"
    file.write_text(file.read_text().replace("CPU", "", 1).replace('"name"', '"nam"'))
    assert Library().machine_for() == first  # a damaged answer is none
    assert len(asked) == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    Library().machine_for()
    assert len(asked) == 3


def test_both_are_shown_with_the_command(command: Command, states: Callable[..., Any]) -> None:
    states([CPU])
    shown = command("recommend").out
    above, _, table = shown.partition("precision")
    assert "llama-server does not use GeForce RTX 3090" in above
    assert "gemma-4-31b-it:q4_0-qat" in above
    assert "plugins.llamaserver.program" in above
    assert "gemma-4-26b-a4b-it:q4_0-qat" in table.splitlines()[1]
    found = json.loads(command("recommend", "--json").out)
    assert found["right_build"]["recommendation"]["reference"] == "gemma-4-31b-it:q4_0-qat"
    assert found["recommendations"][0]["memory"]["devices"][0]["device"] == "cpu"


def test_simulated_machines_have_no_engine(states: Callable[..., list[int]]) -> None:
    asked = states([CPU])
    library = Library()
    machine = library.machine_for("rtx-4090")
    assert right_build(library, Requirements(), machine) is None
    assert not machine.devices[0].unusable
    assert asked == []
