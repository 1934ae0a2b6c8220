"""NVIDIA GPUs through NVML (the driver's own library, bound by ``nvidia-ml-py``).

Source of the calls: NVIDIA Management Library API reference. Each call is guarded: a driver that
does not support one gives an unknown figure, and a driver that fails gives a line as well.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.drm import shows_devices
from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.host import Host, describe
from gemmahub.hardware.nvidia_slices import mig_part, vgpu_bandwidth
from gemmahub.hardware.records import Device, Figure, Kind
from gemmahub.hardware.unified import jetson_bandwidth
from gemmahub.python_environment import install_command
from gemmahub.text import format_gib, one_line

if TYPE_CHECKING:
    from gemmahub.hardware.device_probe import Seen

_VENDOR: Final = "0x10de"
_PCI: Final = "sys/bus/pci/devices"
_DISPLAY_CLASS: Final = "0x03"
_MEMORY_CALL: Final = "NVML nvmlDeviceGetMemoryInfo"
# GPUs without memory of their own, whatever NVML says of it. An unknown GPU on an ARM processor of
# which NVML does not support the question is taken for one, too; of any other nothing is promised.
_UNIFIED: Final = re.compile(r"\b(GB10|N1X|Thor|Orin|Xavier|Tegra)\b")
_ARM: Final = "asimd"
_JETSON: Final = re.compile(r"\b(Thor|Orin)\b")
_ORDER_NOTE: Final = (
    "numbered by PCI bus; CUDA puts the fastest first unless CUDA_DEVICE_ORDER=PCI_BUS_ID"
)
_NVML_HINT: Final = (
    "`nvidia-smi` should show the same: after an update of the driver restart the machine; a "
    "container has to be started with its GPUs (docker run --gpus all)"
)
_MISMATCH_HINT: Final = (
    "the driver was updated while the old one is loaded: restart the machine, or in a container "
    "the container, so that both are of one version"
)
_WSL_LIBRARY: Final = "usr/lib/wsl/lib/libnvidia-ml.so.1"
_WSL_HINT: Final = (
    "install NVIDIA's current driver on Windows (none inside WSL), then `wsl --update` and "
    "`wsl --shutdown`"
)
_UVM: Final = "dev/nvidia-uvm"
_UVM_HINT: Final = "`sudo modprobe nvidia_uvm`, or start the container with --gpus all"


def nvidia_driver_present(host: Host) -> bool:
    """Whether it is worth loading NVML: importing its bindings takes longer than all the rest."""
    if host.system == "win32":
        folder = host.environment.get("SYSTEMROOT", "").partition(":")[2].strip("\\/")
        return bool(folder) and host.files.exists(f"{folder}/System32/nvml.dll")
    marks = ("dev/nvidiactl", "dev/nvidia0", "proc/driver/nvidia/version", "dev/dxg")
    return any(host.files.exists(mark) for mark in marks)


def gpus_without_driver(files: SystemFiles) -> int:
    """NVIDIA display controllers on the PCI bus that another driver or none has taken."""
    count = 0
    for name in files.names(_PCI, r"[0-9a-f:.]+"):
        try:
            vendor = files.text(f"{_PCI}/{name}/vendor")
            display = vendor == _VENDOR and (files.text(f"{_PCI}/{name}/class") or "").startswith(
                _DISPLAY_CLASS
            )
            bound = display and "DRIVER=nvidia" in (files.text(f"{_PCI}/{name}/uevent") or "")
        except Unreadable:
            continue
        count += bool(display and not bound)
    return count


def probe_nvidia(seen: Seen) -> tuple[Device, ...]:
    """All NVIDIA GPUs; a GPU in MIG mode is listed by its slices."""
    host = seen.host
    if not nvidia_driver_present(host):
        count = gpus_without_driver(host.files) if host.system == "linux" else 0
        if count:
            reason = f"{count} NVIDIA GPU(s) on the PCI bus, but NVIDIA's driver is not loaded"
            seen.problem(reason, "install it; `nvidia-smi` then lists the GPU")
        return ()
    try:
        nvml = host.nvml()
    except ImportError:
        reason = "an NVIDIA driver is here, but the Python package nvidia-ml-py is not installed"
        seen.problem(reason, install_command("nvidia-ml-py"))
        return ()
    try:
        nvml.nvmlInit()
    except Exception as error:  # noqa: BLE001 - NVML's own exceptions are not importable here
        _not_started(seen, error)
        return ()
    try:
        found = _Reader(nvml, seen).devices()
    finally:
        with suppress(Exception):  # nothing depends on it
            nvml.nvmlShutdown()
    marks = ("dev/dxg", _UVM)
    if found and shows_devices(host.files) and not any(map(host.files.exists, marks)):
        seen.problem(f"CUDA needs /{_UVM}, which is not here", _UVM_HINT)
    return found


def _not_started(seen: Seen, error: Exception) -> None:
    """A line on NVML that does not start. WSL has its device without any NVIDIA GPU, too."""
    files, reason = seen.host.files, describe(error)
    if files.exists("dev/dxg"):
        if files.exists(_WSL_LIBRARY):
            seen.problem(f"NVML does not start in WSL: {reason}", _WSL_HINT)
        return
    hint = _MISMATCH_HINT if "mismatch" in reason.casefold() else _NVML_HINT
    seen.problem(f"NVML does not start: {reason}", hint)


@dataclass(frozen=True, slots=True)
class _Reader:
    nvml: Any
    seen: Seen
    failed: set[str] = field(default_factory=set)

    def ask(self, name: str, *arguments: Any) -> Any:
        """One NVML call: its answer, or None. "Not supported" is no problem, the rest is."""
        function = getattr(self.nvml, name, None)
        if function is None:
            return None
        try:
            answer = function(*arguments)
        except Exception as error:  # noqa: BLE001 - NVML's own exceptions are not importable here
            silent = ("NotSupported", "FunctionNotFound", "NotFound", "InvalidArgument")
            if not type(error).__name__.endswith(silent):
                self.failed.add(name)
                self.seen.problem(f"{name}: {describe(error)}")
            return None
        return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer

    def devices(self) -> tuple[Device, ...]:
        """All GPUs in NVML's order, MIG slices in the place of their GPU."""
        driver = self.ask("nvmlSystemGetDriverVersion")
        found: list[Device] = []
        for index in range(self.ask("nvmlDeviceGetCount") or 0):
            handle = self.ask("nvmlDeviceGetHandleByIndex", index)
            if handle is None:
                self.seen.problem(f"GPU {index} cannot be opened")
                continue
            device = self.device(handle, f"cuda:{index}", driver)
            slices = self.slices(handle, device)
            found += [device] if slices is None else slices
        if len({device.name for device in found if "/" not in device.id}) > 1:
            found = [replace(device, notes=(*device.notes, _ORDER_NOTE)) for device in found]
        return tuple(found)

    def device(self, handle: Any, id_: str, driver: str | None) -> Device:
        """One GPU as a whole."""
        name = one_line(self.ask("nvmlDeviceGetName", handle) or "NVIDIA GPU", 100)
        total, free, used, notes = self.sizes(handle)
        kind = Kind.DISCRETE
        if self.is_unified(name, total):
            kind, memory = Kind.UNIFIED, self.seen.memory
            doubt = "this GPU shares the system's memory"
            total, free = memory.usable.doubted(doubt), memory.available.doubted(doubt)
            used = Figure.unknown("NVML does not separate it from other memory")
            notes = ("unified memory: the GPU and the rest of the system share it",)
        version = self.ask("nvmlDeviceGetCudaComputeCapability", handle)
        return Device(
            id=id_,
            name=name,
            vendor="NVIDIA",
            kind=kind,
            total=total,
            free=free,
            used_by_others=used,
            bandwidth=self.bandwidth(handle, name, total.value),
            compute_capability=None if version is None else f"{version[0]}.{version[1]}",
            driver=driver,
            uuid=self.ask("nvmlDeviceGetUUID", handle),
            notes=notes,
            pci=self.address(handle),
        )

    def is_unified(self, name: str, total: Figure) -> bool:
        """Whether the GPU has no memory of its own."""
        if _UNIFIED.search(name):
            return True
        refused = total.value is None and "nvmlDeviceGetMemoryInfo" not in self.failed
        return refused and _ARM in self.seen.cpu.instruction_sets

    def address(self, handle: Any) -> str | None:
        """``0000:01:00.0``, as the kernel writes it; NVML has a longer domain."""
        found = getattr(self.ask("nvmlDeviceGetPciInfo", handle), "busId", None)
        text = found.decode("ascii", "replace") if isinstance(found, bytes) else found
        match = re.fullmatch(
            r"0*([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])", (text or "").lower()
        )
        return match[1] if match else None

    def sizes(self, handle: Any) -> tuple[Figure, Figure, Figure, tuple[str, ...]]:
        """Total, free and used bytes, and what the driver reserves.

        The first version of the call counts the driver's reserve as used; the second does not.
        """
        second = getattr(self.nvml, "nvmlMemory_v2", None)
        info, source = None, _MEMORY_CALL
        if second is not None:
            info, source = self.ask("nvmlDeviceGetMemoryInfo", handle, second), f"{source}_v2"
        doubt = "may include this program's own engines"
        if info is None:
            info, source = self.ask("nvmlDeviceGetMemoryInfo", handle), _MEMORY_CALL
            doubt += "; includes what the driver reserves"
        if info is None or not info.total:
            unknown = Figure.unknown("NVML reports no memory sizes", _MEMORY_CALL)
            return unknown, unknown, unknown, ()
        reserved = int(getattr(info, "reserved", 0))
        notes = (f"{format_gib(reserved)} are reserved by the driver",) if reserved else ()
        return (
            Figure(int(info.total), source),
            Figure(int(info.free), source),
            Figure(int(info.used), source, doubt),
            notes,
        )

    def bandwidth(self, handle: Any, name: str, total: int | None) -> Figure:
        """Published bandwidth, checked against clock x width; the latter where none is known."""
        share = vgpu_bandwidth(name, total)
        if share is not None:
            return share
        board = _JETSON.search(name)
        published = (
            jetson_bandwidth(board[1], total) if board else published_bandwidth(name, memory=total)
        )
        width = self.ask("nvmlDeviceGetMemoryBusWidth", handle)
        clock_kind = getattr(self.nvml, "NVML_CLOCK_MEM", None)
        clock = self.ask("nvmlDeviceGetMaxClockInfo", handle, clock_kind)
        if not width or not clock:
            unknown = "not in the table of data sheets, and NVML reports no clock and width"
            return published or Figure.unknown(unknown, unit="B/s")
        # NVML's clock is half of the data rate for GDDR5 to GDDR7 and HBM alike.
        computed = int(clock) * 1_000_000 * 2 * int(width) // 8
        source = f"NVML memory clock {clock} MHz x 2 x {width} bit / 8"
        if published is None or published.value is None:
            return Figure(computed, source, "estimate; not in the table of data sheets", "B/s")
        if abs(computed - published.value) > 0.05 * published.value:
            return published.doubted(f"{source} gives {computed / 1e9:.0f} GB/s")
        return published

    def slices(self, handle: Any, whole: Device) -> list[Device] | None:
        """The MIG slices of a GPU, None when it is not divided."""
        mode = self.ask("nvmlDeviceGetMigMode", handle)
        if mode is None or not mode[0]:
            return None
        found: list[Device] = []
        for index in range(self.ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
            piece = self.ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
            if piece is not None:
                found.append(self.slice_of(whole, piece, index))
        if not found:
            reason = f"{whole.id} ({whole.name}) is in MIG mode and has no slice to run on"
            self.seen.problem(reason)
        return found

    def slice_of(self, whole: Device, piece: Any, index: int) -> Device:
        """A MIG slice: its own memory, a share of the bandwidth."""
        total, free, used, notes = self.sizes(piece)
        name = one_line(self.ask("nvmlDeviceGetName", piece) or f"{whole.name} MIG", 100)
        share = Figure.unknown("the share of this MIG slice is not known", unit="B/s")
        rate, part = whole.bandwidth, mig_part(name, total.value, whole.total.value)
        if rate.value is not None and part is not None:
            doubt = "estimate: this slice's share of the GPU's memory"
            share = Figure(round(rate.value * part), rate.source, doubt, "B/s")
        return replace(
            whole,
            id=f"{whole.id}/mig:{index}",
            name=name,
            kind=Kind.DISCRETE,
            total=total,
            free=free,
            used_by_others=used,
            bandwidth=share,
            uuid=self.ask("nvmlDeviceGetUUID", piece),
            notes=(f"a MIG slice of {whole.id} ({whole.name})", *notes),
        )
