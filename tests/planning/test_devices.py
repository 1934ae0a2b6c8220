"""Which devices are planned for together: those that one engine can use, and the useful ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.contract import EngineDevice
from gemmahub.hardware.described import described_machine
from gemmahub.hardware.records import Device, EngineHere, Figure, Kind, Machine
from gemmahub.hardware.simulate import simulate_machine
from gemmahub.planning.candidates import candidates_of
from gemmahub.planning.devices import (
    device_sets,
    told,
    unused_by,
    usable_by,
    with_workers,
    without_workers,
    workers_of,
)
from gemmahub.planning.fit import fit_in, fit_of
from gemmahub.planning.model import places_of
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.ranking import recommend

GIB = 1 << 30


def device(
    id_: str, free: float = 24, gbs: float | None = 900, kind: Kind = Kind.DISCRETE, name: str = ""
) -> Device:
    size = Figure(int(free * GIB), "test")
    rate = Figure(None if gbs is None else round(gbs * 1e9), "test", unit="B/s")
    return Device(
        id_, name or id_, "Maker", kind, size, free=size, bandwidth=rate, pci=f"pci {id_}"
    )


def machine(*devices: Device, ram: int = 64, gbs: float | None = 50) -> Machine:
    base = simulate_machine(ram=ram * GIB)
    rate = Figure(None if gbs is None else round(gbs * 1e9), "test", unit="B/s")
    return replace(base, devices=devices, cpu=replace(base.cpu, bandwidth=rate))


def ids(place: Machine) -> list[str]:
    return ["+".join(device.id for device in devices) for devices in device_sets(place)]


def integrated(id_: str, free: float = 24, gbs: float | None = 50) -> Device:
    return device(id_, free, gbs, Kind.INTEGRATED)


NVIDIA, SMALL = device("cuda:0"), device("cuda:1", 3, 112)


@pytest.mark.parametrize(
    ("devices", "sets"),
    [
        ([], [""]),
        ([device("cuda:0", 0.6)], [""]),
        ([NVIDIA], ["cuda:0"]),
        ([NVIDIA, integrated("intel:0")], ["cuda:0"]),
        ([NVIDIA, SMALL], ["cuda:0+cuda:1", "cuda:0", "cuda:1"]),
        ([NVIDIA, device("amd:0", 16)], ["cuda:0", "amd:0"]),
        ([NVIDIA, device("cuda:1", 0.6)], ["cuda:0"]),
        ([device("cuda:0", 0.6), integrated("intel:0")], ["intel:0", ""]),
        ([NVIDIA, replace(SMALL, unusable="no permission to open it")], ["cuda:0"]),
        ([NVIDIA, replace(SMALL, free=Figure.unknown("hung"))], ["cuda:0"]),
        ([integrated("intel:0")], ["intel:0", ""]),
        ([device("metal:0", 40, 400, Kind.UNIFIED)], ["metal:0"]),
        ([integrated("amd:0", 110, 256), device("cuda:0", 8)], ["amd:0", "cuda:0"]),
        ([integrated("amd:0", 60, 50), device("amd:1", 24)], ["amd:1"]),
        ([device("cuda:0/mig:0", 9), device("cuda:0/mig:1", 20)], ["cuda:0/mig:1", "cuda:0/mig:0"]),
        ([device("npu:0", 60, None), NVIDIA], ["npu:0", "cuda:0"]),
    ],
)
def test_sets(devices: list[Device], sets: list[str]) -> None:
    assert ids(machine(*devices)) == sets


def test_workers_on_other_machines_are_part_of_each_set() -> None:
    """They were asked for; llama.cpp takes them before its own GPUs, and no integrated one."""
    found = [
        EngineDevice("RPC0", "rpc", "10.0.0.2:50052", "", 24 * GIB, 20 * GIB),
        EngineDevice("RPC1", "rpc", "10.0.0.2:50052", "", 8 * GIB, None),
        EngineDevice("RPC2", "rpc", "pi.local:1", "", None, None),
    ]
    place = with_workers(replace(machine(NVIDIA, SMALL), simulated=False), found)
    both = "rpc:0+rpc:1+rpc:2+"
    assert ids(place) == [f"{both}cuda:0+cuda:1", f"{both}cuda:0", f"{both}cuda:1"]
    assert ids(with_workers(machine(integrated("intel:0")), found[:1])) == ["rpc:0"]
    assert ids(with_workers(machine(), found[:1])) == ["rpc:0"]
    memories = places_of(place)[0].machine.devices
    assert [each.free_bytes // GIB for each in memories] == [20, 8, 0, 24, 3]
    assert workers_of(place) == ("10.0.0.2:50052", "pi.local:1")
    assert told(place, ["rpc:0", "rpc:1", "rpc:2", "cuda:0", "cuda:1"]) is None


def test_a_described_cluster_may_be_more_than_a_model_needs() -> None:
    """So the first machine alone is weighed, too, and a plan that uses it names no workers."""
    place = described_machine("2x h100, 2 nodes")
    assert ids(place) == [
        "rpc:0+rpc:1+cuda:0+cuda:1", "rpc:0+rpc:1+cuda:0", "cuda:0+cuda:1", "cuda:0"
    ]  # fmt: skip
    alone = without_workers(place)
    assert workers_of(place) == ("node-2:50052",)
    assert workers_of(alone) == ()
    assert told(alone, ["cuda:0"]) == ("cuda:0",)


def test_sixteen_cards_make_few_sets() -> None:
    cards = [device(f"cuda:{n}", 80 - n, 2000, name="A100") for n in range(16)]
    sets = device_sets(machine(*cards))
    assert len(sets[0]) == 16
    assert [len(devices) for devices in sets if len(devices) > 1] == [16, 8, 4, 2]
    assert len(sets) < 12
    assert [device.id for device in sets[1]] == [f"cuda:{n}" for n in range(8)]


def test_an_engine_is_told_what_it_would_not_choose() -> None:
    place = machine(NVIDIA, SMALL, integrated("intel:0"))
    assert told(place, ["cuda:0", "cuda:1"]) is None
    assert told(place, ["cuda:0"]) == ("pci cuda:0",)
    assert told(place, []) == ()
    assert told(machine(integrated("intel:0")), ["intel:0"]) is None
    full = machine(NVIDIA, device("cuda:1", 0.6))
    assert told(full, ["cuda:0"]) == ("pci cuda:0",)
    assert told(machine(), []) is None


@pytest.mark.parametrize(("address", "name"), [("0000:01:00.0", "pci cuda:0"), ("", "cuda:0")])
def test_an_engine_is_told_a_number_where_it_knows_no_addresses(address: str, name: str) -> None:
    place = replace(machine(NVIDIA, SMALL), engine=EngineHere("an engine"))
    seen = usable_by(place, "an engine", [replace(CUDA, hardware_id=address)])
    assert told(replace(place, engine=seen.engine), ["cuda:0"]) == (name,)


def first(place: Machine, use: str = "chat") -> tuple[str, tuple[str, ...]]:
    candidates = candidates_of([], load_catalog())
    plan = recommend(candidates, places_of(place), Requirements(use)).plans[0]
    return plan.candidate.reference, plan.devices


def test_a_small_card_does_not_slow_a_fast_one() -> None:
    alone = first(machine(NVIDIA))
    assert first(machine(NVIDIA, SMALL)) == alone == ("gemma-4-31b-it:q4_0-qat", ("cuda:0",))
    assert first(machine(device("cuda:0", 0.6), replace(NVIDIA, id="cuda:1")))[1] == ("cuda:1",)


def test_two_cards_hold_what_one_cannot() -> None:
    pair = machine(device("cuda:0", 12), device("cuda:1", 12))
    assert first(pair) == ("gemma-4-31b-it:q4_0-qat", ("cuda:0", "cuda:1"))


def test_an_integrated_gpu_is_no_better_than_the_processor() -> None:
    without = first(machine(ram=27))
    assert without == ("gemma-4-26b-a4b-it:q4_0-qat", ())
    assert first(machine(integrated("intel:0", 20), ram=27)) == without
    assert first(machine(integrated("amd:0", 26, 256), ram=27))[1] == ("amd:0",)


def test_a_model_fits_where_one_set_of_devices_has_room() -> None:
    large = next(
        c for c in candidates_of([], load_catalog()) if c.reference == "gemma-4-31b-it:q4_0-qat"
    )
    model = large.architecture, large.weights
    places = [place.machine for place in places_of(machine(NVIDIA, device("cuda:1", 1.2, 112)))]
    assert not fit_of(model, places[0]).fits
    assert fit_in(model, places).fits


CUDA = EngineDevice("CUDA0", "cuda", hardware_id="0000:01:00.0")
CPU = EngineDevice("CPU", "cpu")


@pytest.mark.parametrize(
    ("pci", "vendor", "stated", "usable"),
    [
        ("0000:01:00.0", "NVIDIA", [CPU, CUDA], True),
        ("0000:41:00.0", "NVIDIA", [CPU, CUDA], False),  # another card
        (None, "NVIDIA", [CUDA], True),
        ("0000:01:00.0", "NVIDIA", [replace(CUDA, hardware_id="")], True),
        (None, "AMD", [CUDA], False),
        (None, "AMD", [EngineDevice("Vulkan0", "vulkan")], True),
        (None, "Apple", [EngineDevice("MTL0", "metal")], True),
        (None, "NVIDIA", [CPU], False),
        (None, "NVIDIA", [], False),
        (None, "Example", [CPU], True),  # an engine of that maker may be for it
    ],
)
def test_what_an_engine_states_is_what_can_be_used(
    pci: str | None, vendor: str, stated: list[EngineDevice], usable: bool
) -> None:
    place = machine(replace(NVIDIA, pci=pci, vendor=vendor))
    (found,) = usable_by(place, "llama.cpp", stated).devices
    assert found.unusable == ("" if usable else unused_by("llama.cpp"))
    barred = machine(replace(NVIDIA, unusable="no permission to open it"))
    assert usable_by(barred, "llama.cpp", [CPU]).devices[0].unusable == "no permission to open it"


def test_makers_are_pooled_where_one_interface_drives_both() -> None:
    slow = replace(device("amd:0", 16, 300), vendor="AMD")
    place = machine(replace(NVIDIA, vendor="NVIDIA"), slow)
    assert ids(usable_by(place, "llama.cpp", [EngineDevice("CUDA0", "cuda")])) == ["cuda:0"]
    vulkan = usable_by(place, "llama.cpp", [EngineDevice("Vulkan0", "vulkan")])
    assert ids(vulkan) == ["cuda:0+amd:0", "cuda:0", "amd:0"]
    assert {d.kind for each in places_of(vulkan) for d in each.machine.devices} == {"vulkan"}
    # What fits the faster one alone stays there; what does not is on both.
    candidates = candidates_of([], load_catalog())
    assert recommend(candidates, places_of(vulkan), Requirements()).plans[0].devices == ("cuda:0",)
    both = Requirements(model="gemma-4-31b-it", context=131_072, offload=False)
    large = [c for c in candidates if c.reference == "gemma-4-31b-it:q8_0"]
    assert recommend(large, places_of(vulkan), replace(both, model=None)).plans[0].devices == (
        "cuda:0", "amd:0",
    )  # fmt: skip


def test_zero_bandwidth_and_a_terabyte_are_not_trouble() -> None:
    assert first(machine(device("cuda:0", 24, 0), ram=1024, gbs=0))[1] == ("cuda:0",)
