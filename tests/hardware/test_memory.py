"""Limits of containers, and files that say what they should not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.hardware.probe import probe_machine

if TYPE_CHECKING:
    from collections.abc import Callable

    Tree = Callable[..., dict[str, str]]

GIB = 1 << 30
V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"


def group(folder: str, limit: int | str, used: int, cache: int = 0) -> dict[str, str]:
    return {
        f"{folder}/memory.max": f"{limit}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 1\ninactive_file {cache}\n",
    }


def test_container_of_6_gib_on_a_host_of_64(machines: Any, pc: Tree) -> None:
    tree = pc(64, 60) | group("sys/fs/cgroup", 6 * GIB, 2 * GIB, GIB)
    tree |= {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2}
    memory = probe_machine(machines.linux(tree)).memory
    assert memory.total.value == 64 * GIB
    assert memory.limit is not None
    assert (memory.limit.value, memory.limit.source) == (6 * GIB, "/sys/fs/cgroup/memory.max")
    assert memory.usable is memory.limit
    assert memory.available.value == 5 * GIB
    assert "file cache" in memory.available.doubt


def test_cache_on_the_active_list_can_be_dropped_too(machines: Any, pc: Tree) -> None:
    statistics = {"anon": 2, "active_file": 25, "inactive_file": 3, "file_dirty": 1,
                  "file_writeback": 1, "slab_reclaimable": 1}  # fmt: skip
    tree = pc(64, 55) | group("sys/fs/cgroup", 32 * GIB, 31 * GIB)
    tree |= {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2}
    tree["sys/fs/cgroup/memory.stat"] = "".join(
        f"{name} {size * GIB}\n" for name, size in statistics.items()
    )
    available = probe_machine(machines.linux(tree)).memory.available
    assert available.value == (32 - 31 + 25 + 3 + 1 - 2) * GIB


def arc(size: int, least: int, evictable: int | None) -> dict[str, str]:
    rows = {"size": size * GIB, "c_min": least * GIB}
    if evictable is not None:
        rows |= {"mfu_evictable_data": evictable * GIB, "mru_evictable_metadata": 0}
    text = "13 1 0x01 123 33456 1 2\nname type data\n"
    text += "".join(f"{name:<32}4    {value}\n" for name, value in rows.items())
    return {"proc/spl/kstat/zfs/arcstats": text}


@pytest.mark.parametrize(
    ("cache", "added"),
    [
        (arc(16, 2, 13), 13),
        (arc(16, 2, 15), 14),  # not below its least size
        (arc(16, 2, None), 14),
        (arc(100, 2, 90), 0),  # the host's, seen from a container
        ({"proc/spl/kstat/zfs/arcstats": "garbage\n"}, 0),
    ],
)
def test_zfs_gives_up_its_cache(machines: Any, pc: Tree, cache: dict[str, str], added: int) -> None:
    available = probe_machine(machines.linux(pc(62, 26) | cache)).memory.available
    assert available.value == (26 + added) * GIB
    assert ("ARC" in available.doubt) is bool(added)


def test_huge_pages_and_compressed_swap_are_reported(machines: Any, pc: Tree) -> None:
    rows = "MemTotal: 65800000 kB\nMemAvailable: 28000000 kB\nSwapTotal: 8 kB\nSwapFree: 8 kB\n"
    rows += "HugePages_Total:   16384\nHugepagesize:       2048 kB\n"
    tree = pc() | {"proc/meminfo": rows, "proc/swaps": "Filename Type\n/dev/zram0 partition 8\n"}
    memory = probe_machine(machines.linux(tree)).memory
    assert "32.00 GiB of it are set aside as huge pages" in memory.total.doubt
    assert memory.available.value == 28000000 * 1024
    assert "zram" in memory.swap_free.doubt


def test_memory_of_a_grace_hopper_gpu_is_not_the_systems(machines: Any, pc: Tree) -> None:
    tree = pc(576, 550) | {
        "proc/driver/nvidia/gpus/0009:01:00.0/numa_status": "Node:  1\nStatus:  online\n",
        "sys/devices/system/node/node1/meminfo":
            f"Node 1 MemTotal: {96 << 20} kB\nNode 1 MemFree: {95 << 20} kB\n",
    }  # fmt: skip
    memory = probe_machine(machines.linux(tree)).memory
    assert (memory.total.value, memory.available.value) == (480 * GIB, 455 * GIB)


def test_nested_groups_the_tightest_counts(machines: Any, pc: Tree) -> None:
    top = "sys/fs/cgroup"
    tree = pc(64, 60) | {"proc/self/cgroup": "0::/a/b/c\n", "proc/self/mountinfo": V2}
    tree |= group(f"{top}/a", 8 * GIB, 7 * GIB)
    tree |= group(f"{top}/a/b", 4 * GIB, 0) | group(f"{top}/a/b/c", "max", 0)
    memory = probe_machine(machines.linux(tree)).memory
    assert memory.limit is not None
    assert (memory.limit.value, memory.limit.source) == (4 * GIB, f"/{top}/a/b/memory.max")
    assert memory.available.value == GIB  # the outer group is nearly full
    assert memory.available.source.startswith(f"/{top}/a/memory.max")


def test_soft_limit_that_throttles_counts(machines: Any, pc: Tree) -> None:
    tree = pc(64, 60) | {"proc/self/cgroup": "0::/s\n", "proc/self/mountinfo": V2}
    tree |= group("sys/fs/cgroup/s", "max", 0) | {"sys/fs/cgroup/s/memory.high": f"{3 * GIB}\n"}
    memory = probe_machine(machines.linux(tree)).memory
    assert memory.limit is not None
    assert memory.limit.value == 3 * GIB


@pytest.mark.parametrize("path", ["/", "/../..", "/docker/abc"])
def test_container_whose_group_lies_outside_of_its_mount(
    machines: Any, pc: Tree, path: str
) -> None:
    tree = pc(64, 60) | group("sys/fs/cgroup", 6 * GIB, 0)
    mount = V2.replace(" / ", " /docker/abc ", 1)
    tree |= {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": mount}
    memory = probe_machine(machines.linux(tree)).memory
    assert memory.available.value == 6 * GIB


@pytest.mark.parametrize(("limit", "expected"), [(2 * GIB, 2 * GIB), (9223372036854771712, None)])
def test_first_version(machines: Any, pc: Tree, limit: int, expected: int | None) -> None:
    folder = "sys/fs/cgroup/memory/job"
    tree = pc() | {
        "proc/self/cgroup": "4:cpu,memory:/job\n0::/\n",
        "proc/self/mountinfo": V1,
        f"{folder}/memory.limit_in_bytes": f"{limit}\n",
        f"{folder}/memory.usage_in_bytes": f"{GIB}\n",
        f"{folder}/memory.stat": f"total_inactive_file {GIB // 2}\n",
    }
    machine = probe_machine(machines.linux(tree))
    assert (machine.memory.limit and machine.memory.limit.value) == expected
    assert machine.memory.available.value == (2 * GIB - GIB // 2 if expected else 24 * GIB)
    assert machine.problems == ()


def test_limit_above_the_machines_memory_is_none(machines: Any, pc: Tree) -> None:
    tree = pc(32, 24) | group("sys/fs/cgroup", 64 * GIB, 0)
    tree |= {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2}
    assert probe_machine(machines.linux(tree)).memory.limit is None


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sys/fs/cgroup/memory.max", "six\n"),
        ("sys/fs/cgroup/memory.max", "-1\n"),
        ("sys/fs/cgroup/memory.current", "\n"),
        ("proc/self/cgroup", "nonsense\n"),
        ("sys/fs/cgroup/cpu.max", "100000\n"),
        ("sys/fs/cgroup/cpu.max", "100000 0\n"),
    ],
)
def test_malformed_group_files_are_a_line(machines: Any, pc: Tree, file: str, text: str) -> None:
    tree = pc() | group("sys/fs/cgroup", 6 * GIB, 0)
    tree |= {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2} | {file: text}
    machine = probe_machine(machines.linux(tree))
    assert [problem.probe for problem in machine.problems] == ["cgroup"]
    assert f"/{file}" in machine.problems[0].reason
    assert machine.memory.total.value == 32 * GIB


def test_quota_of_time_bounds_the_cpus(machines: Any, pc: Tree) -> None:
    tree = pc() | {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2}
    tree["sys/fs/cgroup/cpu.max"] = "250000 100000\n"
    cpu = probe_machine(machines.linux(tree)).cpu
    assert (cpu.usable.value, cpu.usable.source) == (3, "/sys/fs/cgroup/cpu.max")


@pytest.mark.parametrize(
    "text",
    ["", "MemTotal: lots kB\n", "MemTotal: 1 kB extra\n\x00\xff", "MemTotal: 0 kB\n", "a\n" * 9],
)
def test_malformed_meminfo_is_a_line_and_no_zero(machines: Any, pc: Tree, text: str) -> None:
    machine = probe_machine(machines.linux(pc() | {"proc/meminfo": text}))
    assert machine.memory.total.value is None
    assert "meminfo" in machine.memory.total.doubt
    assert {problem.probe for problem in machine.problems} == {"memory"}


def test_kernel_without_memavailable_gives_what_is_free(machines: Any, pc: Tree) -> None:
    tree = pc() | {"proc/meminfo": "MemTotal: 4096 kB\nMemFree: 1024 kB\n"}
    memory = probe_machine(machines.linux(tree)).memory
    assert memory.available.value == 1 << 20
    assert "left out" in memory.available.doubt


def test_a_mac_that_reports_nothing(machines: Any) -> None:
    machine = probe_machine(machines.mac({"machdep.cpu.brand_string": "Apple M2"}))
    assert machine.memory.total.value is None
    assert machine.memory.available.value is None
    assert len([problem for problem in machine.problems if problem.probe == "memory"]) == 2
    assert machine.devices[0].total.value is None


def test_windows_whose_swap_counters_are_off_still_has_memory(machines: Any) -> None:
    machine = probe_machine(machines.windows(machines.Psutil((32 * GIB, 20 * GIB), cpus=8)))
    assert machine.memory.available.value == 20 * GIB
    assert (machine.memory.swap_total.value, machine.memory.swap_free.value) == (None, None)
    assert "psutil swap_memory failed" in machine.memory.swap_free.doubt
    assert "psutil swap_memory: the counters are switched off" in [
        problem.reason for problem in machine.problems
    ]
    assert machine.cpu.usable.value == 8
