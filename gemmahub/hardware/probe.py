"""All probes together: :func:`probe_machine`. Each failure is a line, none is an exception."""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.cpu import probe_cpu, unknown_cpu
from gemmahub.hardware.host import Host, describe, guarded
from gemmahub.hardware.memory import probe_memory, unknown_memory
from gemmahub.hardware.records import Cpu, Device, Disk, Figure, Machine, Problem, SystemMemory
from gemmahub.hardware.unified import jetson_model, probe_apple, probe_jetson
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Probe = Callable[[], tuple[Device, ...]]

_MODEL_FILES: Final = ("proc/device-tree/model", "sys/class/dmi/id/product_name")


def probe_machine(
    host: Host | None = None,
    *,
    folders: Iterable[Path] = (),
    cache: Path | None = None,
    measure: bool = False,
) -> Machine:
    """What this machine is, now.

    ``folders`` are places whose free disk space is of interest. ``cache`` is where the measured
    memory bandwidth of the CPU is kept; it is measured (about 0.3 s, once) only with ``measure``.
    Never raises; what could not be found out is in ``problems``.
    """
    host = host or Host()
    problems: list[Problem] = []
    memory = guarded(
        "memory", lambda: probe_memory(host, problems), unknown_memory("the probe failed"), problems
    )
    cpu = guarded(
        "cpu", lambda: probe_cpu(host, problems), unknown_cpu("the probe failed"), problems
    )
    if cache is not None or measure:
        from gemmahub.hardware.bandwidth import with_bandwidth

        available = memory.available.value
        cpu = guarded(
            "bandwidth", lambda: with_bandwidth(cpu, cache, measure, available), cpu, problems
        )
    return Machine(
        name=guarded("name", lambda: _name(host), None, problems),
        system=guarded("system", lambda: _system(host), host.system, problems),
        cpu=cpu,
        memory=memory,
        devices=_devices(host, cpu, memory, problems),
        disks=tuple(_disk(folder, problems) for folder in dict.fromkeys(folders)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _devices(
    host: Host, cpu: Cpu, memory: SystemMemory, problems: list[Problem]
) -> tuple[Device, ...]:
    """Devices of all makers; each maker's probe has its own guard and deadline."""
    found: list[Device] = []
    for name, probe in _probes(host, cpu, memory, problems).items():
        found += guarded(name, probe, (), problems, host.deadline)
    return tuple(found)


def _probes(
    host: Host, cpu: Cpu, memory: SystemMemory, problems: list[Problem]
) -> dict[str, Probe]:
    if host.system == "darwin":
        return {"apple": lambda: probe_apple(host, cpu, memory, problems)}
    board = jetson_model(host)
    if board is not None:
        return {"jetson": lambda: probe_jetson(host, board, memory)}
    from gemmahub.hardware.nvidia import probe_nvidia

    probes: dict[str, Probe] = {"nvidia": lambda: probe_nvidia(host, memory, problems)}
    if host.system == "win32":
        problems.append(Problem("graphics", "on Windows only NVIDIA GPUs are probed"))
    elif host.files.exists("sys/class/drm"):
        from gemmahub.hardware.amd import probe_amd
        from gemmahub.hardware.intel import probe_intel

        probes["amd"] = lambda: probe_amd(host, memory, problems)
        probes["intel"] = lambda: probe_intel(host, memory, problems)
    return probes


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
