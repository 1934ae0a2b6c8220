"""GPUs of which drivers tell little or odd things: parts, shared memory, rights, failures."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.hardware.host import Host
from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.records import Kind
from gemmahub.memory.machine import DeviceMemory, MachineMemory
from gemmahub.memory.places import DevicePlan
from gemmahub.memory.plan import headroom
from gemmahub.planning import machine_of
from tests.hardware.trees import NoRights

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.hardware.records import Device

    Tree = Callable[..., dict[str, str]]

GIB = 1 << 30
MIB = 1 << 20


def arm(tree: dict[str, str]) -> dict[str, str]:
    """The same machine with an ARM processor."""
    return tree | {"proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd asimddp\n"}


# --- NVIDIA ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "memory", "total", "rate"),
    [
        ("NVIDIA GB10", None, 119, 273),
        ("NVIDIA GB10", (119 * GIB, 0, 0), 119, 273),  # a driver that gives the system's memory
        ("NVIDIA Thor", None, 119, 273),
        ("Orin (nvgpu)", None, 61, 204.8),
        ("Orin (nvgpu)", None, 15, 102.4),
        ("Orin (nvgpu)", None, 7, None),
        ("NVIDIA GPU of tomorrow", None, 119, None),
    ],
)
def test_gpu_without_own_memory_in_a_container(
    machines: Any, pc: Tree, name: str, memory: Any, total: int, rate: float | None
) -> None:
    nvml = machines.Nvml({"name": name, "memory": memory})
    machine = probe_machine(machines.linux(arm(pc(total, total - 5)), nvml=nvml))
    (gpu,) = machine.devices
    assert gpu.kind is Kind.UNIFIED
    assert gpu.free.value == (total - 5) * GIB
    if rate is not None:
        assert gpu.bandwidth.value == round(rate * 1e9)
    place = machine_of(machine)
    assert place.devices[0].taken_from_host(GIB) == GIB


def test_gh200_has_its_own_memory(machines: Any, pc: Tree) -> None:
    hopper = {"name": "NVIDIA GH200 480GB", "memory": (97871 * MIB, 600 * MIB, 0),
              "width": 6144, "clock": 2619}  # fmt: skip
    host = machines.linux(arm(pc(480, 450)), nvml=machines.Nvml(hopper))
    (gpu,) = probe_machine(host).devices
    assert (gpu.kind, gpu.total.value) == (Kind.DISCRETE, 97871 * MIB)
    assert gpu.bandwidth.value == 2619 * 10**6 * 2 * 6144 // 8


@pytest.mark.parametrize(
    ("name", "memory", "rate"),
    [
        ("GRID A100D-10C", 10, 1935 / 8),
        ("NVIDIA A40-12Q", 12, 696 / 4),
        ("NVIDIA A100-1-5C", 5, 1555 / 8),
        ("GRID T4-8Q", 8, 160),
        ("NVIDIA RTX6000-Ada-24Q", 24, 480),
        ("NVIDIA X9-4Q", 4, None),
    ],
)
def test_virtual_gpu_has_a_share_of_the_bandwidth(
    machines: Any, pc: Tree, name: str, memory: int, rate: float | None
) -> None:
    part = {"name": name, "memory": (memory * GIB, 0, 0), "width": 5120, "clock": 1593}
    (gpu,) = probe_machine(machines.linux(pc(), nvml=machines.Nvml(part))).devices
    assert gpu.bandwidth.value == (None if rate is None else round(rate * 1e9))
    assert gpu.bandwidth.doubt


@pytest.mark.parametrize(
    ("name", "share"),
    [("NVIDIA A100-SXM4-80GB MIG 3g.40gb", 1 / 2), ("NVIDIA H200 MIG 1g.18gb", 1 / 8)],
)
def test_mig_slice_in_a_container_that_hides_the_whole_gpu(
    machines: Any, pc: Tree, name: str, share: float
) -> None:
    model = name.partition(" MIG")[0]
    whole = {"name": model, "mig": (1, 1), "slices": [{"name": name}]}
    (gpu,) = probe_machine(machines.linux(pc(), nvml=machines.Nvml(whole))).devices
    whole_rate = {"NVIDIA A100-SXM4-80GB": 2039e9, "NVIDIA H200": 4800e9}[model]
    assert gpu.bandwidth.value == round(whole_rate * share)


def test_driver_mismatch_says_to_restart(machines: Any, pc: Tree) -> None:
    nvml = machines.Nvml(failure="Driver/library version mismatch")
    (problem,) = probe_machine(machines.linux(pc(), nvml=nvml)).problems
    assert "restart the machine" in problem.hint


def test_wsl_with_nvidias_library_that_fails(machines: Any, pc: Tree) -> None:
    nvml = machines.Nvml(failure="GPU access blocked by the operating system")
    wsl = pc() | {"dev/dxg": "", "usr/lib/wsl/lib/libnvidia-ml.so.1": ""}
    (problem,) = probe_machine(Host(machines.write(wsl), "linux", nvml=lambda: nvml)).problems
    assert "in WSL: GPU access blocked" in problem.reason
    assert "wsl --update" in problem.hint


def test_missing_memory_driver_of_cuda_is_reported(machines: Any, pc: Tree) -> None:
    nvml = machines.Nvml({"name": "NVIDIA L4", "memory": (24 * GIB, 0, 0)})
    tree = pc() | {"dev/null": ""}
    machine = probe_machine(machines.linux(tree, nvml=nvml))
    assert [problem.reason for problem in machine.problems] == [
        "CUDA needs /dev/nvidia-uvm, which is not here"
    ]
    tree["dev/nvidia-uvm"] = ""
    assert probe_machine(machines.linux(tree, nvml=nvml)).problems == ()


def test_probe_that_hangs_is_given_up_after_two_seconds(machines: Any, pc: Tree) -> None:
    assert Host().deadline == 2.0
    released = threading.Event()
    nvml = machines.Nvml({"name": "NVIDIA L4"})
    nvml.nvmlDeviceGetCount = released.wait
    try:
        machine = probe_machine(machines.linux(pc(), nvml=nvml, deadline=0.2))
    finally:
        released.set()
    assert [problem.probe for problem in machine.problems] == ["nvidia"]
    assert machine.memory.available.value == 24 * GIB


# --- AMD ---------------------------------------------------------------------------------------


def strix_halo(card: Tree, pc: Tree, vram: int, gtt: int, memory: int, ids: str) -> dict[str, str]:
    return pc(memory, memory - 5) | card(
        1, ids, "amdgpu", slot="0000:c1:00.0", revision=0xC1,
        mem_info_vram_total=vram * GIB, mem_info_vram_used=600 * MIB,
        mem_info_gtt_total=gtt * GIB, mem_info_gtt_used=0,
    )  # fmt: skip


def test_carved_out_memory_is_not_the_hosts(machines: Any, pc: Tree, card: Tree) -> None:
    tree = strix_halo(card, pc, 96, 15, 31, "1002:1586")
    machine = probe_machine(machines.linux(tree))
    (gpu,) = machine.devices
    assert (gpu.kind, gpu.bandwidth.value) == (Kind.INTEGRATED, 256_000_000_000)
    (device,) = machine_of(machine).devices
    own = 96 * GIB - 600 * MIB
    assert device.free_bytes == own + 15 * GIB
    assert device.taken_from_host(own) == 0
    assert device.taken_from_host(own + 3) == 3


def test_headroom_counts_only_the_mapped_part_of_the_host() -> None:
    device = DeviceMemory("amd:0", "rocm", 100, 100, unified=True, carved_bytes=80)
    machine = MachineMemory((device,), 40, 40)

    def room(on_device: int, on_host: int) -> int:
        places = [
            DevicePlan(name, size, 0, 0, 0, 0, 0, free, free)
            for name, size, free in (("amd:0", on_device, 100), ("cpu", on_host, 40))
        ]
        return headroom(machine, places)

    assert room(80, 30) == 10
    assert room(95, 30) == -5


def test_apu_of_an_unknown_id_is_known_by_its_sensors(machines: Any, pc: Tree, card: Tree) -> None:
    host = machines.linux(strix_halo(card, pc, 8, 12, 24, "1002:1f00"))
    metrics = host.files.path("sys/class/drm/card1/device/gpu_metrics")
    for version, kind in ((1, Kind.DISCRETE), (2, Kind.INTEGRATED), (3, Kind.INTEGRATED)):
        metrics.write_bytes(bytes([120, 0, version, 4]))
        (gpu,) = probe_machine(host).devices
        assert gpu.kind is kind


def test_mi300a_has_one_memory(machines: Any, pc: Tree, card: Tree) -> None:
    tree = strix_halo(card, pc, 128, 64, 125, "1002:74a0")
    (gpu,) = probe_machine(machines.linux(tree)).devices
    assert (gpu.kind, gpu.shared_total) == (Kind.UNIFIED, None)
    assert gpu.available.value == 120 * GIB


def test_bandwidth_of_an_unknown_card_by_clock_and_width(
    machines: Any, pc: Tree, card: Tree
) -> None:
    sizes = {"mem_info_vram_total": 16 * GIB, "mem_info_vram_used": 0}
    tree = pc() | card(0, "1002:7fff", "amdgpu", slot="0000:03:00.0", **sizes)
    node = "sys/class/kfd/kfd/topology/nodes/1"
    tree[f"{node}/properties"] = "location_id 768\ndomain 0\ngfx_target_version 120001\n"
    tree[f"{node}/mem_banks/0/properties"] = "heap_type 1\nwidth 256\nmem_clk_max 1258\n"
    (gpu,) = probe_machine(machines.linux(tree)).devices
    assert gpu.compute_capability == "gfx1201"
    assert gpu.bandwidth.value == 1258 * 10**6 * 16 * 256 // 8
    assert "GDDR6" in gpu.bandwidth.doubt


def radeon(card: Tree, pc: Tree) -> dict[str, str]:
    sizes = {"mem_info_vram_total": 24 * GIB, "mem_info_vram_used": 0}
    tree = pc() | card(0, "1002:744c", "amdgpu", slot="0000:03:00.0", **sizes)
    node = "sys/class/kfd/kfd/topology/nodes/1/properties"
    tree[node] = "location_id 768\ndomain 0\ngfx_target_version 110000\n"
    return tree | {"dev/null": "", "dev/kfd": ""}


def test_card_without_rights_is_named_with_the_remedy(machines: Any, pc: Tree, card: Tree) -> None:
    tree = radeon(card, pc)
    render = "sys/class/drm/card0/device/drm/renderD128/dev"
    host = machines.linux(tree | {render: "226:128", "dev/dri/renderD128": ""})
    machine = probe_machine(replace(host, files=NoRights(host.files.root)))
    (problem,) = machine.problems
    assert problem.reason == "0000:03:00.0: no permission to open /dev/dri/renderD128"
    assert "usermod -aG render" in problem.hint
    assert machine.devices[0].unusable == problem.reason
    assert machine_of(machine).devices == ()
    assert probe_machine(host).problems == ()


def test_card_that_rocm_cannot_use_stays_for_vulkan(machines: Any, pc: Tree, card: Tree) -> None:
    host = machines.linux(radeon(card, pc))
    machine = probe_machine(replace(host, files=NoRights(host.files.root)))
    (problem,) = machine.problems
    assert "no permission to open /dev/kfd" in problem.reason
    assert len(machine_of(machine).devices) == 1


def test_card_whose_node_the_container_does_not_have(machines: Any, pc: Tree, card: Tree) -> None:
    tree = pc() | card(0, "8086:e20b", "xe") | {"dev/null": ""}
    tree["sys/class/drm/card0/device/drm/renderD128/dev"] = "226:128"
    machine = probe_machine(machines.linux(tree))
    assert machine.problems[0].hint == "start the container with --device /dev/dri"
    assert machine_of(machine).devices == ()


# --- Intel -------------------------------------------------------------------------------------


def intel(machines: Any, tree: dict[str, str]) -> Device:
    (gpu,) = probe_machine(machines.linux(tree)).devices
    return gpu


def test_window_onto_local_memory_tells_the_sizes_of_one_id_apart(
    machines: Any, pc: Tree, card: Tree
) -> None:
    tree = pc() | card(0, "8086:56a0", "i915")
    bar = "0x{:016x} 0x{:016x} 0x000000000014220c"
    small = [bar.format(0, 0), bar.format(0, 0), bar.format(1 << 38, (1 << 38) + (256 * MIB) - 1)]
    tree["sys/class/drm/card0/device/resource"] = "\n".join(small)
    assert intel(machines, tree).total.value == 8 * GIB
    small[2] = bar.format(1 << 38, (1 << 38) + 16 * GIB - 1)
    tree["sys/class/drm/card0/device/resource"] = "\n".join(small)
    assert intel(machines, tree).total.value == 16 * GIB


def test_integrated_gpu_has_the_systems_bandwidth(machines: Any, pc: Tree, card: Tree) -> None:
    board = {
        "proc/cpuinfo": "processor\t: 0\nModel\t\t: Raspberry Pi 5 Model B\n",
        "usr/share/misc/pci.ids": "8086  Intel Corporation\n\t46a3  Alder Lake-P [UHD Graphics]\n",
    }
    gpu = intel(machines, pc(32, 30) | board | card(0, "8086:46a3", "i915", slot="0000:00:02.0"))
    assert (gpu.name, gpu.kind) == ("Intel UHD Graphics", Kind.INTEGRATED)
    assert gpu.bandwidth.value == 17_100_000_000
    assert gpu.total.value == gpu.free.value == 24 * GIB  # 3/4 of 32
