"""What ``gemmahub doctor`` says of machines that are written down."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub import hookimpl
from gemmahub.config import Config
from gemmahub.engines.contract import Artifact, Availability, Backend, CheckResult
from gemmahub.engines.manager import PluginManager
from gemmahub.hardware.probe import probe_machine
from gemmahub.registry.variants import Models
from gemmahub.service.doctor import machine_checks, model_folders, run_checks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.hardware.records import Machine

    Tree = Callable[..., dict[str, str]]

GIB = 1 << 30
MIB = 1 << 20
CGROUP = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
}


def by_name(machine: Machine) -> dict[str, CheckResult]:
    return {check.name: check for check in machine_checks(machine)}


def gpu(used: int) -> dict[str, Any]:
    return {"name": "NVIDIA GeForce RTX 3090", "memory": (24576 * MIB, 400 * MIB, used * MIB)}


def test_a_machine_with_room_has_nothing_to_warn_of(machines: Any, pc: Tree) -> None:
    found = by_name(probe_machine(machines.linux(pc(64, 50), nvml=machines.Nvml(gpu(1000)))))
    assert {check.status for check in found.values()} == {"ok"}
    assert found["memory"].message == "50.00 GiB of 64.00 GiB free"
    assert found["GPU cuda:0"].message == "NVIDIA GeForce RTX 3090, 22.63 GiB of 24.00 GiB free"


def test_without_a_gpu_it_says_so(machines: Any, pc: Tree) -> None:
    assert by_name(probe_machine(machines.linux(pc())))["GPU"].message.startswith("none found")


def test_a_containers_limit_is_said_with_both_numbers(machines: Any, pc: Tree) -> None:
    tree = pc(64, 60) | CGROUP
    tree |= {"sys/fs/cgroup/memory.max": f"{6 * GIB}\n"}
    tree |= {"sys/fs/cgroup/memory.current": "0\n", "sys/fs/cgroup/memory.stat": "anon 1\n"}
    found = by_name(probe_machine(machines.linux(tree)))
    limit = found["memory limit"]
    assert limit.status == "warning"
    assert limit.message.startswith("6.00 GiB of the machine's 64.00 GiB")
    assert "/sys/fs/cgroup/memory.max" in limit.message
    assert "docker run --memory" in limit.hint
    assert found["memory"].message == "6.00 GiB of 6.00 GiB free"


def test_memory_that_others_use(machines: Any, pc: Tree) -> None:
    busy = by_name(probe_machine(machines.linux(pc(32, 7), nvml=machines.Nvml(gpu(20000)))))
    for name in ("memory", "GPU cuda:0"):
        assert busy[name].status == "warning"
        assert "others use most of it" in busy[name].message
        assert busy[name].hint
    assert by_name(probe_machine(machines.linux(pc(32, 8))))["memory"].status == "ok"


def test_shared_memory_is_judged_once(machines: Any, pc: Tree) -> None:
    nvml = machines.Nvml({"name": "NVIDIA GB10"})
    found = by_name(probe_machine(machines.linux(pc(120, 10), nvml=nvml)))
    assert found["memory"].status == "warning"
    assert found["GPU cuda:0"].status == "ok"


def test_memory_that_is_not_known(machines: Any) -> None:
    memory = by_name(probe_machine(machines.linux({})))["memory"]
    assert memory.status == "warning"
    assert "MemAvailable" in memory.message


def test_a_gpu_whose_memory_is_not_known(machines: Any, pc: Tree, card: Tree) -> None:
    machine = probe_machine(machines.linux(pc() | card(0, "8086:9999", "xe")))
    line = by_name(machine)["GPU intel:0"]
    assert line.status == "warning"
    assert line.message.startswith("Intel GPU 8086:9999, free memory is unknown")


def fail() -> None:
    raise RuntimeError("NVML Shared Library Not Found")


@pytest.mark.parametrize("node", ["dev/nvidiactl", "dev/nvidia0"])
def test_nvml_missing_beside_a_device_node(machines: Any, pc: Tree, node: str) -> None:
    nvml = machines.Nvml()
    nvml.nvmlInit = fail
    host = replace(machines.linux(pc() | {node: ""}), nvml=lambda: nvml)
    line = by_name(probe_machine(host))["probe nvidia"]
    assert line.status == "warning"
    assert "NVML does not start" in line.message
    assert "--gpus all" in line.hint


def test_a_driver_that_does_not_answer(machines: Any, pc: Tree) -> None:
    import threading

    released = threading.Event()
    nvml = machines.Nvml(gpu(0))
    nvml.nvmlInit = released.wait
    try:
        machine = probe_machine(machines.linux(pc(), nvml=nvml, deadline=0.2))
    finally:
        released.set()
    line = by_name(machine)["probe nvidia"]
    assert "no answer from the driver" in line.message
    assert line.hint


# --- with plugins ------------------------------------------------------------------------------


class Engine(Backend):
    """A backend of some version."""

    name = "engine"
    checked_version = "1.2.10"

    def __init__(self, version: str) -> None:
        self.version = version

    def availability(self) -> Availability:
        return Availability(True, version=self.version)


def checks(version: str, machine: Machine, folder: Path) -> dict[str, CheckResult]:
    manager = PluginManager()
    backends = hookimpl(lambda: [Engine(version)])
    manager.add("e", lambda: SimpleNamespace(gemmahub_backends=backends), "dist-e", "1")
    found = run_checks(
        Config(folder / "cache", folder), manager, Models(()), machine, manager.checks(machine)
    )
    return {check.name: check for check in found}


@pytest.mark.parametrize(
    ("version", "status", "word"),
    [
        ("1.2.10", "ok", "1.2.10"),
        ("1.2.9", "warning", "older than 1.2.10"),
        ("1.10", "warning", "newer than 1.2.10"),
        ("", "warning", "does not state"),
    ],
)
def test_engine_versions(
    machines: Any, pc: Tree, tmp_path: Path, version: str, status: str, word: str
) -> None:
    machine = probe_machine(machines.linux(pc()))
    line = checks(version, machine, tmp_path)["backend engine"]
    assert line.status == status
    assert word in line.message


def test_disks_where_models_lie(
    machines: Any, pc: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("one", "two")]
    for place in places:
        place.mkdir()
    config = Config(tmp_path / "cache", tmp_path, folders=(places[0], tmp_path / "missing"))
    variant: Any = SimpleNamespace(artifacts=(Artifact("gguf", places[1] / "m.gguf"),))
    folders = model_folders(config, Models((variant,)))
    assert folders == (places[0],)  # all on one file system
    machine = probe_machine(machines.linux(pc()), folders=folders)
    disk = checks("1", machine, tmp_path)["disk"]
    assert f"free at {places[0]}" in disk.message

    full = SimpleNamespace(total=100 * 10**9, used=99 * 10**9, free=10**9)
    monkeypatch.setattr("gemmahub.hardware.probe.shutil.disk_usage", lambda path: full)
    low = checks("1", probe_machine(machines.linux(pc()), folders=folders), tmp_path)["disk"]
    assert (low.status, low.message) == ("warning", f"1.00 GB of 100 GB free at {places[0]}")
