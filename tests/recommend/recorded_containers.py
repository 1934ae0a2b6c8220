"""Containers, servers and limits from public reports, by the names of ``experts.toml``."""

from __future__ import annotations

from typing import Final

from tests.hardware.trees import pc, x86
from tests.recommend.recorded_machines import (
    CARDS,
    FAILING,
    GIB,
    INTEGRATED,
    PROCESSORS,
    SEVERAL,
    Recorded,
)

TOP: Final = "sys/fs/cgroup"
MOUNT: Final = {
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n"
}


def container(limit: int | str, used: int, active: int = 0, inactive: int = 0) -> dict[str, str]:
    """The files of a container's control group; sizes in GiB, ``active`` and ``inactive`` of file
    cache."""
    statistics = {
        "anon": used - active - inactive,
        "file": active + inactive,
        "active_file": active,
        "inactive_file": inactive,
    }
    rows = "".join(f"{name} {size * GIB}\n" for name, size in statistics.items())
    most = limit if isinstance(limit, str) else limit * GIB
    return MOUNT | {
        "proc/self/cgroup": "0::/\n",
        f"{TOP}/cgroup.controllers": "cpu memory\n",
        f"{TOP}/memory.max": f"{most}\n",
        f"{TOP}/memory.current": f"{used * GIB}\n",
        f"{TOP}/memory.stat": f"{rows}kernel 100000\n",
    }


POD: Final = {
    "proc/self/cgroup": "11:memory:/kubepods/pod1/abc\n3:cpu,cpuacct:/kubepods/pod1/abc\n",
    "proc/self/mountinfo":
        "1 0 0:30 /kubepods/pod1/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
        "2 0 0:31 /kubepods/pod1/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu\n",
    f"{TOP}/memory/memory.limit_in_bytes": f"{8 * GIB}\n",
    f"{TOP}/memory/memory.usage_in_bytes": f"{GIB}\n",
    f"{TOP}/memory/memory.stat": "total_inactive_file 104857600\n",
    f"{TOP}/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
    f"{TOP}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
}  # fmt: skip

NESTED: Final = MOUNT | {
    "proc/self/cgroup": "0::/user.slice/a.slice/b.service\n",
    f"{TOP}/cgroup.controllers": "memory\n",
    f"{TOP}/user.slice/memory.max": "max\n",
    f"{TOP}/user.slice/a.slice/memory.max": f"{12 * GIB}\n",
    f"{TOP}/user.slice/a.slice/memory.current": f"{9 * GIB}\n",
    f"{TOP}/user.slice/a.slice/memory.stat": "inactive_file 0\n",
    f"{TOP}/user.slice/a.slice/b.service/memory.max": f"{16 * GIB}\n",
    f"{TOP}/user.slice/a.slice/b.service/memory.high": f"{6 * GIB}\n",
    f"{TOP}/user.slice/a.slice/b.service/memory.current": f"{1 * GIB}\n",
    f"{TOP}/user.slice/a.slice/b.service/memory.stat": "inactive_file 0\n",
}

ARC: Final = {
    "proc/spl/kstat/zfs/arcstats":
        "13 1 0x01 123 33456 1 2\nname                            type data\n"
        f"size                            4    {16 * GIB}\nc_min                           4    "
        f"{2 * GIB}\nc_max                           4    {16 * GIB}\n"
        "mfu_evictable_data 4 9000000000\nmru_evictable_data 4 6000000000\n"
}  # fmt: skip

EPYC: Final = x86("AMD EPYC 7443", 24)


PROXMOX: Final = EPYC | {
    "proc/meminfo": "MemTotal: 16777216 kB\nMemFree: 3000000 kB\nMemAvailable: 15000000 kB\n",
    "proc/self/cgroup": "0::/init.scope\n",
    "proc/self/mountinfo": "30 23 0:26 /lxc/101/ns /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    "sys/devices/system/cpu/online": "0-3\n",
    "proc/self/status": "Cpus_allowed_list:\t7,9,21,30\n",
}  # fmt: skip

CONTAINERS: Final = {
    "Container of 32 GiB, its file cache on the active list": Recorded(
        pc(64, 55) | container(32, 30, active=25, inactive=3), (), 40
    ),
    "Container of 32 GiB, its file cache on the inactive list": Recorded(
        pc(64, 55) | container(32, 30, inactive=28), (), 40
    ),
    "Container without a limit, full of file cache": Recorded(
        pc(32, 27) | container("max", 28, active=25, inactive=2), (), 40
    ),
    "Server with ZFS": Recorded(pc(62, 26) | ARC, (), 40),
    "Server with half of its memory in huge pages": Recorded(
        EPYC
        | {
            "proc/meminfo": "MemTotal: 65800000 kB\nMemFree: 20000000 kB\n"
            "MemAvailable: 28000000 kB\nHugePages_Total:   16384\nHugepagesize:    2048 kB\n"
        },
        (),
        100,
    ),
    "Pod of 8 GiB and 1.5 processors": Recorded(pc(256, 200, "AMD EPYC 7763", 64) | POD, (), 20),
    "Service in nested groups, the inner one throttled at 6 GiB": Recorded(
        pc(64, 50) | NESTED, (), 40
    ),
    "Proxmox container of 16 GiB and 4 processors": Recorded(PROXMOX, (), 40),
    "Docker container of 8 GiB without swap": Recorded(
        pc(16, 12) | container(8, 1) | {f"{TOP}/memory.swap.max": "0\n"}, (), 40
    ),
}


def hybrid(**files: str) -> Recorded:
    """A laptop with an i7-13700H: six fast cores with two threads each, then eight slow ones."""
    cpus = "sys/devices/system/cpu"
    tree = pc(32, 27, "13th Gen Intel(R) Core(TM) i7-13700H", 20) | MOUNT
    tree = {name: text for name, text in tree.items() if not name.startswith(cpus)}
    tree |= {f"{cpus}/online": "0-19\n", "proc/self/cgroup": "0::/\n"}
    tree |= {"sys/devices/cpu_core/cpus": "0-11\n", "sys/devices/cpu_atom/cpus": "12-19\n"}
    for cpu in range(20):
        first = cpu // 2 * 2
        shared = f"{first}-{first + 1}" if cpu < 12 else str(cpu)
        tree[f"{cpus}/cpu{cpu}/topology/core_cpus_list"] = f"{shared}\n"
    return Recorded(tree | files, (), 50)


QUOTA: Final = f"{TOP}/cpu.max"
HYBRID: Final = {
    "Laptop with fast and slow cores": hybrid(),
    "The same laptop, bound to its first eight processors": hybrid(
        **{"proc/self/status": "Cpus_allowed_list:\t0-7\n"}
    ),
    "The same laptop with a quota of two processors": hybrid(**{QUOTA: "200000 100000\n"}),
    "The same laptop with a quota of 7.65 processors": hybrid(**{QUOTA: "765000 100000\n"}),
}

RECORDED: Final = CARDS | INTEGRATED | SEVERAL | FAILING | PROCESSORS | CONTAINERS | HYBRID
