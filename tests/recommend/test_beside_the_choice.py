"""What stands beside the first choice on machines from public reports: remedies and limits."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from gemmahub.engines.contract import EngineDevice, Settings
from gemmahub.errors import LoadFailed
from gemmahub.planning.devices import told, usable_by
from gemmahub.planning.model import places_of
from gemmahub.recommend.alternatives import reasons_of
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.ranking import Ranking, recommend
from gemmahub.service import Library, PlanOptions
from gemmahub.service.right_build import right_build
from tests.recommend.experts import GIB, candidates
from tests.recommend.recorded_containers import RECORDED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.hardware.records import Machine

Command = Any
CPU: Final = EngineDevice("CPU", "cpu")
Usage = namedtuple("Usage", "total used free")


def ranking(machine: Machine, use: str = "chat", **wanted: Any) -> Ranking:
    return recommend(candidates(), places_of(machine), Requirements(use, **wanted))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Machine]:
    """Makes this a recorded machine whose engine uses ``stated`` devices (all it may)."""

    def become(name: str, *stated: EngineDevice) -> Machine:
        machine = RECORDED[name].probed(tmp_path / "root")
        monkeypatch.setattr(Library, "hardware", lambda self, measure=False: machine)
        answer = ("llama.cpp", stated) if stated else None
        monkeypatch.setattr(Library, "engine_devices", lambda self, machine: answer)
        return machine

    return become


@pytest.mark.parametrize(
    ("name", "reason", "remedy"),
    [
        ("GPU whose driver was updated under it", "version mismatch", "restart the machine"),
        ("RX 7900 XTX without the right to /dev/kfd", "/dev/kfd", "usermod -aG render"),
        ("RX 7900 XTX without the right to its render node", "renderD128", "usermod -aG render"),
    ],
)
def test_a_gpu_that_fails_is_named_beside_the_recommendation(
    command: Command, here: Callable[..., Machine], name: str, reason: str, remedy: str
) -> None:
    here(name)
    shown = command("recommend", "--limit", "1")
    assert shown.code == 0
    assert reason in shown.err
    assert remedy in shown.err


def test_an_engine_without_gpus_is_advised_with_what_the_right_build_gives(
    here: Callable[..., Machine],
) -> None:
    machine = usable_by(here("RTX 3090", CPU), "llama.cpp", (CPU,))
    library = Library()
    now = library.recommend(Requirements(limit=1), machine)[0]
    assert now.variant.reference.startswith(("gemma-4-26b-a4b-it:q4", "gemma-4-26b-a4b-it:ud-q4"))
    assert now.plan.devices == ()
    better = right_build(library, Requirements(), machine)
    assert better is not None
    assert better.devices == ("NVIDIA GeForce RTX 3090",)
    assert better.recommendation.variant.reference.startswith("gemma-4-31b-it:q4")
    assert "CMAKE_ARGS=" in better.hint


def test_a_full_card_is_left_out_by_the_command(here: Callable[..., Machine]) -> None:
    machine = here("Two RTX 3090, the first full")
    machine = replace(
        machine,
        devices=tuple(
            replace(device, pci=f"0000:0{number}:00.0")
            for number, device in enumerate(machine.devices)
        ),
    )
    first = Library().recommend(Requirements(limit=1), machine)[0]
    assert first.plan.devices == ("cuda:1",)
    assert told(machine, first.plan.devices) == ("0000:01:00.0",)
    assert "devices=0000:01:00.0" in first.command


@pytest.mark.parametrize(
    ("name", "alone"),
    [
        ("Laptop with an RTX 4060 and the processor's graphics", "Laptop with an RTX 4060"),
        ("RX 7900 XTX and the processor's graphics", "RX 7900 XTX"),
        ("Laptop with Intel UHD graphics", "The same laptop without graphics"),
        ("RX 7900 XTX without the right to /dev/kfd", "RX 7900 XTX"),
        ("Container of 32 GiB, its file cache on the active list",
         "Container of 32 GiB, its file cache on the inactive list"),
    ],
)  # fmt: skip
def test_what_is_of_no_use_changes_nothing(name: str, alone: str, tmp_path: Path) -> None:
    def first_three(machine: Machine, use: str) -> list[Any]:
        plans = ranking(machine, use).plans[:3]
        return [(p.candidate.reference, p.settings, p.devices, round(p.points, 6)) for p in plans]

    found = RECORDED[name].probed(tmp_path / "one")
    without = RECORDED[alone].probed(tmp_path / "other")
    for use in ("chat", "fast"):
        assert first_three(found, use) == first_three(without, use)


@pytest.mark.parametrize(
    ("name", "reference", "devices", "fits"),
    [
        ("Two RTX 3090, the first full", "gemma-4-26b-a4b-it:q4_0-qat", ["cuda:1"], True),
        ("RTX 3090 and a GTX 1050 Ti that drives the monitor", "gemma-4-31b-it:q4_0-qat",
         ["cuda:0"], True),  # a tenth of the layers is too much for the small card
        ("Laptop with an RTX 4060 and the processor's graphics", "gemma-4-31b-it:q4_0-qat",
         ["cuda:0"], False),
        ("RX 7900 XTX without the right to its render node", "gemma-4-31b-it:q4_0-qat", [], True),
    ],
)  # fmt: skip
def test_a_plan_is_for_devices_where_it_fits(
    here: Callable[..., Machine], name: str, reference: str, devices: list[str], fits: bool
) -> None:
    here(name)
    plan = Library().plan(reference, PlanOptions(context=16_384))
    assert [place.device for place in plan.memory.places[:-1]] == devices
    assert plan.memory.fits is fits


@pytest.mark.parametrize(
    ("name", "settings", "devices"),
    [
        ("RTX 3090 and a GTX 1050 Ti that drives the monitor", Settings(), "cuda:0"),
        ("Two RTX 3090, the first full", Settings(), "cuda:1"),
        ("Two RTX 3090, the first full", Settings(options={"devices": "CUDA0"}), "CUDA0"),
        ("RTX 3090", Settings(), None),  # what the engine does by itself
    ],
)
def test_run_uses_the_devices_that_the_plan_is_for(
    here: Callable[..., Machine],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: Settings,
    devices: str | None,
) -> None:
    machine = here(name)
    seen: list[Settings] = []

    def load(offer: Any, model: Any, settings: Settings, *more: Any) -> Any:
        seen.append(settings)
        raise LoadFailed("not loaded in a test")

    monkeypatch.setattr("gemmahub.engines.choice.load_session", load)
    with pytest.raises(LoadFailed):
        Library().load("gemma-3-270m:q4_k_m", settings, backend="llama.cpp")
    plan = Library().plan("gemma-3-270m:q4_k_m", PlanOptions())
    planned = tuple(place.device for place in plan.memory.places[:-1])
    said = seen[0].options.get("devices") or None
    assert said == devices or said == next(d.pci for d in machine.devices if d.id == devices)
    assert "devices" in settings.options or told(machine, planned) == (said and (said,))


def test_a_disk_of_5_gib_is_reported(
    command: Command, here: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(100 * GIB, 95 * GIB, 5 * GIB))
    from gemmahub.hardware.probe import probe_machine

    machine = replace(here("RTX 3090"), disks=probe_machine(folders=[tmp_path]).disks)
    first = Library().recommend(Requirements(limit=1), machine)[0]
    assert first.variant.reference.startswith(("gemma-4-e4b-it", "gemma-4-e2b-it"))
    (why,) = (reason for reason in first.reasons if "does not fit on the disk" in reason)
    assert why.startswith(("gemma-4-31b-it", "gemma-4-26b-a4b-it"))
    assert "5.37 GB are free" in why


def test_reading_a_long_document_without_a_gpu_is_said_to_take_hours(tmp_path: Path) -> None:
    found = ranking(RECORDED["Processor alone, 32 GB"].probed(tmp_path), "long-context")
    assert found.plans[0].settings.context == 131_072
    (why,) = (reason for reason in reasons_of(found, 0, 131_072) if "first token" in reason)
    assert " h with one that fills the context" in why


def test_carved_out_memory_holds_the_largest_context_of_31b(tmp_path: Path) -> None:
    machine = RECORDED["Strix Halo, 96 GiB carved out"].probed(tmp_path)
    found = ranking(machine, model="gemma-4-31b-it")
    eight_bits = next(plan for plan in found.plans if "q8_0" in plan.candidate.reference)
    assert found.largest_context(eight_bits) == 262_144


def test_layers_fit_beside_the_projector_of_a_small_card(tmp_path: Path) -> None:
    machine = RECORDED["GTX 1650 4 GB, 16 GB"].probed(tmp_path)
    for model in ("gemma-4-e2b-it", "gemma-4-e4b-it"):
        plan = ranking(machine, "vision", model=model).plans[0]
        assert plan.devices == ("cuda:0",)
        assert plan.memory.gpu_layers > 0
        assert plan.memory.places[0].weights_bytes > 0
        assert plan.memory.headroom_bytes >= 512 << 20


@pytest.mark.parametrize(
    ("name", "speed"),
    [("Laptop with an RTX 4060, 16 GB", 20), ("RTX 3090", 40)],
)
def test_published_speed_of_the_first_choice_is_inside_its_band(
    name: str, speed: float, tmp_path: Path
) -> None:
    band = ranking(RECORDED[name].probed(tmp_path)).plans[0].speed
    assert band is not None
    assert band.low <= speed <= band.high
