"""All probes together: :func:`probe_machine`. Each failure is a line, none is an exception."""

from __future__ import annotations

import platform
import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.cpu import probe_cpu, unknown_cpu
from gemmahub.hardware.device_probe import Seen
from gemmahub.hardware.host import Host, describe, guarded
from gemmahub.hardware.makers import MAKERS
from gemmahub.hardware.memory import probe_memory, unknown_memory
from gemmahub.hardware.records import Cpu, Device, Disk, Figure, Machine, Problem, SystemMemory
from gemmahub.hardware.visible import visible
from gemmahub.in_time import TookTooLong, in_time
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gemmahub.hardware.device_probe import DeviceProbe

_MODEL_FILES: Final = ("proc/device-tree/model", "sys/class/dmi/id/product_name")


def probe_machine(
    host: Host | None = None,
    *,
    folders: Iterable[Path] = (),
    cache: Path | None = None,
    measure: bool = False,
    further: Iterable[DeviceProbe] = (),
) -> Machine:
    """What this machine is, now.

    ``folders`` are places whose free disk space is of interest. ``cache`` is where the measured
    memory bandwidth of the CPU is kept; it is measured (about 0.3 s, once) only with ``measure``.
    ``further`` are the probes of plugins. Never raises; what could not be found out is in
    ``problems``.
    """
    host = host or Host()
    problems: list[Problem] = []
    memory = guarded(
        "memory", lambda: probe_memory(host, problems), unknown_memory("the probe failed"), problems
    )
    memory = replace(memory, available=memory.available.at_most(memory.usable))
    cpu = guarded(
        "cpu", lambda: probe_cpu(host, problems), unknown_cpu("the probe failed"), problems
    )
    if cache is not None or measure:
        from gemmahub.hardware.bandwidth import with_bandwidth

        available = memory.available.value
        cpu = guarded(
            "bandwidth", lambda: with_bandwidth(cpu, cache, measure, available), cpu, problems
        )
    devices, told = _devices(host, cpu, memory, (*MAKERS, *further))
    problems += told
    devices, hidden = visible(devices, host.environment)
    problems += hidden
    return Machine(
        name=guarded("name", lambda: _name(host), None, problems),
        system=guarded("system", lambda: _system(host), host.system, problems),
        cpu=cpu,
        memory=memory,
        devices=devices,
        disks=tuple(_disk(folder, problems) for folder in dict.fromkeys(folders)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _devices(
    host: Host, cpu: Cpu, memory: SystemMemory, probes: Iterable[DeviceProbe]
) -> tuple[tuple[Device, ...], list[Problem]]:
    """Devices of all probes, and what went wrong. They are asked at the same time, and one that is
    stuck inside a driver is given up.
    """
    attempts = [(probe, Seen(probe.name, host, cpu, memory)) for probe in probes]
    outcomes = in_time(host.deadline, [partial(_asked, *attempt) for attempt in attempts])
    found: dict[str, Device] = {}
    problems: list[Problem] = []
    for (_, seen), outcome in zip(attempts, outcomes, strict=True):
        for device in outcome.value or ():
            device = replace(device, free=device.free.at_most(device.total))
            if found.setdefault(device.id, device) is not device:
                seen.problem(f"it has a second {device.id}, which was left out")
        if isinstance(outcome.error, TookTooLong):
            reason = f"no answer from the driver within {host.deadline:g} s"
            seen.problem(reason, "restart the machine: the driver may hang")
        problems += seen.problems
    return tuple(found.values()), problems


def _asked(probe: DeviceProbe, seen: Seen) -> tuple[Device, ...]:
    nothing: tuple[Device, ...] = ()
    return guarded(seen.probe, lambda: tuple(probe.devices(seen)), nothing, seen.problems)


def _name(host: Host) -> str | None:
    """The machine's model as its firmware gives it."""
    if host.system == "darwin":
        from gemmahub.hardware.host import sysctl

        return one_line(sysctl(host, "hw.model").get("hw.model", ""), 100) or None
    texts = (host.files.text(name) for name in _MODEL_FILES)
    return next((one_line(text, 100) for text in texts if text), None)


def _system(host: Host) -> str:
    if host.system == "linux":
        release = host.files.text("proc/sys/kernel/osrelease")
        return f"Linux {one_line(release, 60)}" if release else "Linux"
    if host.system == "darwin":
        return f"macOS {platform.mac_ver()[0]}".rstrip()
    return f"Windows {platform.version()}".rstrip() if host.system == "win32" else host.system


def _disk(folder: Path, problems: list[Problem]) -> Disk:
    """Space of the file system that holds a folder, or would hold it once it exists."""
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        usage = shutil.disk_usage(nearest)
    except (OSError, StopIteration) as error:
        problems.append(Problem("disk", f"{one_line(str(folder))}: {describe(error)}"))
        unknown = Figure.unknown(describe(error))
        return Disk(folder, unknown, unknown)
    source = f"file system of {nearest}"
    doubt = "quotas are not known"
    return Disk(folder, Figure(usage.total, source), Figure(usage.free, source, doubt))
