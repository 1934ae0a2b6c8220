"""How many threads an engine gets: fast cores that this process may use, within its quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.hardware.cpu import compute_threads
from gemmahub.hardware.files import SystemFiles
from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.topology import compute_cores

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def siblings(*groups: str) -> dict[str, str]:
    """sysfs of CPUs 0.. whose sibling lists are given."""
    return {
        f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list": f"{group}\n"
        for number, group in enumerate(groups)
    }


def cores(root: Path, *allowed: int) -> int:
    return compute_cores(SystemFiles(root), frozenset(allowed))


def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    write(tmp_path, siblings("0,2", "1,3", "0,2", "1,3"))
    assert cores(tmp_path, 0, 1, 2, 3) == 2


def test_only_allowed_cpus_count(tmp_path: Path) -> None:
    write(tmp_path, siblings("0-1", "0-1", "2-3", "2-3"))
    assert cores(tmp_path, 0, 1) == 1
    assert cores(tmp_path, 1, 2) == 2


def test_cpuinfo_where_sysfs_is_missing(tmp_path: Path) -> None:
    block = "processor\t: {}\nphysical id\t: {}\ncore id\t\t: {}\n"
    blocks = [block.format(*facts) for facts in ((0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 1, 0))]
    write(tmp_path, {"proc/cpuinfo": "\n".join(blocks)})
    assert cores(tmp_path, 0, 1, 2, 3) == 2
    assert cores(tmp_path, 0, 1) == 1


def test_without_topology_each_allowed_cpu_is_a_core(tmp_path: Path) -> None:
    write(tmp_path, {"proc/cpuinfo": "processor\t: 0\nBogoMIPS\t: 50\n\nprocessor\t: 1\n"})
    assert cores(tmp_path, 0, 1) == 2
    assert cores(tmp_path / "nothing", 0, 1, 2) == 3


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("max 100000", 4)],
)
def test_cgroup_v2_quota(tmp_path: Path, quota: str, expected: int) -> None:
    write(tmp_path, siblings("0", "1", "2", "3"))
    write(tmp_path, {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": quota})
    assert cores(tmp_path, 0, 1, 2, 3) == expected


def test_the_tightest_quota_of_all_levels_counts(tmp_path: Path) -> None:
    write(tmp_path, siblings("0", "1", "2", "3"))
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/cpu.max": "200000 100000",
        "sys/fs/cgroup/a/b/cpu.max": "300000 100000",
    }
    write(tmp_path, files)
    assert cores(tmp_path, 0, 1, 2, 3) == 2


def test_a_container_sees_its_quota_at_the_root(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../x\n", "sys/fs/cgroup/cpu.max": "100000 100000"}
    write(tmp_path, siblings("0", "1") | files)
    assert cores(tmp_path, 0, 1) == 1


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2), ("-1", 3)])
def test_cgroup_v1_quota(tmp_path: Path, quota: str, expected: int) -> None:
    files = {
        "proc/self/cgroup": "5:cpu,cpuacct:/box\n0::/box\n",
        "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": quota,
        "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
    }
    write(tmp_path, siblings("0", "1", "2") | files)
    assert cores(tmp_path, 0, 1, 2) == expected


# 6 performance cores with two threads each, then 8 efficiency cores: Intel's i7-13700H.
HYBRID = siblings(
    *(f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" for cpu in range(12)), *map(str, range(12, 20))
)
HYBRID |= {"sys/devices/cpu_core/cpus": "0-11\n", "sys/devices/cpu_atom/cpus": "12-19\n"}


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [(range(20), 6), (range(4, 16), 4), (range(12, 20), 8), (range(1), 1)],
)
def test_slow_cores_count_only_where_there_are_no_fast_ones(
    tmp_path: Path, allowed: range, expected: int
) -> None:
    write(tmp_path, HYBRID)
    assert cores(tmp_path, *allowed) == expected


@pytest.mark.parametrize("text", ["", "none\n", "0-\n", "40-50\n"])
def test_a_list_of_fast_cores_that_says_nothing_leaves_all_cores(tmp_path: Path, text: str) -> None:
    write(tmp_path, HYBRID | {"sys/devices/cpu_core/cpus": text})
    assert cores(tmp_path, *range(20)) == 14


def test_cpus_that_could_be_plugged_in_later_do_not_count(tmp_path: Path, machines: Any) -> None:
    status = {"proc/self/status": "Cpus_allowed_list:\t0-239\n"}
    tree = siblings("0-1", "0-1", "2-3", "2-3") | {"sys/devices/system/cpu/online": "0-3\n"}
    assert compute_threads(machines.linux(tree | status)) == 2


def test_what_the_process_is_bound_to_counts(machines: Any) -> None:
    status = {"proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-7\n"}
    assert compute_threads(machines.linux(HYBRID | status)) == 4


def test_without_status_all_cores_of_the_machine_count(machines: Any) -> None:
    assert compute_threads(machines.linux(siblings("0-1", "0-1", "2-3", "2-3"))) == 2


def test_of_an_empty_tree_one_thread_is_left(machines: Any) -> None:
    assert compute_threads(machines.linux()) == 1


def test_mac_computes_with_its_performance_cores(machines: Any) -> None:
    counts = machines.Psutil(cores=8, cpus=8)
    assert compute_threads(machines.mac({"hw.perflevel0.physicalcpu": "4"}, counts)) == 4
    assert compute_threads(machines.mac({}, counts)) == 8


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        ({"cores": 8, "cpus": 16, "affinity": range(16)}, 8),
        ({"cores": 8, "cpus": 16, "affinity": range(4)}, 4),
        ({"cpus": 16}, 8),
        ({"cpus": 1}, 1),
        ({}, 1),
    ],
)
def test_windows_computes_with_the_cores_it_may_use(
    machines: Any, counted: dict[str, Any], expected: int
) -> None:
    assert compute_threads(machines.windows(machines.Psutil(**counted))) == expected


def test_this_machine_has_a_core() -> None:
    assert compute_threads() >= 1


def test_small_cores_of_arm_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, siblings("0", "1", "2", "3", "4", "5"))
    capacities = (350, 350, 870, 870, 870, 1024)
    for cpu, capacity in enumerate(capacities):
        path = f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity"
        write(tmp_path, {path: f"{capacity}\n"})
    assert cores(tmp_path, *range(6)) == 4
    assert cores(tmp_path, 0, 1) == 2  # nothing else may be used


def test_cores_of_a_container_are_those_it_is_bound_to(machines: Any, pc: Any) -> None:
    tree = pc() | {"sys/devices/system/cpu/online": "0-3\n"}
    tree["proc/self/status"] = "Cpus_allowed_list:\t5,7,13,15\n"  # two cores, two threads each
    cpu = probe_machine(machines.linux(tree)).cpu
    assert (cpu.physical_cores.value, cpu.usable.value) == (2, 4)
