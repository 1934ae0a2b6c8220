"""Machines of people we know: what their drivers say, and what we make of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.records import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    Tree = Callable[..., dict[str, str]]

GIB = 1 << 30
MIB = 1 << 20

RTX_3090 = {
    "name": "NVIDIA GeForce RTX 3090",
    "uuid": "GPU-3090",
    "memory": (24576 * MIB, 400 * MIB, 1200 * MIB),
    "capability": (8, 6),
    "width": 384,
    "clock": 9751,
}
RTX_4060_LAPTOP = {
    "name": "NVIDIA GeForce RTX 4060 Laptop GPU",
    "memory": (8188 * MIB, 225 * MIB, 10 * MIB),
    "capability": (8, 9),
    "width": 128,
    "clock": 8001,
}
A100 = {
    "name": "NVIDIA A100-SXM4-80GB",
    "memory": (81920 * MIB, 600 * MIB, 0),
    "capability": (8, 0),
    "width": 5120,
    "clock": 1593,
}


def test_laptop_with_rtx_4060(machines: Any, pc: Tree) -> None:
    machine = probe_machine(machines.linux(pc(16, 11), nvml=machines.Nvml(RTX_4060_LAPTOP)))
    (gpu,) = machine.devices
    assert (gpu.id, gpu.vendor, gpu.kind) == ("cuda:0", "NVIDIA", Kind.DISCRETE)
    assert gpu.total.value == 8188 * MIB
    assert gpu.free.value == (8188 - 225 - 10) * MIB
    assert gpu.used_by_others.value == 10 * MIB
    assert gpu.free.source == "NVML nvmlDeviceGetMemoryInfo_v2"
    assert gpu.compute_capability == "8.9"
    assert gpu.driver == "570.86.15"
    assert gpu.bandwidth.value == 256_000_000_000
    assert gpu.capacity is gpu.total
    assert machine.problems == ()
    json.dumps(machine.as_json())


def test_rtx_3090_and_the_old_memory_call(machines: Any, pc: Tree) -> None:
    nvml = machines.Nvml(RTX_3090)
    nvml.nvmlMemory_v2 = None
    (gpu,) = probe_machine(machines.linux(pc(64, 50), nvml=nvml)).devices
    assert gpu.total.value == 24 * GIB
    assert gpu.used_by_others.value == 1600 * MIB
    assert "reserves" in gpu.used_by_others.doubt
    assert gpu.bandwidth.value == 936_000_000_000
    assert "GA102" in gpu.bandwidth.source
    assert nvml.shut_down == 1


def test_two_unequal_gpus_are_not_summed(machines: Any, pc: Tree) -> None:
    machine = probe_machine(machines.linux(pc(), nvml=machines.Nvml(RTX_4060_LAPTOP, RTX_3090)))
    assert [gpu.id for gpu in machine.devices] == ["cuda:0", "cuda:1"]
    assert [gpu.total.value for gpu in machine.devices] == [8188 * MIB, 24 * GIB]
    assert all("CUDA_DEVICE_ORDER" in gpu.notes[-1] for gpu in machine.devices)


def test_a100_in_mig_mode_is_listed_by_its_slices(machines: Any, pc: Tree) -> None:
    piece = {"name": "NVIDIA A100-SXM4-80GB MIG 3g.40gb", "memory": (40192 * MIB, 0, 38 * MIB)}
    whole = {**A100, "mig": (1, 1), "slices": [piece | {"uuid": "MIG-1"}]}
    machine = probe_machine(machines.linux(pc(), nvml=machines.Nvml(whole)))
    (gpu,) = machine.devices
    assert (gpu.id, gpu.uuid, gpu.compute_capability) == ("cuda:0/mig:0", "MIG-1", "8.0")
    assert gpu.free.value == 40154 * MIB
    assert gpu.bandwidth.value == round(2039e9 * 40192 / 81920)
    assert "estimate" in gpu.bandwidth.doubt


def test_mig_mode_without_slices_is_a_problem(machines: Any, pc: Tree) -> None:
    machine = probe_machine(machines.linux(pc(), nvml=machines.Nvml({**A100, "mig": (1, 1)})))
    assert machine.devices == ()
    assert "no slice" in machine.problems[0].reason


def test_unknown_card_gets_clock_times_width(machines: Any, pc: Tree) -> None:
    card = {**RTX_3090, "name": "NVIDIA GeForce RTX 9999"}
    (gpu,) = probe_machine(machines.linux(pc(), nvml=machines.Nvml(card))).devices
    assert gpu.bandwidth.value == 9_751_000_000 * 2 * 384 // 8
    assert "estimate" in gpu.bandwidth.doubt


def test_published_bandwidth_that_the_driver_contradicts(machines: Any, pc: Tree) -> None:
    card = {**RTX_3090, "clock": 5000}
    (gpu,) = probe_machine(machines.linux(pc(), nvml=machines.Nvml(card))).devices
    assert gpu.bandwidth.value == 936_000_000_000
    assert "480 GB/s" in gpu.bandwidth.doubt


def test_gpu_that_shares_the_systems_memory(machines: Any, pc: Tree) -> None:
    spark = {"name": "NVIDIA GB10", "capability": (12, 1)}
    (gpu,) = probe_machine(machines.linux(pc(120, 100), nvml=machines.Nvml(spark))).devices
    assert gpu.kind is Kind.UNIFIED
    assert gpu.takes_system_memory
    assert gpu.free.value == 100 * GIB
    assert gpu.used_by_others.value is None
    assert gpu.bandwidth.value == 273_000_000_000


def test_radeon_7900_xtx(machines: Any, pc: Tree, card: Tree) -> None:
    tree = pc(64, 40) | card(
        1, "1002:744c", "amdgpu", revision=0xC8,
        mem_info_vram_total=25753026560, mem_info_vram_used=1 * GIB,
        mem_info_gtt_total=32 * GIB, mem_info_gtt_used=64 * MIB,
    )  # fmt: skip
    tree["sys/class/kfd/kfd/topology/nodes/1/properties"] = (
        "simd_count 192\nlocation_id 768\ndomain 0\ngfx_target_version 110000\n"
    )
    tree["proc/sys/kernel/osrelease"] = "6.12.9"
    (gpu,) = probe_machine(machines.linux(tree)).devices
    assert (gpu.id, gpu.name, gpu.kind) == ("amd:0", "AMD Radeon RX 7900 XTX", Kind.DISCRETE)
    assert gpu.free.value == 25753026560 - GIB
    assert gpu.capacity.value == 25753026560  # GTT is over the bus, and not counted
    assert gpu.shared_total is not None
    assert gpu.shared_total.value == 32 * GIB
    assert gpu.compute_capability == "gfx1100"
    assert gpu.driver == "amdgpu of Linux 6.12.9"
    assert gpu.bandwidth.value == 960_000_000_000


def test_ryzen_apu_keeps_vram_and_gtt_apart(machines: Any, pc: Tree, card: Tree) -> None:
    tree = pc(30, 10) | card(
        0, "1002:15bf", "amdgpu", slot="0000:c1:00.0",
        mem_info_vram_total=512 * MIB, mem_info_vram_used=400 * MIB,
        mem_info_gtt_total=15 * GIB, mem_info_gtt_used=1 * GIB,
    )  # fmt: skip
    (gpu,) = probe_machine(machines.linux(tree)).devices
    assert gpu.kind is Kind.INTEGRATED
    assert gpu.total.value == 512 * MIB
    assert gpu.shared_total is not None
    assert gpu.shared_total.value == 15 * GIB
    assert gpu.shared_free is not None
    assert gpu.shared_free.value == 10 * GIB  # 14 GiB could be mapped, 10 GiB are there
    assert gpu.capacity.value == 512 * MIB + 15 * GIB
    assert gpu.available.value == 112 * MIB + 10 * GIB
    assert gpu.bandwidth.value is None


def test_two_names_of_one_chip_are_distinguished_by_revision(
    machines: Any, pc: Tree, card: Tree
) -> None:
    sizes = {"mem_info_vram_total": 20 * GIB, "mem_info_vram_used": 0}
    tree = pc() | card(0, "1002:744c", "amdgpu", revision=0xCC, **sizes)
    tree["usr/share/libdrm/amdgpu.ids"] = (
        "744C,\tC8,\tNot this one\n744C,\tCC,\tRadeon of the list\n"
    )
    (gpu,) = probe_machine(machines.linux(tree)).devices
    assert gpu.name == "Radeon of the list"


def test_intel_arc_on_xe(machines: Any, pc: Tree, card: Tree) -> None:
    tree = pc() | card(0, "8086:56a0", "xe") | card(1, "8086:a780", "i915", slot="0000:00:02.0")
    tree["sys/class/drm/card0/device/tile0/physical_vram_size_bytes"] = f"{16 * GIB}\n"
    arc, integrated = probe_machine(machines.linux(tree)).devices
    assert (arc.id, arc.name, arc.kind) == ("intel:0", "Intel Arc A770 Graphics", Kind.DISCRETE)
    assert arc.total.value == 16 * GIB
    assert arc.free.value == 16 * GIB - 16 * GIB // 10
    assert "to root only: assumed is the total less 1.60 GiB" in arc.free.doubt
    assert arc.bandwidth.value == 560_000_000_000
    assert integrated.kind is Kind.INTEGRATED
    assert integrated.free.value == 24 * GIB
    assert integrated.bandwidth.value is None  # of the system's memory: nobody measured it


def test_intel_arc_whose_driver_reports_nothing(machines: Any, pc: Tree, card: Tree) -> None:
    (arc,) = probe_machine(machines.linux(pc() | card(0, "8086:56a0", "i915"))).devices
    assert arc.total.value == 16 * GIB
    assert "sold with 16 and 8 GiB" in arc.total.doubt
    (other,) = probe_machine(machines.linux(card(0, "8086:5699", "i915"))).devices
    assert other.total.value is None
    assert "does not report" in other.total.doubt
    (b580,) = probe_machine(machines.linux(card(0, "8086:e20b", "xe"))).devices
    assert b580.total.value == 12 * GIB
    assert "the driver does not report it" in b580.total.doubt


def mac(chip: str, fast: int, **more: str) -> dict[str, str]:
    return {
        "machdep.cpu.brand_string": chip,
        "hw.perflevel0.physicalcpu": str(fast),
        "hw.model": "Mac14,2",
        "hw.optional.arm.FEAT_DotProd": "1",
        "kern.osproductversion": "15.3",
        **more,
    }


def test_m2_with_16_gb(machines: Any) -> None:
    values = mac("Apple M2", 4) | {"iogpu.wired_limit_mb": "0"}
    counts = machines.Psutil((16 * GIB, 5 * GIB), (2 * GIB, GIB), cores=8, cpus=8)
    machine = probe_machine(machines.mac(values, counts))
    (gpu,) = machine.devices
    assert (gpu.id, gpu.name, gpu.kind) == ("metal:0", "Apple M2", Kind.UNIFIED)
    assert gpu.total.value == 16 * GIB * 2 // 3
    assert "estimate" in gpu.total.doubt
    assert machine.memory.available.value == 5 * GIB
    assert "written out" in machine.memory.available.doubt
    assert gpu.free.value == machine.memory.available.value
    assert gpu.bandwidth.value == machine.cpu.bandwidth.value == 100_000_000_000
    assert (machine.cpu.physical_cores.value, machine.cpu.performance_cores) == (8, 4)
    assert machine.cpu.instruction_sets == ("asimd", "asimddp")
    assert (machine.memory.swap_total.value, machine.memory.swap_free.value) == (2 * GIB, GIB)
    assert machine.problems == ()


@pytest.mark.parametrize(("fast", "rate"), [(10, 300), (12, 400)])
def test_m3_max_with_64_gb_and_a_limit_that_was_set(machines: Any, fast: int, rate: int) -> None:
    values = mac("Apple M3 Max", fast, **{"iogpu.wired_limit_mb": "57344"})
    counts = machines.Psutil((64 * GIB, 60 * GIB), (0, 0), cores=fast + 4, cpus=fast + 4)
    (gpu,) = probe_machine(machines.mac(values, counts)).devices
    assert gpu.total.value == 56 * GIB
    assert gpu.total.source == "sysctl iogpu.wired_limit_mb"
    assert gpu.bandwidth.value == rate * 10**9


def test_intel_mac_has_no_device(machines: Any) -> None:
    counts = machines.Psutil((16 * GIB, 8 * GIB), (0, 0), cores=4, cpus=8)
    machine = probe_machine(machines.mac(mac("Intel(R) Core(TM) i7", 4), counts))
    assert machine.devices == ()
    assert "Intel Macs" in machine.problems[0].reason


def test_windows_machine(machines: Any) -> None:
    counts = machines.Psutil(
        (32 * GIB, 20 * GIB), (8 * GIB, 6 * GIB), cores=8, cpus=16, affinity=range(12)
    )
    machine = probe_machine(machines.windows(counts))
    memory, cpu = machine.memory, machine.cpu
    assert (memory.total.value, memory.available.value) == (32 * GIB, 20 * GIB)
    assert (memory.swap_total.value, memory.swap_free.value) == (8 * GIB, 6 * GIB)
    assert memory.usable.source == "psutil virtual_memory total"
    assert (cpu.physical_cores.value, cpu.logical.value, cpu.usable.value) == (8, 16, 12)
    assert (machine.devices, machine.problems) == ((), ())


def test_jetson(machines: Any, pc: Tree) -> None:
    tree = pc(61, 55) | {
        "proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0",
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.0, GCID: 1, BOARD: generic\n",
    }
    machine = probe_machine(machines.linux(tree))
    (gpu,) = machine.devices
    assert machine.name == gpu.name == "NVIDIA Jetson AGX Orin Developer Kit"
    assert (gpu.id, gpu.kind, gpu.compute_capability) == ("cuda:0", Kind.UNIFIED, "8.7")
    assert gpu.free.value == 55 * GIB
    assert gpu.bandwidth.value == 204_800_000_000
    assert gpu.driver == "L4T R36.4.0"


def test_raspberry_pi_with_4_gb(machines: Any) -> None:
    cpuinfo = "".join(
        f"processor\t: {cpu}\nFeatures\t: fp asimd evtstrm aes asimddp\n\n" for cpu in range(4)
    )
    tree = {
        "proc/cpuinfo": f"{cpuinfo}Revision\t: c04170\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
        "proc/meminfo": "MemTotal:  4137344 kB\nMemAvailable:  3500000 kB\nSwapTotal: 204800 kB\n",
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    }
    machine = probe_machine(machines.linux(tree))
    assert machine.devices == ()
    assert machine.cpu.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.cpu.logical.value == 4
    assert machine.cpu.physical_cores.value is None
    assert machine.cpu.instruction_sets == ("asimd", "asimddp")
    assert machine.cpu.bandwidth.value == 17_100_000_000
    assert machine.memory.total.value == 4137344 * 1024
    assert machine.memory.swap_free.value is None


def test_ordinary_pc_counts_cores_and_threads(machines: Any, pc: Tree) -> None:
    tree = pc() | {"proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-3,8\n"}
    cpu = probe_machine(machines.linux(tree)).cpu
    assert (cpu.physical_cores.value, cpu.logical.value, cpu.usable.value) == (8, 16, 5)
    assert "Cpus_allowed_list" in cpu.usable.source
    assert cpu.numa_nodes.value == 1
    assert cpu.last_level_cache.value == 32 * MIB
    assert cpu.instruction_sets == ("avx", "f16c", "fma", "avx2")
