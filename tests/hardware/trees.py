"""Machines written down as trees of small files, and NVML answers as a module of our own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from gemmahub.hardware.files import SystemFiles
from gemmahub.hardware.host import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

GIB = 1 << 30


class NVMLError(Exception):
    """As in pynvml: the kinds of error are told apart by their class."""


class NVMLError_NotSupported(NVMLError):  # noqa: N801 - pynvml's name
    """The device does not support the call."""


class NVMLError_NotFound(NVMLError):  # noqa: N801 - pynvml's name
    """Nothing at that index."""


class NVMLError_GpuIsLost(NVMLError):  # noqa: N801 - pynvml's name
    """The GPU has fallen off the bus."""


class FakeNvml:
    """Answers like pynvml, from GPUs given as plain mappings; None means "not supported"."""

    nvmlMemory_v2 = 2  # noqa: N815 - pynvml's name
    NVML_CLOCK_MEM = 2

    def __init__(
        self, *gpus: Mapping[str, Any], driver: str = "570.86.15", failure: str = ""
    ) -> None:
        """With a ``failure`` it does not start."""
        self.gpus = gpus
        self.driver = driver
        self.failure = failure
        self.shut_down = 0

    def nvmlInit(self) -> None:  # noqa: N802
        """Start."""
        if self.failure:
            raise NVMLError(self.failure)

    def nvmlShutdown(self) -> None:  # noqa: N802
        """End."""
        self.shut_down += 1

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return self.driver

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any:  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetMemoryInfo(self, gpu: Any, version: int | None = None) -> Any:  # noqa: N802
        total, reserved, used = self._value(gpu, "memory")
        if version is None:
            return SimpleNamespace(total=total, free=total - reserved - used, used=reserved + used)
        free = total - reserved - used
        return SimpleNamespace(total=total, reserved=reserved, free=free, used=used)

    def nvmlDeviceGetMaxClockInfo(self, gpu: Any, kind: int) -> Any:  # noqa: N802
        assert kind == self.NVML_CLOCK_MEM
        return self._value(gpu, "clock")

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: Any) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: Any, index: int) -> Any:  # noqa: N802
        slices: Sequence[Any] = gpu.get("slices", ())
        if index >= len(slices):
            raise NVMLError_NotFound("Not Found")
        return slices[index]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        keys = {
            "nvmlDeviceGetName": "name",
            "nvmlDeviceGetUUID": "uuid",
            "nvmlDeviceGetCudaComputeCapability": "capability",
            "nvmlDeviceGetMemoryBusWidth": "width",
            "nvmlDeviceGetMigMode": "mig",
        }
        if name not in keys:
            raise AttributeError(name)
        return lambda gpu: self._value(gpu, keys[name])

    @staticmethod
    def _value(gpu: Any, key: str) -> Any:
        value = gpu.get(key)
        if isinstance(value, Exception):
            raise value
        if value is None:
            raise NVMLError_NotSupported("Not Supported")
        return value


class FakePsutil:
    """Answers like psutil, from counts given as (total, available or free); None: it fails."""

    def __init__(
        self,
        memory: tuple[int, int] | None = None,
        swap: tuple[int, int] | None = None,
        cores: int | None = None,
        cpus: int | None = None,
        affinity: Sequence[int] | None = None,
    ) -> None:
        self.memory, self.swap = memory, swap
        self.cores, self.cpus, self.affinity = cores, cpus, affinity

    def virtual_memory(self) -> Any:
        total, available = self._known(self.memory)
        return SimpleNamespace(total=total, available=available)

    def swap_memory(self) -> Any:
        total, free = self._known(self.swap)
        return SimpleNamespace(total=total, free=free)

    def cpu_count(self, logical: bool = True) -> int | None:
        return self.cpus if logical else self.cores

    def Process(self) -> Any:  # noqa: N802 - psutil's name
        return SimpleNamespace(cpu_affinity=lambda: self._known(self.affinity))

    @staticmethod
    def _known(value: Any) -> Any:
        if value is None:
            raise RuntimeError("the counters are switched off")
        return value


@dataclass(frozen=True, slots=True)
class NoRights(SystemFiles):
    """A tree of which this process may not open some files, given by how they begin."""

    barred: tuple[str, ...] = ("dev/kfd", "dev/dri")

    def may_use(self, name: str) -> bool:
        return not name.startswith(self.barred)


class Machines:
    """Writes a tree and gives the host that shows it."""

    GpuIsLost = NVMLError_GpuIsLost
    Nvml = FakeNvml
    Psutil = FakePsutil

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, files: Mapping[str, str]) -> SystemFiles:
        """A tree of small files."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return SystemFiles(self.root)

    def linux(
        self,
        files: Mapping[str, str] | None = None,
        *,
        nvml: Any = None,
        environment: Mapping[str, str] | None = None,
        deadline: float = 30.0,
    ) -> Host:
        """A Linux machine; with ``nvml``, its driver is there as well."""
        if nvml is not None:
            self.write({"dev/nvidiactl": ""})

        def load() -> Any:
            assert nvml is not None, "NVML was loaded on a machine without a driver"
            return nvml

        tree = self.write(files or {})
        return Host(tree, "linux", self._no_command, load, environment or {}, deadline)

    def mac(self, sysctl: Mapping[str, str], psutil: Any = None) -> Host:
        """A Mac that answers sysctl, and psutil's questions with a :class:`FakePsutil`."""

        def command(arguments: Sequence[str]) -> str:
            known = (name for name in arguments[1:] if name in sysctl)
            return "".join(f"{name}: {sysctl[name]}\n" for name in known)

        return self._counted("darwin", command, psutil or FakePsutil())

    def windows(self, psutil: Any, *adapters: Mapping[str, Any]) -> Host:
        """A Windows machine that psutil describes, with the registry's display adapters."""
        host = self._counted("win32", self._no_command, psutil)
        return replace(host, display_adapters=lambda: adapters)

    def _counted(self, system: str, command: Any, psutil: Any) -> Host:
        tree = self.write({})
        return Host(tree, system, command, environment={}, deadline=30.0, psutil=lambda: psutil)

    @staticmethod
    def _no_command(arguments: Sequence[str]) -> str:
        raise AssertionError(f"no command is run here: {arguments}")


