"""Graphics cards as Linux lists them: ``/sys/class/drm/card*/device``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.hardware.files import SystemFiles, Unreadable
from gemmahub.hardware.records import Problem
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_DRM: Final = "sys/class/drm"
_PCI_IDS: Final = ("usr/share/hwdata/pci.ids", "usr/share/misc/pci.ids")
RIGHTS_HINT: Final = (
    "sudo usermod -aG render,video $USER, then log out and in again; for a container also "
    "--group-add with the number of the group render"
)


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


def shows_devices(files: SystemFiles) -> bool:
    """Whether ``/dev`` can be looked at: a recorded tree may have been taken without it."""
    return files.exists("dev/null")


def hindrance(files: SystemFiles, card: Card) -> Problem | None:
    """Why this process cannot open a card: Vulkan, ROCm and Level Zero all need its render node.

    The problem's ``probe`` is left to the caller.
    """
    if not shows_devices(files):
        return None
    try:
        names = files.names(f"{card.device}/drm", "renderD[0-9]+")
    except Unreadable:
        return None
    for name in names:
        node = f"dev/dri/{name}"
        if not files.exists(node):
            reason = f"{card.label}: there is no /{node} here"
            return Problem("", reason, "start the container with --device /dev/dri")
        if not files.may_use(node):
            return Problem("", f"{card.label}: no permission to open /{node}", RIGHTS_HINT)
    return None


def listed_name(files: SystemFiles, vendor: int, device: int, maker: str) -> str | None:
    """The name that the system's list of PCI devices has, ``Intel Arc A770``; None without one.

    The list gives the chip, and in brackets what is sold: ``DG2 [Arc A770]``.
    """
    try:
        text = next((text for path in _PCI_IDS if (text := files.text(path))), "")
    except Unreadable:
        return None
    block = re.search(rf"^{vendor:04x}  .*\n((?:[\t#].*\n?)*)", text, re.MULTILINE)
    line = block and re.search(rf"^\t{device:04x}  (.+)$", block[1], re.MULTILINE)
    if not line:
        return None
    sold = re.search(r"\[([^\]]+)\]\s*$", line[1])
    name = one_line(sold[1] if sold else line[1], 80)
    return name if name.startswith(maker) else f"{maker} {name}"
