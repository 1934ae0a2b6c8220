"""A stranger's plugin: a probe of an accelerator that is made up. Its driver is some files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gemmahub import hookimpl
from gemmahub.hardware.files import SystemFiles
from gemmahub.hardware.records import Device, Figure, Kind

if TYPE_CHECKING:
    from gemmahub.hardware.device_probe import Seen


class NpuProbe:
    """Finds the NPUs of a maker that does not exist."""

    name = "npu"

    def devices(self, seen: Seen) -> list[Device]:
        """By the files of its driver."""
        files = SystemFiles(Path(os.environ["NPU_FOLDER"]))
        total, used = files.integer("memory_total"), files.integer("memory_used")
        if total is None or used is None:
            return []
        if files.exists("too_hot"):
            seen.problem("npu:0 is too hot", "open a window")
        return [
            Device(
                "npu:0",
                "Example NPU",
                "Example",
                Kind.DISCRETE,
                total=Figure(total, "npu memory_total"),
                free=Figure(total - used, "npu memory_total - memory_used"),
            )
        ]


@hookimpl
def gemmahub_devices() -> list[NpuProbe]:
    """One probe."""
    return [NpuProbe()]
