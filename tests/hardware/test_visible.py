"""Devices that the environment hides from engines are no devices of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.hardware.probe import probe_machine

if TYPE_CHECKING:
    from collections.abc import Callable

    Tree = Callable[..., dict[str, str]]

GIB = 1 << 30


def gpu(name: str, uuid: str, clock: int = 9751) -> dict[str, Any]:
    return {"name": name, "uuid": uuid, "memory": (24 * GIB, 0, 0), "width": 384, "clock": clock}


SLOW, FAST = gpu("NVIDIA Slow", "GPU-aa11", 3000), gpu("NVIDIA Fast", "GPU-bb22")


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        ("0", ["cuda:1"]),  # CUDA counts the fastest first
        ("1", ["cuda:0"]),
        ("0,1", ["cuda:0", "cuda:1"]),
        ("GPU-aa", ["cuda:0"]),
        ("0,7,1", ["cuda:1"]),  # what names nothing ends the list
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_cuda_visible_devices(machines: Any, pc: Tree, chosen: str, left: list[str]) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": chosen}
    host = machines.linux(pc(), nvml=machines.Nvml(SLOW, FAST), environment=environment)
    machine = probe_machine(host)
    assert [device.id for device in machine.devices] == left
    told = [problem.reason for problem in machine.problems]
    assert told == ([] if left else ["CUDA_VISIBLE_DEVICES hides all NVIDIA GPUs"])
    if len(left) == 1:
        assert f"CUDA_VISIBLE_DEVICES={chosen} hides other GPUs" in machine.devices[0].notes[-1]


def test_cuda_counts_by_bus_where_that_is_wanted(machines: Any, pc: Tree) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "0", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    host = machines.linux(pc(), nvml=machines.Nvml(SLOW, FAST), environment=environment)
    assert [device.name for device in probe_machine(host).devices] == ["NVIDIA Slow"]


@pytest.mark.parametrize(
    ("variable", "chosen", "left"),
    [
        ("HIP_VISIBLE_DEVICES", "1", ["amd:1", "intel:0"]),
        ("ROCR_VISIBLE_DEVICES", "0", ["amd:0", "intel:0"]),
        ("ROCR_VISIBLE_DEVICES", "", ["intel:0"]),
        ("GGML_VK_VISIBLE_DEVICES", "1", ["amd:1"]),
        ("GGML_VK_VISIBLE_DEVICES", "2,0", ["amd:0", "intel:0"]),
        ("ONEAPI_DEVICE_SELECTOR", "level_zero:0", ["amd:0", "amd:1", "intel:0"]),
        ("ONEAPI_DEVICE_SELECTOR", "level_zero:1", ["amd:0", "amd:1"]),
        ("ONEAPI_DEVICE_SELECTOR", "opencl:cpu;level_zero:gpu", ["amd:0", "amd:1", "intel:0"]),
    ],
)
def test_other_makers(
    machines: Any, pc: Tree, card: Tree, variable: str, chosen: str, left: list[str]
) -> None:
    sizes = {"mem_info_vram_total": 16 * GIB, "mem_info_vram_used": 0}
    tree = pc() | card(0, "1002:744c", "amdgpu", slot="0000:03:00.0", **sizes)
    tree |= card(1, "1002:744c", "amdgpu", slot="0000:43:00.0", **sizes)
    tree |= card(2, "8086:a780", "i915", slot="0000:00:02.0")
    machine = probe_machine(machines.linux(tree, environment={variable: chosen}))
    assert [device.id for device in machine.devices] == left
