"""The processor: model, cores, instruction sets that matter to inference, NUMA nodes, caches."""

from __future__ import annotations

import re
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.cgroup import cpu_quota
from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.host import Host, ask_psutil, describe, guarded, sysctl
from gemmahub.hardware.records import Cpu, Figure, Problem
from gemmahub.hardware.topology import (
    CPUS,
    PROBE,
    allowed_cpus,
    compute_cores,
    cores_in_cpuinfo,
    cores_in_sysfs,
    fast_cpus,
    online_cpus,
    read_cpuinfo,
    shown_cpus,
)
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_MEASURED: Final = "not measured"

# Kernel names of the instruction sets that llama.cpp and MLX have code for.
_MATTERS: Final = (
    "sse4_2", "avx", "f16c", "fma", "bmi2", "avx2", "avx_vnni", "avx512f", "avx512bw",
    "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip
_SYSCTL: Final = {
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
}


def unknown_cpu(reason: str) -> Cpu:
    """A processor of which nothing is known."""
    return Cpu(
        model=None,
        physical_cores=Figure.unknown(reason, unit="cores"),
        logical=Figure.unknown(reason, unit="CPUs"),
        usable=Figure.unknown(reason, unit="CPUs"),
        numa_nodes=Figure.unknown(reason, unit="nodes"),
        last_level_cache=Figure.unknown(reason),
        bandwidth=Figure.unknown(_NOT_MEASURED, unit="B/s"),
    )


def probe_cpu(host: Host, problems: list[Problem]) -> Cpu:
    """The processor. Its memory bandwidth is filled in only where it is published."""
    if host.system == "darwin":
        return _macos(host, problems)
    if host.system == "win32":
        return _windows(host, problems)
    return _linux(host.files, problems)


def compute_threads(host: Host | None = None) -> int:
    """How many threads an engine should compute with: one for each fast core that this process
    may use, at least 1. Never raises; :func:`probe_cpu` says what could not be found out.
    """
    host = host or Host()
    if host.system not in ("darwin", "win32"):
        return compute_cores(host.files)
    cpu = probe_cpu(host, [])
    usable = cpu.usable.value or 1
    # Without a topology: most such machines run two threads a core.
    return min(usable, cpu.performance_cores or cpu.physical_cores.value or -(-usable // 2))


# --- Linux -------------------------------------------------------------------------------------


def _linux(files: SystemFiles, problems: list[Problem]) -> Cpu:
    info = read_cpuinfo(files, problems)
    logical = _logical(files, info)
    flags = set(_first(info, "flags", "Features").split())
    model = _model(files, info)
    board = re.match("Raspberry Pi [0-9]+", model or "")
    published = None if board is None else published_bandwidth(board[0])
    return Cpu(
        model=model,
        physical_cores=_physical(files, info),
        logical=logical,
        usable=_usable(files, logical, problems),
        numa_nodes=_numa(files),
        last_level_cache=_last_level_cache(files),
        bandwidth=published or Figure.unknown(_NOT_MEASURED, unit="B/s"),
        performance_cores=_performance(files),
        instruction_sets=tuple(name for name in _MATTERS if name in flags),
    )


def _first(info: list[dict[str, str]], *keys: str) -> str:
    return next((block[key] for block in info for key in keys if block.get(key)), "")


def _model(files: SystemFiles, info: list[dict[str, str]]) -> str | None:
    name = _first(info, "model name", "Model", "Hardware", "cpu model", "uarch")
    if not name:
        try:
            name = files.text("proc/device-tree/model") or ""
        except Unreadable:
            name = ""
    return one_line(name, 100) or None


def _logical(files: SystemFiles, info: list[dict[str, str]]) -> Figure:
    try:
        if online := online_cpus(files):
            return Figure(len(online), f"/{CPUS}/online", unit="CPUs")
    except (Unreadable, ValueError):
        pass
    count = sum("processor" in block for block in info)
    if count:
        return Figure(count, "/proc/cpuinfo", unit="CPUs")
    return Figure.unknown("neither sysfs nor /proc/cpuinfo lists CPUs", unit="CPUs")


def _physical(files: SystemFiles, info: list[dict[str, str]]) -> Figure:
    """Cores are counted by the distinct sets of hardware threads that share one."""
    virtual = "hypervisor" in _first(info, "flags").split()
    doubt = "a virtual machine: cores are what the host shows" if virtual else ""
    if cores := cores_in_sysfs(files):
        try:
            shown = shown_cpus(files) & cores.keys()
        except (Unreadable, ValueError):
            shown = frozenset()
        count = len({cores[cpu] for cpu in shown or cores})
        return Figure(count, f"/{CPUS}/cpu*/topology", doubt, "cores")
    if cores := cores_in_cpuinfo(info):
        return Figure(len(set(cores.values())), "/proc/cpuinfo", doubt, "cores")
    return Figure.unknown("sysfs shows no topology", unit="cores")


def _performance(files: SystemFiles) -> int | None:
    """None where all cores are of one kind."""
    fast = fast_cpus(files)
    cores = cores_in_sysfs(files) if fast else {}
    return len({cores.get(cpu, cpu) for cpu in fast}) or None


def _usable(files: SystemFiles, logical: Figure, problems: list[Problem]) -> Figure:
    """The least of: CPUs online, CPUs this process is bound to, the group's quota."""
    usable = logical
    try:
        if allowed := allowed_cpus(files):
            source = "/proc/self/status Cpus_allowed_list"
            usable = _less(usable, Figure(len(allowed), source, unit="CPUs"))
    except (Unreadable, ValueError) as error:
        problems.append(Problem(PROBE, f"/proc/self/status: {error}"))
    quota = cpu_quota(files, problems)
    if quota is None:
        return usable
    cpus, file = quota
    return _less(usable, Figure(ceil(cpus), file, "a quota of time, not of cores", "CPUs"))


def _less(one: Figure, other: Figure) -> Figure:
    if one.value is None or other.value is None:
        return other if one.value is None else one
    return other if other.value < one.value else one


def _numa(files: SystemFiles) -> Figure:
    source = "sys/devices/system/node"
    try:
        nodes = len(files.names(source, "node[0-9]+"))
    except Unreadable as error:
        return Figure.unknown(str(error), unit="nodes")
    if nodes:
        return Figure(nodes, f"/{source}", unit="nodes")
    return Figure.unknown("the kernel shows no NUMA nodes", unit="nodes")


def _last_level_cache(files: SystemFiles) -> Figure:
    """Size of the largest cache that CPU 0 sees."""
    folder, units = f"{CPUS}/cpu0/cache", {"K": 1 << 10, "M": 1 << 20}
    sizes: list[int] = []
    try:
        for index in files.names(folder, "index[0-9]+"):
            match = re.fullmatch(r"([0-9]+)([KM])", files.text(f"{folder}/{index}/size") or "")
            if match is not None:
                sizes.append(int(match[1]) * units[match[2]])
    except Unreadable as error:
        return Figure.unknown(str(error))
    largest = max(sizes, default=0)
    if largest:
        return Figure(largest, f"/{folder}", "of the core complex that CPU 0 belongs to")
    return Figure.unknown("the kernel shows no caches")


# --- macOS and Windows -------------------------------------------------------------------------


def _macos(host: Host, problems: list[Problem]) -> Cpu:
    try:
        values = sysctl(  # what psutil does not know
            host, "machdep.cpu.brand_string", "hw.perflevel0.physicalcpu", "hw.l3cachesize",
            "hw.perflevel0.l2cachesize", *_SYSCTL,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - whatever a command does is a line
        problems.append(Problem(PROBE, describe(error)))
        values = {}
    model = one_line(values.get("machdep.cpu.brand_string", ""), 100) or None
    performance = values.get("hw.perflevel0.physicalcpu", "")
    fast = int(performance) if performance.isdigit() else None
    logical = _counted(host, problems, "CPUs", logical=True)
    sets = {name for key, name in _SYSCTL.items() if values.get(key) == "1"}
    if model is not None and model.startswith("Apple"):
        sets.add("asimd")
    cache = "hw.l3cachesize" if values.get("hw.l3cachesize", "0") != "0" else ""
    return Cpu(
        model=model,
        physical_cores=_counted(host, problems, "cores", logical=False),
        logical=logical,
        usable=logical,
        numa_nodes=Figure.unknown("macOS does not report it", unit="nodes"),
        last_level_cache=_sysctl_figure(values, cache or "hw.perflevel0.l2cachesize", "B"),
        bandwidth=published_bandwidth(model, performance_cores=fast)
        or Figure.unknown(_NOT_MEASURED, unit="B/s"),
        performance_cores=fast,
        instruction_sets=tuple(name for name in _MATTERS if name in sets),
    )


def _sysctl_figure(values: Mapping[str, str], name: str, unit: str) -> Figure:
    text = values.get(name, "")
    if text.isdigit():
        return Figure(int(text), f"sysctl {name}", unit=unit)
    return Figure.unknown(f"sysctl does not report {name}", unit=unit)


def _counted(host: Host, problems: list[Problem], unit: str, *, logical: bool) -> Figure:
    count = ask_psutil(host, PROBE, problems, "cpu_count", logical=logical)
    source = f"psutil cpu_count(logical={logical})"
    if count is None:
        return Figure.unknown("psutil does not report it", source, unit)
    return Figure(count, source, unit=unit)


def _windows(host: Host, problems: list[Problem]) -> Cpu:
    logical = _counted(host, problems, "CPUs", logical=True)
    process = ask_psutil(host, PROBE, problems, "Process")
    allowed = process and guarded(PROBE, process.cpu_affinity, None, problems)
    bound = Figure(len(allowed), "psutil cpu_affinity", unit="CPUs") if allowed else logical
    cpu = unknown_cpu("not probed on Windows")
    return replace(
        cpu,
        model=one_line(host.environment.get("PROCESSOR_IDENTIFIER", ""), 100) or None,
        physical_cores=_counted(host, problems, "cores", logical=False),
        logical=logical,
        usable=_less(logical, bound),
    )
