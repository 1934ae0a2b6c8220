"""Machines from public reports, as their drivers show them, by the names of ``experts.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from gemmahub.hardware import bandwidth
from gemmahub.hardware.probe import probe_machine
from gemmahub.hardware.records import Figure
from tests.hardware.trees import FakeNvml, Machines, NoRights, card, meminfo, pc, x86

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.hardware.host import Host
    from gemmahub.hardware.records import Machine

GIB: Final = 1 << 30
MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Recorded:
    """The files of a machine, the GPUs that NVML knows, and what a copy test would measure in GB/s.

    ``barred`` are the beginnings of files that may not be opened, ``failure`` is why NVML does not
    start.
    """

    files: Mapping[str, str]
    gpus: tuple[Mapping[str, Any], ...] = ()
    copy_rate: float = 45
    environment: Mapping[str, str] = field(default_factory=dict)
    barred: tuple[str, ...] = ()
    failure: str = ""

    def host(self, folder: Path) -> Host:
        """The machine, written down in an empty folder."""
        driver = self.gpus or self.failure
        nvml = FakeNvml(*self.gpus, failure=self.failure) if driver else None
        host = Machines(folder).linux(self.files, nvml=nvml, environment=self.environment)
        return replace(host, files=NoRights(folder, self.barred)) if self.barred else host

    def probed(self, folder: Path) -> Machine:
        """What the probe says of it."""
        return probed(self.host(folder), self.copy_rate)


def probed(host: Host, copy_rate: float) -> Machine:
    """What the probe says of a host on which a copy test would measure so many GB/s."""
    rate = Figure(round(copy_rate * 1e9), "copy test", "lower bound", "B/s")
    with patch.object(bandwidth, "measure_bandwidth", lambda cpu, available: rate):
        return probe_machine(host, measure=True)


def gpu(name: str, mib: int, width: int, clock: int, taken: tuple[int, int] = (250, 400)) -> Any:
    """A GPU as NVML describes it; ``taken`` are MiB of the driver and of other programs."""
    memory = tuple(size * MIB for size in (mib, *taken))
    return {"name": f"NVIDIA {name}", "memory": memory, "width": width, "clock": clock}


RTX_4060_LAPTOP: Final = gpu("GeForce RTX 4060 Laptop GPU", 8188, 128, 8001, (225, 10))
GTX_1650_LAPTOP: Final = gpu("GeForce GTX 1650", 4096, 128, 4001, (150, 20))
RTX_3090: Final = gpu("GeForce RTX 3090", 24576, 384, 9751, (400, 100))
RTX_3090_BUSY: Final = gpu("GeForce RTX 3090", 24576, 384, 9751, (400, 23500))
GTX_1050_TI: Final = gpu("GeForce GTX 1050 Ti", 4096, 128, 3504, (100, 900))
RTX_3060: Final = gpu("GeForce RTX 3060", 12288, 192, 7501, (200, 50))

SIZES: Final = ("vram_total", "vram_used", "gtt_total", "gtt_used")


def amd(
    number: int, device: str, slot: str, mib: tuple[int, int, int, int], revision: int = 0
) -> dict[str, str]:
    """An AMD GPU; ``mib`` are total and used of its own memory and of what it can map."""
    sizes = zip(SIZES, mib, strict=True)
    files = {f"mem_info_{name}": size * MIB for name, size in sizes}
    return card(number, f"1002:{device}", "amdgpu", slot=slot, revision=revision, **files)


INTEL_GRAPHICS: Final = "0000:00:02.0"
XTX: Final = amd(0, "744c", "0000:03:00.0", (24560, 1024, 31 * 1024, 64), 0xC8)
XTX_COMPUTE: Final = {
    "sys/class/kfd/kfd/topology/nodes/1/properties":
        "location_id 768\ndomain 0\ngfx_target_version 110000\n",
    "sys/class/drm/card0/device/drm/renderD128/dev": "226:128",
    **dict.fromkeys(("dev/null", "dev/kfd", "dev/dri/renderD128"), ""),
}  # fmt: skip


def strix_halo(vram: int, gtt: int, memory: int, available: int) -> dict[str, str]:
    """A Ryzen AI Max+ 395; ``vram`` and ``gtt`` in GiB, memory as Linux counts it in kB."""
    rows = {"MemTotal": memory, "MemAvailable": available, "SwapTotal": 0, "SwapFree": 0}
    text = "".join(f"{name}: {size} kB\n" for name, size in rows.items())
    tree = x86("AMD RYZEN AI MAX+ 395 w/ Radeon 8060S", 16) | {"proc/meminfo": text}
    mib = (vram * 1024, 600, gtt * 1024, 100)
    return tree | amd(1, "1586", "0000:c1:00.0", mib, 0xC1)


def pi() -> dict[str, str]:
    """A Raspberry Pi 5 with 16 GB."""
    board = "Raspberry Pi 5 Model B Rev 1.1"
    blocks = "".join(f"processor\t: {n}\nFeatures\t: fp asimd asimddp\n\n" for n in range(4))
    memory = "MemTotal: 16600000 kB\nMemAvailable: 15400000 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
    return {
        "proc/cpuinfo": f"{blocks}Model\t\t: {board}\n",
        "proc/meminfo": memory,
        "sys/devices/system/cpu/online": "0-3\n",
    }


LAPTOP: Final = pc(32, 24, "13th Gen Intel(R) Core(TM) i7-13700H", 14)
UHD_LAPTOP: Final = pc(32, 27, "12th Gen Intel(R) Core(TM) i5-12450H", 8)
RENOIR: Final = pc(15, 9, "AMD Ryzen 5 4600H with Radeon Graphics", 6)
REMBRANDT: Final = pc(30, 26, "AMD Ryzen 7 6800H with Radeon Graphics", 8)
LUNAR_LAKE: Final = pc(31, 27, "Intel(R) Core(TM) Ultra 7 258V", 8)
B580: Final = card(0, "8086:e20b", "xe") | {
    "sys/class/drm/card0/device/tile0/physical_vram_size_bytes": f"{12216 * MIB}\n"
}


def desktop(
    total: int, available: int, copy_rate: float, name: str, gib: int, width: int, clock: int
) -> Recorded:
    """A PC with one card of NVIDIA's."""
    return Recorded(pc(total, available), (gpu(name, gib * 1024, width, clock),), copy_rate)


