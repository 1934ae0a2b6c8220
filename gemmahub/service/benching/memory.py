"""The most memory that a loaded model was seen to take."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from gemmahub.measurements.records import MeasuredMemory

if TYPE_CHECKING:
    from types import TracebackType

    from gemmahub.engines.contract import SessionInfo
    from gemmahub.hardware.records import Machine

_EACH_SECONDS: Final = 0.2


class PeakMemory:
    """Looks at a process again and again while something is measured: its resident memory."""

    def __init__(self, pid: int | None) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.highest: int | None = None

    def __enter__(self) -> PeakMemory:
        self.look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.look()

    def look(self) -> None:
        """What it holds now."""
        import psutil

        if self._pid is None:
            return
        with suppress(psutil.Error, OSError):
            held = psutil.Process(self._pid).memory_info().rss
            self.highest = max(held, self.highest or 0) or None

    def _watch(self) -> None:
        while not self._ended.wait(_EACH_SECONDS):
            self.look()


def free_on_devices(machine: Machine) -> dict[str, int]:
    """Bytes that are free on each accelerator with memory of its own, as its driver says."""
    return {
        device.id: device.free.value
        for device in machine.devices
        if device.free.value is not None and not device.takes_system_memory
    }


def measured_memory(
    info: SessionInfo,
    planned: int | None,
    process: int | None,
    before: dict[str, int],
    least: dict[str, int],
) -> MeasuredMemory:
    """What was planned and seen; ``before`` and ``least`` are free bytes of accelerators."""
    uses = info.memory
    engine = None
    if uses is not None:
        engine = sum(
            use.weights_bytes
            + use.kv_cache_bytes
            + use.compute_bytes
            + use.output_bytes
            + use.repack_bytes
            + use.projector_bytes
            + use.drafter_bytes
            for use in uses
        )
    taken = [before[name] - least[name] for name in before if name in least]
    devices = max(0, sum(taken)) if taken else None
    return MeasuredMemory(planned=planned, engine=engine, process=process, devices=devices)
