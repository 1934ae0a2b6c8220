"""What the probes hand out: frozen records in which every figure names its source and its doubt.

Unknown is None and never 0; the doubt of an unknown figure says why it is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final

REMOTE: Final = "rpc"
"""The interface of devices of workers on other machines, as llama.cpp calls it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, where it comes from, and what may be wrong with it.

    ``unit`` is ``B`` (bytes), ``B/s`` (bytes a second) or a counted noun (``cores``). ``doubt`` is
    empty where there is none; with ``value`` None it says why the number is not known.
    """

    value: int | None
    source: str
    doubt: str = ""
    unit: str = "B"

    @classmethod
    def unknown(cls, reason: str, source: str = "", unit: str = "B") -> Figure:
        """A figure that nobody could give, with the reason."""
        return cls(None, source, reason, unit)

    def doubted(self, doubt: str) -> Figure:
        """The same figure with one more doubt."""
        doubts = "; ".join(filter(None, (self.doubt, doubt)))
        return Figure(self.value, self.source, doubts, self.unit)

    def at_most(self, total: Figure) -> Figure:
        """The same figure, or the total where that is less: sources may contradict each other."""
        if self.value is None or total.value is None or self.value <= total.value:
            return self
        return Figure(total.value, self.source, self.doubt, self.unit).doubted(
            "it is more than the total, which counts"
        )


def kept_by_system(total: int) -> int:
    """Bytes that a system and a desktop keep of ``total`` bytes of system memory: an eighth, 2 GiB
    at most. A judgement."""
    return min(total // 8, 2 << 30)


def assumed_free(total: Figure, why: str) -> Figure:
    """What is probably free where the driver does not tell it, for the reason ``why``: all but a
    tenth, and all but 512 MiB at least, which a desktop may have. The margin is a judgement.
    """
    if total.value is None:
        return Figure.unknown(why, total.source)
    margin = max(total.value // 10, 512 << 20)
    doubt = f"{why}: assumed is the total less {margin / 2**30:.2f} GiB"
    return Figure(max(0, total.value - margin), total.source, doubt)


class Kind(StrEnum):
    """Whose memory a device uses."""

    DISCRETE = "discrete"  # its own
    INTEGRATED = "integrated"  # a part of the system's, carved out or mapped
    UNIFIED = "unified"  # one memory for CPU and GPU


@dataclass(frozen=True, slots=True)
class Device:
    """An accelerator. ``id`` is ``cuda:0``, ``cuda:0/mig:1``, ``amd:0``, ``intel:0``, ``metal:0``,
    or what a plugin calls it: ``npu:0``.

    ``total`` is what the device offers to programs, ``free`` what can be allocated now; for an
    integrated AMD GPU both mean the carved-out VRAM, and ``shared_total`` and ``shared_free`` the
    system memory that it can map besides (GTT). ``used_by_others`` is what is taken now.
    ``compute_capability`` is ``8.9`` (NVIDIA) or ``gfx1100`` (AMD), ``pci`` the address
    ``0000:01:00.0``. ``unusable`` says why no engine can use it now, empty where one can; ``api``
    how the engine here drives it (``cuda``, ``vulkan``), empty where none said.
    """

    id: str
    name: str
    vendor: str
    kind: Kind
    total: Figure
    free: Figure
    used_by_others: Figure = Figure(None, "", "the probe does not report it")
    bandwidth: Figure = Figure(None, "", "the probe does not report it", "B/s")
    shared_total: Figure | None = None
    shared_free: Figure | None = None
    compute_capability: str | None = None
    driver: str | None = None
    uuid: str | None = None
    notes: tuple[str, ...] = ()
    pci: str | None = None
    unusable: str = ""
    api: str = ""

    @property
    def takes_system_memory(self) -> bool:
        """Whether a byte on this device is a byte less for the CPU."""
        return self.kind is not Kind.DISCRETE

    @property
    def capacity(self) -> Figure:
        """The most that can be placed on this device: its own and, where integrated, mapped."""
        return _sum(self.total, self.shared_total) if self.takes_system_memory else self.total

    @property
    def available(self) -> Figure:
        """What can be placed on this device now: its own and, where integrated, mapped."""
        return _sum(self.free, self.shared_free) if self.takes_system_memory else self.free

    @property
    def if_closed(self) -> int | None:
        """Bytes that would be available without what other programs hold, as the driver says."""
        free, others = self.available.value, self.used_by_others.value
        return None if free is None or others is None else free + others


def _sum(own: Figure, shared: Figure | None) -> Figure:
    if shared is None:
        return own
    if own.value is None or shared.value is None:
        known = shared if own.value is None else own
        return known.doubted("only a part of this device's memory is known")
    source = f"{own.source} + {shared.source}"
    doubts = "; ".join(dict.fromkeys(filter(None, (own.doubt, shared.doubt))))
    return Figure(own.value + shared.value, source, doubts)


@dataclass(frozen=True, slots=True)
class SystemMemory:
    """The system's memory as this process may use it.

    ``total`` is the machine's; ``limit`` is what a container or service manager allows this
    process (None: no limit was found). ``available`` already takes the limit into account.
    """

    total: Figure
    available: Figure
    swap_total: Figure
    swap_free: Figure
    limit: Figure | None = None

    @property
    def usable(self) -> Figure:
        """The most that this process may ever use: the limit where there is one."""
        return self.limit if self.limit is not None else self.total

    @property
    def if_closed(self) -> int | None:
        """Bytes that would about be available with all programs closed; None where it is not
        known, or a limit says more."""
        total = None if self.limit is not None else self.total.value
        return None if total is None else total - kept_by_system(total)


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processor. ``usable`` counts the logical CPUs that this process may run on.

    ``instruction_sets`` lists those that matter to inference, by the kernel's names;
    ``last_level_cache`` in bytes. ``bandwidth`` is memory bandwidth as measured or published.
    """

    model: str | None
    physical_cores: Figure
    logical: Figure
    usable: Figure
    numa_nodes: Figure
    last_level_cache: Figure
    bandwidth: Figure
    performance_cores: int | None = None
    instruction_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that holds ``path``."""

    path: PurePath
    total: Figure
    free: Figure


@dataclass(frozen=True, slots=True)
class Problem:
    """A probe that failed, or found something that is not as it should be.

    ``hint`` says what to do about it, where that is known.
    """

    probe: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class EngineHere:
    """The engine that runs models on a machine, as far as their memory depends on it.

    ``commit`` is that of its llama.cpp, or its beginning; empty where it is not known. It keeps
    ``checkpoints`` copies of the window of each conversation, and ``prompt_cache_bytes`` of others.
    ``knows_addresses``: it can be told a device by its PCI address, and not by its number only.
    """

    name: str
    commit: str = ""
    checkpoints: int = 0
    prompt_cache_bytes: int = 0
    knows_addresses: bool = True


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine is. ``simulated`` is True for a machine that is not here. ``engine`` is
    known where a plan is made."""

    name: str | None
    system: str
    cpu: Cpu
    memory: SystemMemory
    devices: tuple[Device, ...] = ()
    disks: tuple[Disk, ...] = ()
    problems: tuple[Problem, ...] = ()
    simulated: bool = False
    engine: EngineHere | None = None

    def as_json(self) -> dict[str, Any]:
        """The record as plain values; each figure as value, unit, source and doubt."""
        plain: dict[str, Any] = _plain(self)
        del plain["engine"]
        return plain


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum | PurePath):
        return str(value)
    return value