CARDS: Final = {
    "RTX 4060 8 GB, 32 GB": desktop(32, 27, 55, "GeForce RTX 4060", 8, 128, 8501),
    "RTX 3060 12 GB, 32 GB": desktop(32, 27, 40, "GeForce RTX 3060", 12, 192, 7501),
    "RTX 5060 Ti 16 GB, 64 GB": desktop(64, 57, 70, "GeForce RTX 5060 Ti", 16, 128, 14001),
    "RTX 4090 24 GB, 64 GB": desktop(64, 57, 70, "GeForce RTX 4090", 24, 384, 10501),
    "RTX 5090 32 GB, 64 GB": desktop(64, 57, 80, "GeForce RTX 5090", 32, 512, 14001),
    "RTX A6000 48 GB, 128 GB": desktop(128, 118, 80, "RTX A6000", 48, 384, 8001),
    "H100 80 GB": desktop(512, 480, 200, "H100 80GB HBM3", 80, 5120, 2619),
    "GTX 1650 4 GB, 16 GB": desktop(16, 12, 35, "GeForce GTX 1650", 4, 128, 4001),
    "RTX 2060 6 GB, 16 GB": desktop(16, 12, 35, "GeForce RTX 2060", 6, 192, 7001),
    "GTX 1080 8 GB, 32 GB of DDR4-2133": desktop(32, 27, 30, "GeForce GTX 1080", 8, 256, 5005),
    "Laptop with an RTX 4060, 16 GB": Recorded(pc(16, 14), (RTX_4060_LAPTOP,), 50),
    "Laptop with an RTX 4060": Recorded(LAPTOP, (RTX_4060_LAPTOP,)),
    "RTX 3090": Recorded(pc(64, 50), (RTX_3090,)),
    "RX 7900 XTX": Recorded(pc(64, 50) | XTX),
    "Arc B580": Recorded(pc(32, 26) | B580),
    "Arc A770": Recorded(pc(32, 26) | card(0, "8086:56a0", "i915")),
}
"""One card, and nothing odd about it."""

