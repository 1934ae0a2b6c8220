"""What finds accelerators: one door for the makers that gemmahub knows and for those of plugins.

A plugin offers :class:`DeviceProbe` objects with the hook ``gemmahub_devices``::

    class NpuProbe:
        name = "npu"

        def devices(self, seen):
            total = seen.host.files.integer("sys/class/npu/npu0/memory_bytes")
            if total is None:
                return []
            size = Figure(total, "sysfs memory_bytes")
            return [Device("npu:0", "Example NPU", "Example", Kind.DISCRETE, size, free=size)]
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from gemmahub.hardware.records import Problem
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gemmahub.hardware.host import Host
    from gemmahub.hardware.records import Cpu, Device, SystemMemory


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of the machine when its devices are looked for.

    ``host.files`` reads ``/proc`` and ``/sys``, ``host.command`` runs a system command for at most
    2 seconds. What a probe finds odd goes to :meth:`problem`, and not into an exception.
    """

    probe: str
    host: Host
    cpu: Cpu
    memory: SystemMemory
    problems: list[Problem] = field(default_factory=list)

    def problem(self, reason: str, hint: str = "") -> None:
        """Tell that something is not as it should be, and what to do: a line of ``doctor``."""
        self.problems.append(Problem(self.probe, one_line(reason), one_line(hint)))


class DeviceProbe(Protocol):
    """Finds the accelerators of one maker.

    All probes are asked at the same time, within ``host.deadline`` (2 seconds). One that raises,
    hangs or gives what is no device is a line of ``gemmahub hardware`` and ``doctor``.
    """

    @property
    def name(self) -> str:
        """Short name, unique among the probes."""
        ...

    def devices(self, seen: Seen) -> Iterable[Device]:
        """The devices that programs can use now, in the order in which engines count them.

        Where there are none it says so with an empty answer, quickly and without a problem: it is
        asked on every machine. A device's ``id`` is its kind and number, ``npu:0``. One whose free
        memory is known counts in plans and recommendations.
        """
        ...
