"""Drivers that hang, lie or are missing: a line for each, and a machine all the same."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.host import Host
from gemmahub.hardware.probe import probe_machine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Tree = Callable[..., dict[str, str]]

GIB = 1 << 30
GPU = {"name": "NVIDIA L4", "memory": (24 * GIB, 0, 0), "capability": (8, 9)}


def reasons(machine: Any) -> list[str]:
    return [f"{problem.probe}: {problem.reason}" for problem in machine.problems]


def test_driver_that_does_not_answer(machines: Any, pc: Tree, card: Tree) -> None:
    released = threading.Event()
    nvml = machines.Nvml(GPU)
    nvml.nvmlInit = released.wait
    tree = pc() | card(0, "1002:744c", "amdgpu", mem_info_vram_total=8 * GIB)
    try:
        machine = probe_machine(machines.linux(tree, nvml=nvml, deadline=0.5))
    finally:
        released.set()
    assert reasons(machine) == ["nvidia: no answer from the driver within 0.5 s"]
    assert [device.id for device in machine.devices] == ["amd:0"]
    assert machine.memory.total.value == 32 * GIB


def test_bindings_that_are_not_installed(machines: Any, pc: Tree) -> None:
    def missing() -> Any:
        raise ImportError("No module named 'pynvml'")

    host = replace(machines.linux(pc(), nvml=machines.Nvml()), nvml=missing)
    machine = probe_machine(host)
    assert machine.devices == ()
    assert "nvidia-ml-py" in machine.problems[0].reason


def test_nvml_that_does_not_start(machines: Any, pc: Tree) -> None:
    nvml = machines.Nvml(GPU)

    def fail() -> None:
        raise RuntimeError("Driver/library version mismatch\x1b[31m")

    nvml.nvmlInit = fail
    machine = probe_machine(machines.linux(pc(), nvml=nvml))
    assert reasons(machine) == ["nvidia: NVML does not start: Driver/library version mismatch"]


def test_gpu_that_is_lost_beside_one_that_works(machines: Any, pc: Tree) -> None:
    lost = machines.GpuIsLost("GPU is lost")
    broken = {"name": "NVIDIA L40", "memory": lost, "width": lost}
    machine = probe_machine(machines.linux(pc(), nvml=machines.Nvml(broken, GPU)))
    first, second = machine.devices
    assert first.total.value is None
    assert not first.takes_system_memory
    assert first.free.doubt == "NVML reports no memory sizes"
    assert second.free.value == 24 * GIB
    assert "nvidia: nvmlDeviceGetMemoryInfo: GPU is lost" in reasons(machine)


def test_every_call_unsupported_gives_unknown_and_no_line(machines: Any) -> None:
    machine = probe_machine(machines.linux({}, nvml=machines.Nvml({})))
    (gpu,) = machine.devices
    figures = (gpu.total, gpu.free, gpu.used_by_others, gpu.bandwidth)
    assert [figure.value for figure in figures] == [None] * 4
    assert all(figure.doubt for figure in figures)
    assert (gpu.compute_capability, gpu.uuid) == (None, None)
    assert not [problem for problem in machine.problems if problem.probe == "nvidia"]


def test_nvidia_card_without_nvidias_driver(machines: Any, pc: Tree) -> None:
    slot = "sys/bus/pci/devices/0000:01:00.0"
    tree = pc() | {f"{slot}/vendor": "0x10de\n", f"{slot}/class": "0x030000\n"}
    machine = probe_machine(machines.linux(tree | {f"{slot}/uevent": "DRIVER=nouveau\n"}))
    assert "driver is not loaded" in machine.problems[0].reason


class Refused(SystemFiles):
    """A tree of which one folder may not be read."""

    __slots__ = ()

    def text(self, name: str) -> str | None:
        if name.startswith("sys/class/drm/card0/device/mem_info"):
            raise Unreadable(f"/{name}: Permission denied")
        return super().text(name)


def test_sysfs_that_may_not_be_read(machines: Any, pc: Tree, card: Tree) -> None:
    host = machines.linux(pc() | card(0, "1002:744c", "amdgpu"))
    machine = probe_machine(replace(host, files=Refused(host.files.root)))
    (gpu,) = machine.devices
    assert gpu.total.value is None
    assert any("Permission denied" in reason for reason in reasons(machine))


def test_file_that_is_a_folder_is_unreadable(machines: Any, pc: Tree) -> None:
    host = machines.linux(pc())
    (host.files.root / "proc/meminfo").unlink()
    (host.files.root / "proc/meminfo").mkdir()
    machine = probe_machine(host)
    assert machine.memory.total.value is None
    assert machine.problems[0].reason.startswith("/proc/meminfo: ")


def test_garbage_in_sysfs_is_a_line(machines: Any, pc: Tree, card: Tree) -> None:
    tree = pc() | card(0, "1002:744c", "amdgpu") | card(1, "1002:744c", "amdgpu")
    tree["sys/class/drm/card0/device/vendor"] = "\x1b]0;x\x07none\n"
    tree["sys/class/drm/card1/device/mem_info_vram_total"] = "much\n"
    machine = probe_machine(machines.linux(tree))
    assert [device.id for device in machine.devices] == ["amd:0"]
    assert all("no number" in reason for reason in reasons(machine))
    assert not any("\x1b" in reason for reason in reasons(machine))


def test_probe_that_raises_is_a_line(
    machines: Any, pc: Tree, card: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("gemmahub.hardware.amd.probe_amd", broken)
    monkeypatch.setattr("gemmahub.hardware.probe.probe_cpu", broken)
    machine = probe_machine(machines.linux(pc() | card(0, "8086:56a1", "xe")))
    assert [device.id for device in machine.devices] == ["intel:0"]
    assert reasons(machine) == ["cpu: ZeroDivisionError", "amd: ZeroDivisionError"]
    assert machine.cpu.logical.value is None


def test_an_empty_tree_is_a_machine_about_which_nothing_is_known(machines: Any) -> None:
    machine = probe_machine(machines.linux())
    assert machine.devices == ()
    assert machine.memory.available.value is None
    assert {problem.probe for problem in machine.problems} == {"memory", "cpu"}


@pytest.mark.parametrize("system", [name for name in ("darwin", "win32") if name != sys.platform])
def test_psutil_of_this_machine_does_not_stand_for_one_of_another_system(
    machines: Any, system: str
) -> None:
    host = Host(machines.write({}), system, lambda arguments: "", environment={})
    machine = probe_machine(host)
    assert machine.memory.total.value is None
    assert machine.cpu.logical.value is None
    told = f"psutil virtual_memory: this machine runs {sys.platform}, not {system}"
    assert f"memory: {told}" in reasons(machine)


def test_psutil_that_is_not_installed_is_a_line(machines: Any) -> None:
    def missing() -> Any:
        raise ImportError("No module named 'psutil'")

    machine = probe_machine(replace(machines.windows(None), psutil=missing))
    assert machine.memory.total.value is None
    assert "memory: psutil virtual_memory: No module named 'psutil'" in reasons(machine)


def test_disks(machines: Any, pc: Tree, tmp_path: Path) -> None:
    later = tmp_path / "models" / "not there yet"
    machine = probe_machine(machines.linux(pc()), folders=[later, later])
    (disk,) = machine.disks
    assert disk.free.value
    assert disk.path == later
    assert str(tmp_path) in disk.free.source


def test_real_machine_is_probed_without_nvml_where_there_is_no_driver() -> None:
    program = (
        "from gemmahub.hardware.probe import probe_machine\n"
        "from gemmahub.hardware.nvidia import nvidia_driver_present\n"
        "from gemmahub.hardware.host import Host\n"
        "import sys\n"
        "machine = probe_machine()\n"
        "assert machine.memory.total.value, machine.problems\n"
        "assert machine.cpu.logical.value, machine.problems\n"
        "assert nvidia_driver_present(Host()) or 'pynvml' not in sys.modules\n"
        "assert sys.platform != 'linux' or 'psutil' not in sys.modules\n"
        "assert 'tomllib' not in sys.modules or machine.devices or machine.cpu.bandwidth.value\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
