from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub_llamacpp import cpu

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
    return cpu.linux_cores(root / "proc", root / "sys", frozenset(allowed))


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


def test_this_machine_has_a_core() -> None:
    assert cpu.physical_cores() >= 1