INTEGRATED: Final = {
    "Strix Halo, 96 GiB carved out": Recorded(strix_halo(96, 15, 32482000, 26775000), (), 90),
    "Strix Halo, all memory mapped": Recorded(strix_halo(1, 120, 131000000, 122000000), (), 90),
    "Laptop with an RTX 4060 and the processor's graphics": Recorded(
        LAPTOP | card(1, "8086:a7a0", "i915", slot=INTEL_GRAPHICS), (RTX_4060_LAPTOP,)
    ),
    "RX 7900 XTX and the processor's graphics": Recorded(
        pc(64, 50) | XTX | amd(1, "164e", "0000:12:00.0", (512, 30, 31 * 1024, 20))
    ),
    "Laptop with a GTX 1650 and the processor's graphics": Recorded(
        RENOIR | amd(0, "1636", "0000:05:00.0", (512, 300, 7 * 1024, 100)), (GTX_1650_LAPTOP,), 35
    ),
    "Laptop with Intel UHD graphics": Recorded(
        UHD_LAPTOP | card(0, "8086:46a3", "i915", slot=INTEL_GRAPHICS), (), 40
    ),
    "The same laptop without graphics": Recorded(UHD_LAPTOP, (), 40),
    "Radeon 680M": Recorded(
        REMBRANDT | amd(0, "1681", "0000:e5:00.0", (512, 200, 15 * 1024, 100)), (), 45
    ),
    "Lunar Lake": Recorded(
        LUNAR_LAKE | card(0, "8086:64a0", "xe", slot=INTEL_GRAPHICS), (), 90
    ),
}  # fmt: skip

SEVERAL: Final = {
    "RTX 3090 and a GTX 1050 Ti that drives the monitor": Recorded(
        pc(64, 50), (RTX_3090, GTX_1050_TI)
    ),
    "RTX 3090 and RTX 3060": Recorded(pc(64, 50), (RTX_3090, RTX_3060)),
    "Two RTX 3090": Recorded(pc(64, 50), (RTX_3090, RTX_3090)),
    "Two RTX 3090, the first full": Recorded(pc(64, 50), (RTX_3090_BUSY, RTX_3090)),
    "RTX 3090 that CUDA_VISIBLE_DEVICES hides, and RTX 3060": Recorded(
        pc(64, 50), (RTX_3090, RTX_3060), environment={"CUDA_VISIBLE_DEVICES": "1"}
    ),
}

FAILING: Final = {
    "GPU whose driver was updated under it": Recorded(
        pc(64, 50), failure="Driver/library version mismatch"
    ),
    "RX 7900 XTX without the right to /dev/kfd": Recorded(
        pc(64, 50) | XTX | XTX_COMPUTE, barred=("dev/kfd",)
    ),
    "RX 7900 XTX without the right to its render node": Recorded(
        pc(64, 50) | XTX | XTX_COMPUTE, barred=("dev/dri",)
    ),
}

PROCESSORS: Final = {
    "Processor alone, 8 GB": Recorded(pc(8, 6), (), 30),
    "Processor alone, 16 GB": Recorded(pc(16, 13), (), 35),
    "Processor alone, 32 GB": Recorded(pc(32, 28), (), 45),
    "Processor alone, 64 GB": Recorded(pc(64, 58), (), 60),
    "Raspberry Pi 5, 16 GB": Recorded(pi(), (), 10),
    "Raspberry Pi 5, 16 GB, with its model in the device tree": Recorded(
        pi() | {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.1\0"}, (), 10
    ),
    "Two sockets with a quota of 16 processors": Recorded(
        meminfo(512, 400)
        | x86("Intel Xeon 6248", 40, 1)
        | {"sys/devices/system/node/node1/cpulist": "20-39\n"}
        | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "1600000 100000\n"},
        (),
        100,
    ),
}
