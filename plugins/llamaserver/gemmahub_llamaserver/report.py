"""What llama-server writes into its log while it loads: the memory that it takes, and errors.

Nothing of that is an interface: a figure that is not there is not known, never a guess.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import DeviceUse

if TYPE_CHECKING:
    from collections.abc import Iterable

CPU: Final = "CPU"
_MIB: Final = 2**20
_BUFFER: Final = re.compile(r"(\S+) +(model|KV|compute|output) buffer size = +([\d.]+) MiB")
_DEVICE: Final = re.compile(r"using device (\S+) \((.+?)\)")
_NOISE: Final = re.compile(
    r"llama_model_loader: - |print_info: |load_hparams: |load: +- |slot .*\| task |sched copies"
)
_PROJECTOR: Final = re.compile(r"clip|mtmd|alloc_compute_meta|reserve_compute_meta")
_PROJECTOR_SIZE: Final = re.compile(r"load_hparams: model size: +([\d.]+) MiB")
_PROJECTOR_DEVICE: Final = re.compile(r"clip_ctx: CLIP using (\S+) backend")
_MAPPED: Final = "_Mapped"  # a part of the file, not a copy of it
_PINNED: Final = "_Host"  # memory of the host that a driver has pinned
_DRAFTER: Final = "loading draft model"
_DRAFTS: Final = "adding speculative implementation"
_PARTS: Final = {"KV": "kv_cache", "compute": "compute", "output": "output"}
_ERROR: Final = re.compile(
    r"^(?:\d+\.\d\d\.\d{3}\.\d{3} E (?:\w+ +)?\w+: |(?=error))"  # time, level, where
    r"(?:error loading model: |error: )?(?P<reason>.+)$"
)


def is_kept(line: str) -> bool:
    """Whether a line of the log is worth keeping: the header and each request are not."""
    return not _NOISE.search(line) or "model size" in line


def read_memory(lines: Iterable[str]) -> tuple[DeviceUse, ...] | None:
    """What each device holds, rounded to 0.01 MiB, a drafter's parts as one; None where the log
    does not say."""
    found: dict[str, Counter[str]] = {}
    projector = CPU
    drafter = False  # its parts follow those of the model
    again = False  # a drafter's context says its buffers a second time
    for line in lines:
        drafter = drafter or _DRAFTER in line
        again = again or _DRAFTS in line
        if match := _PROJECTOR_DEVICE.search(line):
            projector = device_of(match[1])
        elif match := _PROJECTOR_SIZE.search(line):
            found.setdefault(projector, Counter())["projector"] += round(float(match[1]) * _MIB)
        elif match := _BUFFER.search(line):
            device = device_of(match[1])
            part = _PARTS.get(match[2]) or _model_part(match[1])
            part = "projector" if _PROJECTOR.search(line[: match.start()]) else part
            part = "drafter" if drafter and part not in ("projector", "repack") else part
            if again and part != "projector":
                continue
            found.setdefault(device, Counter())[part] += round(float(match[3]) * _MIB)
    if not any(parts["weights"] for parts in found.values()):
        return None
    return tuple(
        DeviceUse(device, **{f"{part}_bytes": size for part, size in parts.items()})
        for device, parts in found.items()
    )


def read_devices(lines: Iterable[str]) -> list[str]:
    """The accelerators that the model is on: ``CUDA0 (NVIDIA ...)``."""
    found = [f"{match[1]} ({match[2]})" for line in lines if (match := _DEVICE.search(line))]
    return list(dict.fromkeys(found))


def device_of(buffer: str) -> str:
    """The device of a buffer: memory of the host, pinned or in another order, is the CPU's."""
    name = buffer.removesuffix(_MAPPED)
    return CPU if name.startswith(CPU) or name.endswith(_PINNED) else name


def _model_part(buffer: str) -> str:
    own = buffer.removesuffix(_MAPPED)
    return "weights" if device_of(own) == own or own.endswith(_PINNED) else "repack"


def read_reason(lines: Iterable[str]) -> str:
    """Why it refused: its first error, without what function says so; what follows only repeats
    that it failed. Empty where there is none."""
    return next((match["reason"] for line in lines if (match := _ERROR.match(line))), "")
