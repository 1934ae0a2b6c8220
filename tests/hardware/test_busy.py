"""A busy, hot or unplugged machine is noticed where something is measured."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from gemmahub.hardware.busy import BusyWatch
from gemmahub.hardware.files import SystemFiles
from gemmahub.hardware.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Times(NamedTuple):
    user: float
    system: float
    idle: float
    iowait: float


class FakeSystem:
    """psutil on a machine whose counters are set by the test."""

    def __init__(self) -> None:
        self.worked = 0.0
        self.own = 0.0
        self.sensors: dict[str, list[Any]] = {}
        self.battery: Any = None

    def cpu_count(self) -> int:
        return 4

    def cpu_times(self) -> Times:
        return Times(self.worked, 0.0, 1000.0, 50.0)

    def sensors_temperatures(self) -> dict[str, list[Any]]:
        return self.sensors

    def sensors_battery(self) -> Any:
        return self.battery

    def Process(self, pid: int) -> Any:  # noqa: N802 - psutil's name
        times = SimpleNamespace(user=self.own if pid != os.getpid() else 0.0, system=0.0)
        return SimpleNamespace(pid=pid, children=lambda recursive: [], cpu_times=lambda: times)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets what the watch takes for the time."""
    now = [0.0]
    monkeypatch.setattr("gemmahub.hardware.busy.time.monotonic", lambda: now[0])

    def set_(seconds: float) -> None:
        now[0] = seconds

    return set_


def host(system: FakeSystem, root: Path) -> Host:
    return Host(files=SystemFiles(root), system="linux", psutil=lambda: system)


def test_work_of_others_is_distinguished_from_the_measured_programs(
    tmp_path: Path, clock: Callable[[float], None]
) -> None:
    system = FakeSystem()
    watch = BusyWatch(host(system, tmp_path))
    watch.mark((17,))
    clock(10.0)
    system.worked, system.own = 40.0, 38.0
    assert watch.doubts("meanwhile", (17,)) == []
    system.own = 20.0
    assert watch.doubts("meanwhile", (17,)) == ["other programs used 2.0 of 4 cores meanwhile"]
    assert watch.doubts("meanwhile", None) == []


def test_heat_and_a_battery_are_reported(tmp_path: Path) -> None:
    system = FakeSystem()
    counter = tmp_path / "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
    counter.parent.mkdir(parents=True)
    counter.write_text("3\n")
    watch = BusyWatch(host(system, tmp_path))
    assert watch.doubts("meanwhile") == []
    counter.write_text("4\n")
    system.sensors = {"core": [SimpleNamespace(current=101.0, high=100.0)]}
    system.battery = SimpleNamespace(power_plugged=False)
    assert watch.doubts("meanwhile") == [
        "the processor was slowed down because it was hot",
        "a sensor shows a temperature above its limit",
        "the machine ran on its battery",
    ]


class Nvml:
    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: int) -> int:  # noqa: N802
        return 0x40 if handle else 0x80


def test_a_gpu_that_slows_down_is_named(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    watch = BusyWatch(
        Host(files=SystemFiles(tmp_path), system="linux", psutil=FakeSystem, nvml=lambda: Nvml())
    )
    assert watch.doubts("meanwhile") == [
        "GPU 0 was slowed down to save power",
        "GPU 1 was slowed down because it was hot",
    ]


def test_a_system_that_refuses_its_counters_says_nothing(tmp_path: Path) -> None:
    def broken() -> Any:
        raise ImportError

    watch = BusyWatch(Host(files=SystemFiles(tmp_path), system="linux", psutil=broken))
    assert watch.others() is None
    assert watch.doubts("meanwhile") == []
