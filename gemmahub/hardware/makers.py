"""The makers whose devices gemmahub finds itself, each a probe like those of plugins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.unified import jetson_model, probe_apple, probe_jetson

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.hardware.device_probe import DeviceProbe, Seen
    from gemmahub.hardware.host import Host
    from gemmahub.hardware.records import Device


@dataclass(frozen=True, slots=True)
class _Maker:
    """A probe that is one function."""

    name: str
    find: Callable[[Seen], tuple[Device, ...]]

    def devices(self, seen: Seen) -> tuple[Device, ...]:
        """What the function finds."""
        return self.find(seen)


def _apple(seen: Seen) -> tuple[Device, ...]:
    if seen.host.system != "darwin":
        return ()
    return probe_apple(seen.host, seen.cpu, seen.memory, seen.problems)


def _jetson(seen: Seen) -> tuple[Device, ...]:
    board = jetson_model(seen.host)
    return () if board is None else probe_jetson(seen.host, board, seen.memory)


def _nvidia(seen: Seen) -> tuple[Device, ...]:
    if seen.host.system == "darwin" or jetson_model(seen.host) is not None:
        return ()
    from gemmahub.hardware.nvidia import probe_nvidia

    return probe_nvidia(seen)


def _amd(seen: Seen) -> tuple[Device, ...]:
    if not _has_cards(seen.host):
        return ()
    from gemmahub.hardware.amd import probe_amd

    return probe_amd(seen)


def _intel(seen: Seen) -> tuple[Device, ...]:
    if not _has_cards(seen.host):
        return ()
    from gemmahub.hardware.intel import probe_intel

    return probe_intel(seen)


def _windows(seen: Seen) -> tuple[Device, ...]:
    if seen.host.system != "win32":
        return ()
    from gemmahub.hardware.windows_gpus import probe_windows

    return probe_windows(seen)


def _has_cards(host: Host) -> bool:
    """Whether Linux shows graphics cards that are not a board's own."""
    other = host.system not in ("darwin", "win32") and jetson_model(host) is None
    return other and host.files.exists("sys/class/drm")


MAKERS: Final[tuple[DeviceProbe, ...]] = (
    _Maker("apple", _apple),
    _Maker("jetson", _jetson),
    _Maker("nvidia", _nvidia),
    _Maker("amd", _amd),
    _Maker("intel", _intel),
    _Maker("windows", _windows),
)
"""In the order of their devices."""