def meminfo(total: int, available: int, swap: int = 0) -> dict[str, str]:
    """``/proc/meminfo`` of so many GiB."""
    rows = {"MemTotal": total, "MemFree": available // 2, "MemAvailable": available}
    rows |= {"SwapTotal": swap, "SwapFree": swap}
    text = "".join(f"{name}:{size * 1024 * 1024:>16} kB\n" for name, size in rows.items())
    return {"proc/meminfo": f"{text}HugePages_Total:       0\n"}


def x86(
    model: str, cores: int, threads: int = 2, flags: str = "avx avx2 fma f16c"
) -> dict[str, str]:
    """A processor: cpuinfo and the topology of ``cores`` with ``threads`` each."""
    count = cores * threads
    block = "processor\t: {}\nmodel name\t: {}\nflags\t\t: fpu {}\n"
    blocks = [block.format(cpu, model, flags) for cpu in range(count)]
    cpus = "sys/devices/system/cpu"
    tree = {"proc/cpuinfo": "\n".join(blocks), f"{cpus}/online": f"0-{count - 1}\n"}
    for cpu in range(count):
        siblings = ",".join(str(cpu % cores + cores * thread) for thread in range(threads))
        tree[f"{cpus}/cpu{cpu}/topology/thread_siblings_list"] = f"{siblings}\n"
    tree[f"{cpus}/cpu0/cache/index3/size"] = "32768K\n"
    tree["sys/devices/system/node/node0/cpulist"] = f"0-{count - 1}\n"
    return tree


def pc(
    total: int = 32,
    available: int = 24,
    model: str = "AMD Ryzen 7 5800X 8-Core Processor",
    cores: int = 8,
) -> dict[str, str]:
    """The tree of an ordinary PC with so many GiB of memory."""
    return {**meminfo(total, available), **x86(model, cores)}


def card(
    number: int, ids: str, driver: str, slot: str = "0000:03:00.0", revision: int = 0,
    **files: int,
) -> dict[str, str]:  # fmt: skip
    """The tree of a graphics card; ``ids`` are those of its maker and its kind, ``files`` of its
    folder."""
    vendor, device = ids.split(":")
    folder = f"sys/class/drm/card{number}"
    tree = {
        f"{folder}/device/vendor": f"0x{vendor}\n",
        f"{folder}/device/device": f"0x{device}\n",
        f"{folder}/device/revision": f"0x{revision:02x}\n",
        f"{folder}/device/uevent": f"DRIVER={driver}\nPCI_SLOT_NAME={slot}\n",
        f"{folder}-HDMI-A-1/status": "connected\n",
    }
    return tree | {f"{folder}/device/{name}": f"{size}\n" for name, size in files.items()}
