"""Machines that are empty, huge, changing or contradict themselves: no crash, and honest advice."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.errors import GemmahubError
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.records import Figure
from gemmahub.planning.devices import device_sets
from gemmahub.planning.model import places_of
from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.ranking import recommend
from tests.hardware.trees import FakeNvml, Machines, card, pc
from tests.recommend.experts import GIB, candidates
from tests.recommend.recorded_machines import (
    INTEL_GRAPHICS,
    MIB,
    RTX_3090,
    XTX,
    XTX_COMPUTE,
    Recorded,
    amd,
    gpu,
    probed,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.hardware.records import Machine
    from gemmahub.recommend.records import ScoredPlan


def first(machine: Machine, use: str = "chat") -> ScoredPlan:
    return recommend(candidates(), places_of(machine), Requirements(use)).plans[0]


# --- little is known ---------------------------------------------------------------------------


def test_a_machine_about_which_nothing_is_known_is_told_what_to_say(tmp_path: Path) -> None:
    machine = probe_machine(Machines(tmp_path).linux())
    with pytest.raises(GemmahubError, match="the free memory of this machine") as raised:
        places_of(machine)
    assert raised.value.hint == "state it: --ram 16GiB"


def test_without_any_bandwidth_there_is_advice_and_no_speed(tmp_path: Path) -> None:
    machine = probe_machine(Machines(tmp_path).linux(pc(32, 24)))
    assert machine.cpu.bandwidth.value is None
    plan = first(machine)
    assert plan.speed is None
    # The best of those that would be at reading pace in the slowest memory that there is.
    assert plan.candidate.reference.startswith(("gemma-4-e2b-it", "gemma-4-e4b-it"))


def test_an_unknown_card_counts_as_the_slowest_that_is_possible(tmp_path: Path) -> None:
    unknown = {"name": "NVIDIA GPU of tomorrow", "memory": (24 * GIB, 0, 0)}
    machine = Recorded(pc(64, 50), (unknown,)).probed(tmp_path)
    assert machine.devices[0].bandwidth.value is None
    plan = first(machine)
    assert plan.speed is None
    assert plan.candidate.reference.startswith("gemma-4-26b-a4b-it")


@pytest.mark.parametrize("copy_rate", [0, 0.001])
def test_a_bandwidth_of_nothing_divides_nothing(copy_rate: float, tmp_path: Path) -> None:
    stopped = RTX_3090 | {"name": "NVIDIA GPU of tomorrow", "clock": 0}
    for gpus in ((), (stopped,)):
        plan = first(Recorded(pc(32, 24), gpus, copy_rate).probed(tmp_path))
        assert plan.quality.score is not None


# --- sources contradict each other -------------------------------------------------------------


def test_more_is_available_than_there_is(tmp_path: Path) -> None:
    machine = Recorded(pc(16, 64)).probed(tmp_path)
    assert machine.memory.available.value == 16 * GIB
    assert "it is more than the total" in machine.memory.available.doubt


def test_more_of_a_card_is_used_than_it_has(tmp_path: Path) -> None:
    tree = pc(32, 24) | amd(0, "744c", "0000:03:00.0", (8192, 9000, 0, 0), 0xC8)
    machine = Recorded(tree).probed(tmp_path)
    assert machine.devices[0].free.value == 0
    assert first(machine).devices == ()


def test_more_of_a_card_is_free_than_it_has(tmp_path: Path) -> None:
    odd = gpu("GeForce RTX 3090", 24576, 384, 9751, (0, -8192))
    machine = Recorded(pc(64, 50), (odd,)).probed(tmp_path)
    (device,) = machine.devices
    assert device.free.value == 24576 * MIB
    assert "it is more than the total" in device.free.doubt


def test_a_small_card_that_calls_itself_a_large_one_has_what_nvml_counts(tmp_path: Path) -> None:
    small = gpu("GeForce RTX 3090", 4096, 64, 5000)
    machine = Recorded(pc(32, 24), (small,)).probed(tmp_path)
    (device,) = machine.devices
    assert device.total.value == 4 * GIB
    assert "gives 80 GB/s" in device.bandwidth.doubt
    assert first(machine).memory.places[0].total_bytes < 4 * GIB


def test_one_card_seen_by_two_drivers_counts_once(tmp_path: Path) -> None:
    nvidia_of_drm = card(0, "10de:2204", "nvidia", slot="0000:01:00.0")
    machine = Recorded(pc(64, 50) | nvidia_of_drm, (RTX_3090,)).probed(tmp_path)
    assert [device.id for device in machine.devices] == ["cuda:0"]


# --- drivers that hang, files that vanish ------------------------------------------------------


def test_nvml_that_hangs_leaves_the_processor(tmp_path: Path) -> None:
    released = threading.Event()
    nvml = FakeNvml(RTX_3090)
    nvml.nvmlDeviceGetCount = released.wait  # type: ignore[method-assign]
    try:
        machine = probed(Machines(tmp_path).linux(pc(64, 50), nvml=nvml, deadline=0.2), 45)
    finally:
        released.set()
    assert "no answer from the driver" in machine.problems[0].reason
    assert first(machine).devices == ()


@dataclass(frozen=True, slots=True)
class Changing(SystemFiles):
    """A tree of which one file is listed and then not there, empty, cut off or not readable."""

    name: str = ""
    now: bytes | None | Unreadable = None

    def content(self, name: str) -> bytes | None:
        if name != self.name:
            return SystemFiles.content(self, name)
        if isinstance(self.now, Unreadable):
            raise self.now
        return self.now


THREE_GPUS: Final = (
    pc(32, 24)
    | XTX
    | XTX_COMPUTE
    | amd(1, "164e", "0000:12:00.0", (512, 30, 15 * 1024, 20))
    | card(2, "8086:e20b", "xe", slot="0000:43:00.0")
    | {"sys/class/drm/card2/device/tile0/physical_vram_size_bytes": f"{12216 * MIB}\n"}
    | card(3, "8086:a7a0", "i915", slot=INTEL_GRAPHICS)
)


@pytest.mark.parametrize(
    "now", [None, b"", b"1", b"\xff\xfe\n\n", Unreadable("/x: No such device")], ids=repr
)
def test_any_file_may_change_while_it_is_read(
    now: bytes | None | Unreadable, tmp_path: Path
) -> None:
    host = Machines(tmp_path).linux(THREE_GPUS)
    few = [name for name in THREE_GPUS if "/topology/" not in name] + [
        "sys/devices/system/cpu/cpu3/topology/thread_siblings_list"
    ]
    for name in few:
        machine = probed(replace(host, files=Changing(tmp_path, name, now)), 45)
        known = [device for device in machine.devices if device.available.value is not None]
        assert len(known) >= 2, name
        assert all(device.name for device in machine.devices), name
        if name != "proc/meminfo":
            assert machine.memory.available.value == 24 * GIB, name
            assert device_sets(machine), name
            places_of(machine)


# --- very large machines -----------------------------------------------------------------------


def test_a_terabyte_of_memory_is_read_no_faster(tmp_path: Path) -> None:
    plan = first(Recorded(pc(1024, 1000), (), 200).probed(tmp_path))
    assert plan.candidate.reference.startswith("gemma-4-26b-a4b-it")


def test_sixteen_unequal_gpus_make_few_sets(tmp_path: Path) -> None:
    cards = tuple(gpu(f"A100 {n}", 81920 - 4096 * n, 5120, 1500 - 20 * n) for n in range(12))
    tree = pc(512, 480)
    for number in range(4):
        mib = (24560, 1024 * number, 0, 0)
        tree |= amd(number, "744c", f"0000:{number + 3:02x}:00.0", mib, 0xC8)
    machine = Recorded(tree, cards, 200).probed(tmp_path)
    assert len(machine.devices) == 16
    sets = device_sets(machine)
    assert len(sets) <= 16
    assert len(sets[0]) == 12
    plan = first(machine)
    assert plan.candidate.reference.startswith("gemma-4-31b-it")


def test_a_machine_with_a_petabyte_a_second_is_no_overflow(tmp_path: Path) -> None:
    machine = Recorded(pc(1024, 1000), (RTX_3090,)).probed(tmp_path)
    fast = Figure(10**15, "test", unit="B/s")
    machine = replace(machine, devices=(replace(machine.devices[0], bandwidth=fast),))
    plan = first(machine)
    assert plan.speed is not None
    assert plan.speed.likely < 1000
