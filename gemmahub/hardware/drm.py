"""Graphics cards as Linux lists them: ``/sys/class/drm/card*/device``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.records import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRM: Final = "sys/class/drm"


@dataclass(frozen=True, slots=True)
class Card:
    """A card: its folder, its device's folder, and what its ``uevent`` file says."""

    folder: str
    device: str
    device_id: int
    revision: int | None
    driver: str | None
    slot: str | None

    @property
    def label(self) -> str:
        """A name for problem lines."""
        return self.slot or self.folder.rpartition("/")[2]


def cards_of(
    files: SystemFiles, vendor: int, probe: str, problems: list[Problem]
) -> Iterator[Card]:
    """Cards of one PCI vendor in the kernel's order; an unreadable card is a problem line."""
    for name in files.names(_DRM, "card[0-9]+"):
        folder = f"{_DRM}/{name}"
        device = f"{folder}/device"
        try:
            if files.integer(f"{device}/vendor", 16) != vendor:
                continue
            device_id = files.integer(f"{device}/device", 16)
            revision = files.integer(f"{device}/revision", 16)
            event = _event(files.text(f"{device}/uevent") or "")
        except Unreadable as error:
            problems.append(Problem(probe, str(error)))
            continue
        if device_id is not None:
            slot, driver = event.get("PCI_SLOT_NAME"), event.get("DRIVER")
            yield Card(folder, device, device_id, revision, driver, slot)


def _event(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, separator, value in pairs if separator}


def driver_version(files: SystemFiles, driver: str) -> str:
    """``amdgpu 6.8.5`` of a module that has a version, else the kernel that it is a part of."""
    try:
        version = files.text(f"sys/module/{driver}/version")
        if version:
            return f"{driver} {version}"
        release = files.text("proc/sys/kernel/osrelease")
    except Unreadable:
        release = None
    return f"{driver} of Linux {release}" if release else driver
