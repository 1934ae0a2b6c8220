"""Whether a machine is quiet enough to measure on: other programs, heat, and a battery.

Linux counts how often a core of Intel's was slowed down because of heat
(drivers/thermal/intel/therm_throt.c). NVML says why a clock is low now:
``nvmlDeviceGetCurrentClocksThrottleReasons`` of the NVML API reference.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gemmahub.hardware.files import Unreadable
from gemmahub.hardware.host import Host

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_CORES: Final = 0.25
"""What others may take before it is said: measuring itself wakes the system now and then."""
_LEAST_SHARE: Final = 0.05  # of all cores, on machines with many
_CPUS: Final = "sys/devices/system/cpu"
_HOT: Final = 0x20 | 0x40  # software and hardware thermal slowdown
_POWER: Final = 0x80  # power brake: the supply asked for less


class BusyWatch:
    """What disturbs a measurement, from the moment when this is made."""

    def __init__(self, host: Host | None = None) -> None:
        self._host = host or Host()
        self._started = time.monotonic()
        self._busy = self._busy_seconds()
        self._own: dict[int, float] = {}
        self._throttled = self._throttles()

    def mark(self, pids: Iterable[int]) -> None:
        """Count from now on; ``pids`` are processes that are measured, with their children."""
        self._started, self._busy = time.monotonic(), self._busy_seconds()
        self._own = self._own_seconds(pids)
        self._throttled = self._throttles()

    def others(self, pids: Iterable[int] = ()) -> float | None:
        """Cores that other programs took since the last mark; None where the system does not say.
        ``pids`` are as of :meth:`mark`."""
        elapsed, busy = time.monotonic() - self._started, self._busy_seconds()
        if self._busy is None or busy is None or elapsed <= 0:
            return None
        own = self._own_seconds(pids)
        spent = sum(seconds - self._own.get(pid, 0.0) for pid, seconds in own.items())
        return max(0.0, (busy - self._busy - spent) / elapsed)

    def doubts(self, when: str, pids: Iterable[int] | None = ()) -> list[str]:
        """What disturbed, in sentences; ``when`` says which time is meant. With ``pids`` None the
        measured engine is a process of others, whose work is not told from theirs."""
        found = []
        others = None if pids is None else self.others(pids)
        if others is not None and self.is_much(others):
            found.append(f"other programs used {others:.1f} of {self._cores()} cores {when}")
        return [*found, *self._heat(), *self._battery()]

    def is_much(self, cores: float) -> bool:
        """Whether others that take so many cores disturb."""
        return cores > max(LEAST_CORES, _LEAST_SHARE * self._cores())

    def _cores(self) -> int:
        with suppress(Exception):
            return int(self._psutil.cpu_count() or 1)
        return os.cpu_count() or 1

    @property
    def _psutil(self) -> Any:
        return self._host.psutil()

    def _busy_seconds(self) -> float | None:
        """Seconds in which cores worked, all together."""
        with suppress(Exception):  # a counter that the system refuses is none
            times = self._psutil.cpu_times()._asdict()
            idle = ("idle", "iowait", "guest", "guest_nice")  # guests are in user and nice, too
            return float(sum(value for name, value in times.items() if name not in idle))
        return None

    def _own_seconds(self, pids: Iterable[int]) -> dict[int, float]:
        found = {}
        for pid in {os.getpid(), *pids}:
            with suppress(Exception):  # it has ended
                process = self._psutil.Process(pid)
                for each in (process, *process.children(recursive=True)):
                    with suppress(Exception):
                        times = each.cpu_times()
                        found[each.pid] = float(times.user + times.system)
        return found

    def _throttles(self) -> int:
        files = self._host.files
        count = 0
        with suppress(Unreadable):
            for name in files.names(_CPUS, "cpu[0-9]+"):
                text = files.text(f"{_CPUS}/{name}/thermal_throttle/core_throttle_count") or ""
                count += int(text) if text.isdigit() else 0
        return count

    def _heat(self) -> list[str]:
        found = []
        if self._throttles() > self._throttled:
            found.append("the processor was slowed down because it was hot")
        with suppress(Exception):
            for sensors in self._psutil.sensors_temperatures().values():
                if any(s.high and s.current and s.current >= s.high for s in sensors):
                    found.append("a sensor shows a temperature above its limit")
                    break
        return [*found, *self._slow_gpus()]

    def _slow_gpus(self) -> list[str]:
        from gemmahub.hardware.nvidia import nvidia_driver_present

        found = []
        with suppress(Exception):  # NVML's own exceptions are not importable here
            if not nvidia_driver_present(self._host):
                return []
            nvml = self._host.nvml()
            nvml.nvmlInit()
            try:
                for index in range(nvml.nvmlDeviceGetCount()):
                    handle = nvml.nvmlDeviceGetHandleByIndex(index)
                    reasons = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
                    if reasons & _HOT:
                        found.append(f"GPU {index} was slowed down because it was hot")
                    if reasons & _POWER:
                        found.append(f"GPU {index} was slowed down to save power")
            finally:
                nvml.nvmlShutdown()
        return found

    def _battery(self) -> list[str]:
        with suppress(Exception):
            battery = self._psutil.sensors_battery()
            if battery is not None and battery.power_plugged is False:
                return ["the machine ran on its battery"]
        return []


def busy_now(seconds: float = 0.5, host: Host | None = None) -> list[str]:
    """What would disturb a measurement that began now; looks for so many ``seconds``."""
    watch = BusyWatch(host)
    watch.mark(())
    time.sleep(seconds)
    return watch.doubts("before it began")
