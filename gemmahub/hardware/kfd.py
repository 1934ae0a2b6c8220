"""What AMD's compute driver tells of GPUs: ``/sys/class/kfd/kfd/topology/nodes``.

Source: the kernel's drivers/gpu/drm/amd/amdkfd/kfd_topology.c and kfd_crat.h (``properties`` of a
node and of its memory banks; ``width`` in bits, ``mem_clk_max`` in MHz).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.records import Figure

if TYPE_CHECKING:
    from collections.abc import Mapping

_NODES: Final = "sys/class/kfd/kfd/topology/nodes"
_OWN_MEMORY: Final = (1, 2)  # heap types: frame buffer, public and private
_HBM_WIDTH: Final = 1024
_GDDR6_SINCE: Final = 100_100  # gfx10.1, as gfx_target_version writes it
# Bits that a pin moves in a cycle of the clock that the driver gives.
_BITS: Final = {"HBM": 2, "GDDR5": 4, "GDDR6": 16}


@dataclass(frozen=True, slots=True)
class Compute:
    """The compiler's name of a GPU (``gfx1100``), and its bandwidth by clock and width."""

    target: str
    bandwidth: Figure | None


def compute_nodes(files: SystemFiles) -> dict[str, Compute]:
    """GPUs by PCI slot; none where the topology cannot be read."""
    found: dict[str, Compute] = {}
    try:
        for node in files.names(_NODES, "[0-9]+"):
            values = _properties(files, f"{_NODES}/{node}")
            version, place = values.get("gfx_target_version"), values.get("location_id")
            if version and place is not None:
                domain = values.get("domain", 0)
                slot = f"{domain:04x}:{place >> 8:02x}:{place >> 3 & 31:02x}.{place & 7}"
                major, rest = divmod(version, 10_000)
                target = f"gfx{major}{rest // 100:x}{rest % 100:x}"
                found[slot] = Compute(target, _bandwidth(files, f"{_NODES}/{node}", version))
    except Unreadable:
        return found
    return found


def _bandwidth(files: SystemFiles, node: str, version: int) -> Figure | None:
    for bank in files.names(f"{node}/mem_banks", "[0-9]+"):
        values = _properties(files, f"{node}/mem_banks/{bank}")
        width, clock = values.get("width", 0), values.get("mem_clk_max", 0)
        if values.get("heap_type") not in _OWN_MEMORY or not width or not clock:
            continue
        kind = "GDDR6" if version >= _GDDR6_SINCE else "GDDR5"
        kind = "HBM" if width >= _HBM_WIDTH else kind
        rate = clock * 1_000_000 * _BITS[kind] * width // 8
        source = f"KFD memory clock {clock} MHz x {_BITS[kind]} x {width} bit / 8"
        doubt = f"estimate, taken for {kind}; not in the table of data sheets"
        return Figure(rate, source, doubt, "B/s")
    return None


def _properties(files: SystemFiles, folder: str) -> Mapping[str, int]:
    text = files.text(f"{folder}/properties") or ""
    return {key: int(value) for key, value in re.findall(r"^(\w+) ([0-9]+)$", text, re.M)}
