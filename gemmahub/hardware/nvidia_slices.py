"""Parts of NVIDIA GPUs: MIG slices, and the virtual GPUs that a hypervisor gives to its guests.

Both have a part of the memory, and so of its bandwidth. The name says which: ``3g.40gb`` has 40 GB,
``A40-12Q`` 12 of the 48 GiB of an A40.
"""

from __future__ import annotations

import re
from typing import Final

from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.records import Figure

_GIB: Final = 1 << 30
_SIZE: Final = re.compile(r"\b([0-9]{1,3}) ?gb\b", re.IGNORECASE)
_SLICE: Final = re.compile(r"\b([0-9])g\.([0-9]{1,3})gb\b", re.IGNORECASE)
# Eighths of the memory that a slice has at least, by its sevenths of the processors.
_EIGHTHS: Final = {"1": 1, "2": 2, "3": 4, "4": 4, "7": 8}
_VIRTUAL: Final = re.compile(
    r"(?:GRID |NVIDIA )?([A-Z0-9]+(?:-Ada)?)-(?:[0-9]-)?([0-9]{1,3})[ABCQ]"
)

# What profiles of virtual GPUs are parts of: GiB of the whole, and its name in the data sheets.
# NVIDIA, Virtual GPU Software User Guide, "Virtual GPU Types".
_WHOLE: Final = {
    "A10": (24, "A10"), "A16": (16, "A16"), "A40": (48, "A40"), "A30": (24, "A30"),
    "A100": (40, "A100-PCIE-40GB"), "A100X": (40, "A100-SXM4-40GB"),
    "A100D": (80, "A100 80GB PCIe"), "A100DX": (80, "A100-SXM4-80GB"),
    "H100": (80, "H100 PCIe"), "H100XM": (80, "H100 80GB HBM3"),
    "L4": (24, "L4"), "L40": (48, "L40"), "L40S": (48, "L40S"),
    "RTX6000-Ada": (48, "RTX 6000 Ada Generation"), "RTXA6000": (48, "RTX A6000"),
    "RTXA5000": (24, "RTX A5000"), "T4": (16, "Tesla T4"),
    "V100": (16, "Tesla V100-PCIE-16GB"), "V100D": (32, "Tesla V100-PCIE-32GB"),
    "V100X": (16, "Tesla V100-SXM2-16GB"), "V100DX": (32, "Tesla V100-SXM2-32GB"),
}  # fmt: skip


def mig_part(name: str, slice_: int | None, whole: int | None) -> float | None:
    """The share of the GPU that a MIG slice has: by bytes, else by the sizes in its name.

    In a container the whole GPU's memory cannot be asked for.
    """
    named = _SLICE.search(name)
    total = _SIZE.search(_SLICE.sub("", name))
    if not whole and total is not None:
        whole = int(total[1]) * _GIB
    if slice_ is None and named is not None:
        slice_ = int(named[2]) * _GIB
    if slice_ is not None and whole:
        return min(1.0, slice_ / whole)
    return _EIGHTHS[named[1]] / 8 if named is not None and named[1] in _EIGHTHS else None


def vgpu_bandwidth(name: str, memory: int | None) -> Figure | None:
    """The share of a virtual GPU, None for a name that is none. ``memory`` in bytes."""
    match = _VIRTUAL.fullmatch(name)
    if match is None:
        return None
    gib, sheet = _WHOLE.get(match[1], (0, ""))
    published = published_bandwidth(sheet)
    part = min(1.0, int(match[2]) / gib) if gib else None
    if published is None or published.value is None or part is None:
        return Figure.unknown("the share of this virtual GPU is not known", unit="B/s")
    doubt = f"estimate: {match[2]} of the {gib} GiB of {sheet}, which others may share"
    return Figure(round(published.value * part), published.source, doubt, "B/s")
