"""Which devices the environment leaves to engines: ``CUDA_VISIBLE_DEVICES`` and its kind.

Sources: NVIDIA's CUDA C++ Programming Guide, "CUDA Environment Variables"; ROCm's documentation,
"GPU isolation techniques"; ``ggml_vk_instance_init`` of ggml/src/ggml-vulkan; oneAPI's
``ONEAPI_DEVICE_SELECTOR``. Engines number what is left from 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.records import Kind, Problem
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gemmahub.hardware.records import Device

_ONEAPI: Final = "ONEAPI_DEVICE_SELECTOR"
_LEVEL_ZERO: Final = re.compile(r"(?:level_zero|\*):([0-9]+(?:,[0-9]+)*)")


@dataclass(frozen=True, slots=True)
class _Rule:
    """A variable, and the devices that it hides, by the beginnings of their ids.

    ``order`` gives the devices as their engine counts them, None where that is as they are here.
    """

    probe: str
    variable: str
    prefixes: tuple[str, ...]
    order: Callable[[Sequence[Device], Mapping[str, str]], list[Device]] | None = None

    def concerns(self, device: Device) -> bool:
        """Whether it can hide the device."""
        return device.id.startswith(self.prefixes)


def visible(
    devices: Sequence[Device], environment: Mapping[str, str]
) -> tuple[tuple[Device, ...], list[Problem]]:
    """The devices that are left, and a line where all of a maker are hidden."""
    problems: list[Problem] = []
    found = tuple(devices)
    for rule in _RULES:
        text = environment.get(rule.variable)
        mine = [device for device in found if rule.concerns(device)]
        if text is None or not mine:
            continue
        chosen = _chosen(text, rule.order(found, environment) if rule.order else mine, rule)
        if chosen is None:
            continue
        found = _left(found, mine, chosen, f"{rule.variable}={one_line(text, 80)}")
        if not any(map(rule.concerns, found)):
            makers = " and ".join(dict.fromkeys(device.vendor for device in mine))
            reason = f"{rule.variable} hides all {makers} GPUs"
            problems.append(Problem(rule.probe, reason, "unset it to use them"))
    return found, problems


def _left(
    found: Iterable[Device], mine: Sequence[Device], chosen: set[str], setting: str
) -> tuple[Device, ...]:
    note = f"{setting} hides other GPUs from engines"
    hides = any(device.id not in chosen for device in mine)
    return tuple(
        replace(device, notes=(*device.notes, note)) if device in mine and hides else device
        for device in found
        if device not in mine or device.id in chosen
    )


def _chosen(text: str, numbered: Sequence[Device], rule: _Rule) -> set[str] | None:
    """Ids of the devices that a setting names; None where it is not understood.

    As in CUDA, the first entry that names nothing ends the list.
    """
    if rule.variable == _ONEAPI:
        match = _LEVEL_ZERO.fullmatch(text.strip())
        if match is None:
            return None
        text = match[1]
    chosen: set[str] = set()
    for entry in filter(None, re.split(r"[,\s]+", text.strip())):
        named = [device.id for device in numbered if _names(entry, device)]
        if entry.isdecimal() and int(entry) < len(numbered):
            named = [numbered[int(entry)].id]
        if not named:
            break
        chosen.update(named)
    return chosen


def _names(entry: str, device: Device) -> bool:
    """Whether the beginning of a UUID names the device."""
    return entry[:4] in ("GPU-", "MIG-") and (device.uuid or "").startswith(entry)


def _cuda_order(devices: Sequence[Device], environment: Mapping[str, str]) -> list[Device]:
    """As CUDA counts: by PCI bus if that is wanted, else the fastest first; that is taken from
    their bandwidth."""
    mine = [device for device in devices if device.id.startswith("cuda:")]
    if environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID":
        return mine
    return sorted(mine, key=lambda device: -(device.bandwidth.value or 0))


def _vulkan_order(devices: Sequence[Device], environment: Mapping[str, str]) -> list[Device]:
    """As Vulkan's loader lists devices on Linux: discrete ones first, each by PCI bus."""
    return sorted(devices, key=lambda d: (d.kind is not Kind.DISCRETE, d.pci or "~"))


_RULES: Final = (
    _Rule("nvidia", "CUDA_VISIBLE_DEVICES", ("cuda:",), _cuda_order),
    _Rule("amd", "ROCR_VISIBLE_DEVICES", ("amd:",)),
    _Rule("amd", "HIP_VISIBLE_DEVICES", ("amd:",)),
    # Vulkan counts NVIDIA's GPUs, too, but they are used through CUDA.
    _Rule("graphics", "GGML_VK_VISIBLE_DEVICES", ("amd:", "intel:"), _vulkan_order),
    _Rule("intel", _ONEAPI, ("intel:",)),
)
