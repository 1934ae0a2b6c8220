"""Memory bandwidth of the CPU: measured once by copying, and remembered in a file.

A copy reads and writes every byte, so each counts twice. Caches that fetch a line before writing
it move a third as much again that is not counted: the result is a lower bound. Where other
programs take the processors, what counts is the processors' time and not the clock's.
"""

from __future__ import annotations

import ctypes
import json
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from mmap import mmap
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Final

from gemmahub.hardware.records import Cpu, Figure
from gemmahub.records.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE_NAME: Final = "cpu-bandwidth.json"
_MIB: Final = 1 << 20
_SECONDS: Final = 0.12
_MOST_THREADS: Final = 64
"""As many cores as fill the twelve channels of a server's two sockets."""
_MOST_BYTES: Final = 1024 * _MIB
_THREAD_BYTES: Final = 16 * _MIB
"""For each thread: four times the last cache's share of a core in servers."""
_MOST_ROUNDS: Final = 12
_UNDISTURBED: Final = 0.75
"""The share of its threads' time that a copy has a processor where nothing else wants one."""

_LOWER_BOUND: Final = "lower bound: a copy by {threads}, not a hand-tuned read"
_BY_PROCESSOR_TIME: Final = "from CPU time, because other programs ran"


@dataclass(frozen=True, slots=True)
class CopyRate:
    """Bytes a second; ``disturbed`` when others had the processors for a part of the time."""

    bytes_per_second: int
    disturbed: bool


def copy_rate(threads: int, size: int, seconds: float = _SECONDS) -> CopyRate | None:
    """What ``threads`` move together, in the best of some rounds.

    Each thread copies ``size`` bytes with ``memmove``; ctypes releases the GIL for it. Each also
    writes its own memory first, which so comes to lie at its own socket. None when the clock was
    too coarse to tell.
    """
    spans: list[tuple[float, float]] = []  # seconds of a round, and of processors in it
    finished = False
    began: tuple[float, float] | None = None
    end = perf_counter() + seconds

    def start() -> None:
        # Runs once a round, while all threads wait: so no round is torn.
        nonlocal finished, began
        now = perf_counter()
        if began is not None:
            spans.append((now - began[0], process_time() - began[1]))
        finished = (bool(spans) and now >= end) or len(spans) > _MOST_ROUNDS
        began = perf_counter(), process_time()

    barrier = threading.Barrier(threads, action=start)

    def work() -> None:
        with mmap(-1, 2 * size) as area:
            first = ctypes.c_char.from_buffer(area)
            source = ctypes.addressof(first)
            ctypes.memset(source, 1, 2 * size)
            barrier.wait()
            while not finished:
                ctypes.memmove(source + size, source, size)
                barrier.wait()
            del first  # the area cannot be closed while something looks into it

    workers = [threading.Thread(target=work, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return _rate(2 * size, threads, spans)


def _rate(moved: int, threads: int, spans: Sequence[tuple[float, float]]) -> CopyRate | None:
    """``moved`` bytes of each thread in each round; all rounds tell how much others disturbed."""
    best = min((wall for wall, _ in spans), default=0.0)
    if best <= 0:
        return None
    wall, computed = (sum(column) for column in zip(*spans, strict=True))
    if not 0 < computed < _UNDISTURBED * wall * threads:
        return CopyRate(round(moved * threads / best), disturbed=False)
    each = computed / threads / len(spans)
    return CopyRate(round(moved * threads / each), disturbed=True)


def measure_bandwidth(cpu: Cpu, available: int | None = None) -> Figure:
    """Measure now, in about 0.3 s. ``available`` (bytes) bounds the memory that is used.

    One thread and as many as there are cores are tried, and the better counts: few CPUs share a
    bus that one thread can fill. The buffers together are four times the last cache, 64 MiB to
    1 GiB.
    """
    usable = cpu.usable.value or 1
    cores = cpu.performance_cores or cpu.physical_cores.value or usable
    threads = max(1, min(usable, cores, _MOST_THREADS))
    caches = 4 * (cpu.last_level_cache.value or 0)
    whole = min(_MOST_BYTES, max(64 * _MIB, caches, threads * _THREAD_BYTES))
    if available is not None:
        whole = min(whole, available // 8)
    if whole < 2 * threads * _MIB:
        return Figure.unknown("not enough free memory to measure", unit="B/s")
    rates = {count: copy_rate(count, whole // (2 * count)) for count in (1, threads)}
    found = [(count, rate) for count, rate in rates.items() if rate is not None]
    if not found:
        return Figure.unknown("the copy was too short to be measured", unit="B/s")
    threads, best = max(found, key=lambda pair: pair[1].bytes_per_second)
    words = "1 thread" if threads == 1 else f"{threads} threads"
    source = f"copy test, {datetime.now(UTC):%Y-%m-%d}"
    figure = Figure(best.bytes_per_second, source, _LOWER_BOUND.format(threads=words), "B/s")
    return figure.doubted(_BY_PROCESSOR_TIME) if best.disturbed else figure


def cpu_key(cpu: Cpu) -> str:
    """What a measurement holds for: the model and the number of CPUs that may be used."""
    return f"{cpu.model or 'unknown'} / {cpu.usable.value or 0} CPUs"


def remembered_bandwidth(folder: Path, cpu: Cpu) -> Figure | None:
    """The figure measured on this CPU before; a damaged file counts as none."""
    entry = _read(folder).get(cpu_key(cpu))
    if not isinstance(entry, dict):
        return None
    rate, source, doubt = (entry.get(key) for key in ("bytes_per_second", "source", "doubt"))
    sane = isinstance(rate, int) and not isinstance(rate, bool) and 0 < rate < 1 << 50
    if not sane or not isinstance(source, str) or not isinstance(doubt, str):
        return None
    return Figure(rate, source, doubt, "B/s")


def remember_bandwidth(folder: Path, cpu: Cpu, figure: Figure) -> None:
    """Keep a measured figure; other CPUs' figures stay (a home folder may serve many machines).

    Raises: OSError when the folder cannot be written.
    """
    entries = _read(folder)
    entries[cpu_key(cpu)] = {
        "bytes_per_second": figure.value, "source": figure.source, "doubt": figure.doubt,
    }  # fmt: skip
    write_whole(folder / FILE_NAME, json.dumps(entries, indent=1))


def _read(folder: Path) -> dict[str, Any]:
    try:
        entries = json.loads((folder / FILE_NAME).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return entries if isinstance(entries, dict) else {}


def with_bandwidth(
    cpu: Cpu, folder: Path | None, measure: bool, available: int | None = None
) -> Cpu:
    """The processor with its bandwidth: published, else remembered, else measured if asked."""
    if cpu.bandwidth.value is not None:
        return cpu
    remembered = None if folder is None else remembered_bandwidth(folder, cpu)
    if remembered is not None:
        return replace(cpu, bandwidth=remembered)
    if not measure:
        return cpu
    figure = measure_bandwidth(cpu, available)
    if folder is not None and figure.value is not None:
        try:
            remember_bandwidth(folder, cpu, figure)
        except OSError as error:
            figure = figure.doubted(f"could not be saved: {error.strerror or error}")
    return replace(cpu, bandwidth=figure)
