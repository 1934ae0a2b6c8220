"""The processor: model, cores, instruction sets that matter to inference, NUMA nodes, caches."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.cgroup import cpu_quota
from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.files import SystemFiles, Unreadable, count_list
from gemmahub.hardware.host import Host, describe, sysctl
from gemmahub.hardware.records import Cpu, Figure, Problem
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBE: Final = "cpu"
_CPUS: Final = "sys/devices/system/cpu"
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
        return _windows(host)
    return _linux(host.files, problems)


# --- Linux -------------------------------------------------------------------------------------


def _linux(files: SystemFiles, problems: list[Problem]) -> Cpu:
    info = _cpuinfo(files, problems)
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
        instruction_sets=tuple(name for name in _MATTERS if name in flags),
    )


def _cpuinfo(files: SystemFiles, problems: list[Problem]) -> list[dict[str, str]]:
    """One mapping for each block of ``/proc/cpuinfo``."""
    try:
        text = files.text("proc/cpuinfo")
    except Unreadable as error:
        problems.append(Problem(PROBE, str(error)))
        return []
    if not text:
        problems.append(Problem(PROBE, "/proc/cpuinfo does not exist or is empty"))
        return []
    blocks = []
    for block in re.split(r"\n\s*\n", text):
        pairs = (line.partition(":") for line in block.splitlines())
        blocks.append({key.strip(): value.strip() for key, found, value in pairs if found})
    return blocks


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
        online = files.text(f"{_CPUS}/online")
        if online:
            return Figure(count_list(online), f"/{_CPUS}/online", unit="CPUs")
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
    siblings = set()
    try:
        for name in files.names(_CPUS, "cpu[0-9]+"):
            topology = f"{_CPUS}/{name}/topology"
            found = files.text(f"{topology}/thread_siblings_list")
            found = found or files.text(f"{topology}/core_cpus_list")
            if found:
                siblings.add(found)
    except Unreadable:
        siblings.clear()
    if siblings:
        return Figure(len(siblings), f"/{_CPUS}/cpu*/topology", doubt, "cores")
    pairs = {(block.get("physical id"), block.get("core id")) for block in info}
    cores = {pair for pair in pairs if None not in pair}
    if cores:
        return Figure(len(cores), "/proc/cpuinfo", doubt, "cores")
    return Figure.unknown("sysfs shows no topology", unit="cores")


def _usable(files: SystemFiles, logical: Figure, problems: list[Problem]) -> Figure:
    """The least of: CPUs online, CPUs this process is bound to, the group's quota."""
    usable = logical
    try:
        status = files.text("proc/self/status") or ""
        match = re.search(r"^Cpus_allowed_list:\s*(\S+)$", status, re.MULTILINE)
        if match is not None:
            bound = Figure(count_list(match[1]), "/proc/self/status Cpus_allowed_list", unit="CPUs")
            usable = _less(usable, bound)
    except (Unreadable, ValueError) as error:
        problems.append(Problem(PROBE, f"/proc/self/status: {error}"))
    quota = cpu_quota(files, problems)
    return usable if quota is None else _less(usable, quota)


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
    folder, units = f"{_CPUS}/cpu0/cache", {"K": 1 << 10, "M": 1 << 20}
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
        values = sysctl(
            host, "machdep.cpu.brand_string", "hw.physicalcpu", "hw.logicalcpu",
            "hw.perflevel0.physicalcpu", "hw.l3cachesize", "hw.perflevel0.l2cachesize", *_SYSCTL,
        )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - whatever a command does is a line
        problems.append(Problem(PROBE, describe(error)))
        return unknown_cpu(describe(error))
    model = one_line(values.get("machdep.cpu.brand_string", ""), 100) or None
    performance = values.get("hw.perflevel0.physicalcpu", "")
    fast = int(performance) if performance.isdigit() else None
    logical = _sysctl_figure(values, "hw.logicalcpu", "CPUs")
    sets = {name for key, name in _SYSCTL.items() if values.get(key) == "1"}
    if model is not None and model.startswith("Apple"):
        sets.add("asimd")
    cache = "hw.l3cachesize" if values.get("hw.l3cachesize", "0") != "0" else ""
    return Cpu(
        model=model,
        physical_cores=_sysctl_figure(values, "hw.physicalcpu", "cores"),
        logical=logical,
        usable=logical,
        numa_nodes=Figure.unknown("macOS does not tell", unit="nodes"),
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
    return Figure.unknown(f"sysctl does not say {name}", unit=unit)


def _windows(host: Host) -> Cpu:
    cpu = unknown_cpu("not probed on Windows")
    count = os.cpu_count()
    logical = cpu.logical if count is None else Figure(count, "os.cpu_count()", unit="CPUs")
    return Cpu(
        model=one_line(host.environment.get("PROCESSOR_IDENTIFIER", ""), 100) or None,
        physical_cores=cpu.physical_cores,
        logical=logical,
        usable=logical,
        numa_nodes=cpu.numa_nodes,
        last_level_cache=cpu.last_level_cache,
        bandwidth=cpu.bandwidth,
    )
