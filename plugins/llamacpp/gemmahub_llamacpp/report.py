"""What llama.cpp writes into its log about memory while it loads a model, dry or for real.

Its public interface has no function for these sizes. A line that is not found is an error that
names it, never a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import DeviceUse
from gemmahub.errors import LoadFailed
from gemmahub.formats.ggml_types import GGML_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CPU: Final = "CPU"
MIB: Final = 2**20

# The log has MiB with two decimals, computed in single precision.
_PRINTED_WITHIN: Final = MIB // 200 + 4096
_BLOCK_BYTES: Final = {kind.name.lower(): kind.block_bytes for kind in GGML_TYPES.values()}
_BLOCK_SIZES: Final = {kind.name.lower(): kind.block_size for kind in GGML_TYPES.values()}
_FLOAT_BYTES: Final = 4
_SMALLEST_ROW: Final = 32  # numbers: the least common multiple of the block sizes of caches

_LAYER: Final = re.compile(r"load_tensors: layer +(\d+) assigned to device (\S+?),? ")
_BOTH_WAYS: Final = re.compile(r"causal attn += 0")  # an encoder, which keeps no cache
_FLASH: Final = re.compile(r"llama_context: flash_attn += (\w+)")
_CACHE: Final = re.compile(r"llama_kv_cache\w*: creating +(non-SWA|SWA) KV cache")
_CACHE_LAYER: Final = re.compile(r"llama_kv_cache: layer +\d+: dev = (\S+)")
_CACHE_SIZE: Final = re.compile(
    r"llama_kv_cache: size = .*\( *(\d+) cells, +(\d+) layers, +\d+/ *(\d+) seqs\), "
    r"K \((\w+)\): +([\d.]+) MiB, V \((\w+)\): +([\d.]+) MiB"
)
_BUFFER: Final = re.compile(r"(\S+) +(output|compute|model) buffer size = +([\d.]+) MiB")
_MAPPED: Final = "_Mapped"  # a part of the file, not a copy of it
_PINNED: Final = "_Host"  # memory of the host that a driver has pinned
_RESERVE: Final = re.compile(r"sched_reserve: reserving")


@dataclass(frozen=True, slots=True)
class ReportedCache:
    """One cache: the positions it holds, its bytes, and on which device how many layers are."""

    cells: int
    bytes: int
    layers: Mapping[str, int]


@dataclass(slots=True)
class Report:
    """What a load wrote. ``layers`` are the devices by layer, the last one that of the output.

    ``compute``, ``output``, ``weights`` and ``repack`` are bytes by device, rounded to 0.01 MiB. A
    load that allocates nothing has no ``weights``; ``repack`` are weights that the CPU holds in
    another order.
    """

    flash_attention: bool
    caches: dict[str, ReportedCache] = field(default_factory=dict)
    layers: dict[int, str] = field(default_factory=dict)
    compute: Counter[str] = field(default_factory=Counter)
    output: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    repack: Counter[str] = field(default_factory=Counter)

    def buffers(self, part: str, buffer: str) -> Counter[str]:
        """Where a buffer of that name belongs: ``CPU_Mapped``, ``CPU_REPACK``, ``CUDA0``."""
        if part != "model":
            return self.output if part == "output" else self.compute
        own = buffer.removesuffix(_MAPPED)
        return self.weights if device_of(own) == own or own.endswith(_PINNED) else self.repack


def read_report(lines: Iterable[str]) -> Report:
    """The figures in llama.cpp's log of one load, with the messages of all levels.

    Raises: LoadFailed, naming what is not there.
    """
    report = Report(flash_attention=False)
    flash, kind, devices, caches = "", "global", Counter[str](), True
    for line in lines:
        if found := _LAYER.search(line):
            report.layers[int(found[1])] = device_of(found[2])
        elif _BOTH_WAYS.search(line):
            caches = False
        elif found := _FLASH.search(line):
            flash = found[1]
        elif found := _CACHE.search(line):
            kind, devices = ("window" if found[1] == "SWA" else "global"), Counter()
        elif found := _CACHE_LAYER.search(line):
            devices[device_of(found[1])] += 1
        elif found := _CACHE_SIZE.search(line):
            report.caches[kind] = _cache(found, devices)
        elif _RESERVE.search(line):
            report.compute.clear()  # it may try more than one arrangement: the last one counts
        elif found := _BUFFER.search(line):
            part = report.buffers(found[2], found[1])
            part[device_of(found[1])] += round(float(found[3]) * MIB)
    report.flash_attention = flash == "enabled"
    _check(report, flash, caches)
    return report


def snap(printed: int, unit: int) -> int:
    """The multiple of ``unit`` that was printed as ``printed`` bytes, else ``printed`` itself."""
    near = round(printed / unit) * unit if unit else printed
    return near if abs(near - printed) <= _PRINTED_WITHIN else printed


def device_of(name: str) -> str:
    """The device of a buffer: memory of the host, pinned or laid out anew, is the CPU's."""
    name = name.removesuffix(_MAPPED)
    return CPU if name.startswith(CPU) or name.endswith(_PINNED) else name


def device_uses(
    report: Report, weights: Mapping[str, int], output: Mapping[str, int]
) -> tuple[DeviceUse, ...]:
    """What each device holds; weights and outputs in bytes by device, the rest as reported."""
    cache = _cache_by_device(report.caches.values())
    names = dict.fromkeys((*weights, *cache, *report.compute, *output, *report.repack))
    return tuple(
        DeviceUse(
            name,
            weights.get(name, 0),
            cache.get(name, 0),
            report.compute[name],
            output.get(name, 0),
            report.repack[name],
        )
        for name in names
    )


def output_bytes(report: Report, words: int) -> dict[str, int]:
    """Output buffers by device: rows of ``words`` logits of 4 bytes."""
    return {device: snap(size, words * _FLOAT_BYTES) for device, size in report.output.items()}


def _cache_by_device(caches: Iterable[ReportedCache]) -> dict[str, int]:
    """The layers of one cache are alike: each has the same part of it."""
    found: Counter[str] = Counter()
    for cache in caches:
        total = sum(cache.layers.values())
        for device, layers in cache.layers.items():
            found[device] += cache.bytes * layers // total
    return dict(found)


def missing(what: str) -> LoadFailed:
    """The error for a line that llama.cpp did not write."""
    return LoadFailed(
        f"llama.cpp did not report {what}",
        "the installed version logs it differently: use the version made for this plugin",
    )


def _cache(found: re.Match[str], devices: Counter[str]) -> ReportedCache:
    cells, layers, streams = int(found[1]), int(found[2]), int(found[3])
    if devices.total() != layers:
        raise missing(f"the device of each of the {layers} layers of its KV cache")
    # The layers of one cache are alike, so the bytes are a multiple of this many rows.
    rows = cells * layers * streams
    size = 0
    for name, mib in ((found[4], found[5]), (found[6], found[7])):
        block, block_bytes = _BLOCK_SIZES.get(name), _BLOCK_BYTES.get(name)
        row = _SMALLEST_ROW // block * block_bytes if block and block_bytes else 0
        size += snap(round(float(mib) * MIB), rows * row)
    return ReportedCache(cells, size, dict(devices))


def _check(report: Report, flash: str, caches: bool) -> None:
    parts = {
        "whether flash attention is on": flash in ("enabled", "disabled"),
        "the size of its KV cache": report.caches or not caches,
        "the device of each layer": report.layers,
        "the size of its compute buffers": report.compute,
        "the size of its output buffer": report.output,
    }
    for what, there in parts.items():
        if not there:
            raise missing(what)
