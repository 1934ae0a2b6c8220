"""Linux: which logical CPUs share a core, which are fast, and which this process may use.

psutil counts the cores of the whole machine; it does not tell efficiency cores apart, and knows no
quota of a control group.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.cgroup import cpu_quota
from gemmahub.hardware.files import SystemFiles, Unreadable, numbers_of
from gemmahub.hardware.records import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CPUS: Final = "sys/devices/system/cpu"
PROBE: Final = "cpu"
# CPUs of the event counters that the kernel names for performance cores, where a processor of
# Intel's has two kinds (Documentation/admin-guide/perf/intel-hybrid.rst).
_FAST: Final = "sys/devices/cpu_core/cpus"
# Small cores of ARM have a third to a half of a large one's capacity; a middle one has more.
_LEAST_CAPACITY: Final = 0.6


def read_cpuinfo(files: SystemFiles, problems: list[Problem]) -> list[dict[str, str]]:
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


def cores_in_sysfs(files: SystemFiles) -> dict[int, str]:
    """The core of each logical CPU, named by the list of CPUs that share it."""
    cores: dict[int, str] = {}
    try:
        for name in files.names(CPUS, "cpu[0-9]+"):
            topology = f"{CPUS}/{name}/topology"
            shared = files.text(f"{topology}/core_cpus_list")
            shared = shared or files.text(f"{topology}/thread_siblings_list")  # before Linux 5.3
            if shared:
                cores[int(name[3:])] = shared
    except Unreadable:
        return {}
    return cores


def cores_in_cpuinfo(info: Sequence[Mapping[str, str]]) -> dict[int, str]:
    """The core of each logical CPU, named by its package and its number there."""
    return {
        int(block["processor"]): f"{block.get('physical id', '0')}/{block['core id']}"
        for block in info
        if "core id" in block and block.get("processor", "").isdigit()
    }


def online_cpus(files: SystemFiles) -> frozenset[int]:
    """The logical CPUs that run; empty where the kernel does not say.

    Raises: Unreadable; ValueError when the list is none.
    """
    text = files.text(f"{CPUS}/online")
    return numbers_of(text) if text else frozenset()


def allowed_cpus(files: SystemFiles) -> frozenset[int]:
    """The logical CPUs that this process may run on; empty where the kernel does not say.

    Raises: Unreadable; ValueError when the list is none.
    """
    bound = _bound_cpus(files)
    online = online_cpus(files)  # a process may be bound to CPUs that could be plugged in later
    return bound & online or bound


def _bound_cpus(files: SystemFiles) -> frozenset[int]:
    status = files.text("proc/self/status") or ""
    match = re.search(r"^Cpus_allowed_list:\s*(\S+)$", status, re.MULTILINE)
    return numbers_of(match[1]) if match else frozenset()


def shown_cpus(files: SystemFiles) -> frozenset[int]:
    """The logical CPUs of what this process takes for the machine; empty where nothing says so.

    In a container (lxcfs) the list of CPUs that run is the container's, numbered from 0, while
    the topology is the host's, where the process is bound to other numbers.

    Raises: Unreadable; ValueError when a list is none.
    """
    bound, online = _bound_cpus(files), online_cpus(files)
    of_host = not bound <= online or len(bound) == len(online)
    return bound if bound and of_host else online


def fast_cpus(files: SystemFiles) -> frozenset[int]:
    """The logical CPUs on performance cores; empty where all cores are of one kind, or the kernel
    does not tell them apart.
    """
    try:
        return numbers_of(files.text(_FAST) or "")
    except (Unreadable, ValueError):
        return _capable_cpus(files)


def _capable_cpus(files: SystemFiles) -> frozenset[int]:
    """On ARM: those whose capacity is most of the largest (Documentation/scheduler/sched-capacity
    .rst of the kernel); empty where that is all of them."""
    try:
        names = files.names(CPUS, "cpu[0-9]+")
        found = {int(name[3:]): files.integer(f"{CPUS}/{name}/cpu_capacity") for name in names}
    except Unreadable:
        return frozenset()
    known = {cpu: capacity for cpu, capacity in found.items() if capacity}
    least = _LEAST_CAPACITY * max(known.values(), default=0)
    fast = frozenset(cpu for cpu, capacity in known.items() if capacity >= least)
    return fast if len(fast) < len(known) else frozenset()


def compute_cores(files: SystemFiles, allowed: frozenset[int] | None = None) -> int:
    """Cores for computing among the ``allowed`` logical CPUs (None: what this process may run on),
    within the quota: at least 1.

    Two threads on one core share its vector units. A thread on a slow core, and one more than the
    quota grants, make all the others wait at every barrier; so a part of a CPU is not rounded up.
    """
    if allowed is None:
        try:
            allowed = allowed_cpus(files)
        except (Unreadable, ValueError):
            allowed = frozenset()
    cores = cores_in_sysfs(files)
    if not cores or not allowed <= cores.keys():
        cores = cores_in_cpuinfo(read_cpuinfo(files, []))
    chosen = allowed or frozenset(cores) or frozenset({0})
    chosen = chosen & fast_cpus(files) or chosen
    # Where the kernel shows no topology, each CPU counts as a core.
    count = len({cores.get(cpu, cpu) for cpu in chosen})
    quota = cpu_quota(files, [])
    return max(1, count if quota is None else min(count, int(quota[0])))
