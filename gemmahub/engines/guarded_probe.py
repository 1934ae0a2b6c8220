"""A plugin's probe of devices, from which only sane records come."""

from __future__ import annotations

import operator
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.hooks import reason_of
from gemmahub.engines.validation import check_name
from gemmahub.hardware.makers import MAKERS
from gemmahub.hardware.records import Device, Figure, Kind
from gemmahub.records.parsing import Unfit
from gemmahub.text import one_line
from gemmahub.text.streams import kept_quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.manager import PluginManager
    from gemmahub.hardware.device_probe import DeviceProbe, Seen

_ID: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}:[0-9]{1,4}(/[a-z0-9_-]{1,20}:[0-9]{1,4})?")
_MOST_DEVICES: Final = 64
_MOST_NOTES: Final = 10
_LARGEST: Final = 1 << 63
_REPORT: Final = "this is a bug in its plugin: report it"


class GuardedProbe:
    """A plugin's :class:`~gemmahub.hardware.device_probe.DeviceProbe`, as :func:`check_probe` gives
    it."""

    def __init__(self, probe: DeviceProbe) -> None:
        self.name = probe.name
        self._probe, self._waiting = probe, False

    def devices(self, seen: Seen) -> Iterator[Device]:
        """Its devices. One that makes no sense is left out and told; so is a probe that fails, or
        that has not answered yet when it is asked again."""
        if self._waiting:
            seen.problem("it is still busy with an earlier call", _REPORT)
            return
        self._waiting = True
        try:
            with kept_quiet():
                found = list(self._probe.devices(seen))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - third-party code, becomes a line
            seen.problem(reason_of(error), _REPORT)
            return
        finally:
            self._waiting = False
        if len(found) > _MOST_DEVICES:
            seen.problem(f"it found {len(found):,} devices, which is implausible", _REPORT)
            return
        for device in found:
            try:
                yield _checked(device)
            except Exception as error:  # noqa: BLE001 - third-party values
                seen.problem(f"a device was left out: {error}", _REPORT)


def probes_of(manager: PluginManager) -> tuple[GuardedProbe, ...]:
    """The probes of all plugins; one that is none, or whose name is taken, is a failure of its
    plugin."""
    found = manager.named("gemmahub_devices", "probe", check_probe)
    return tuple(GuardedProbe(probe) for _, probe in found)


def check_probe(probe: Any) -> DeviceProbe:
    """The probe, where it is one. Raises: Unfit."""
    name = check_name(getattr(probe, "name", None))
    if name in (maker.name for maker in MAKERS):
        raise Unfit(f"gemmahub has its own probe {name}")
    if not callable(getattr(probe, "devices", None)):
        raise Unfit(f"the probe {name} has no devices()")
    found: DeviceProbe = probe
    return found


def _checked(device: Any) -> Device:
    """The device with plain numbers and harmless texts. Raises: Unfit."""
    if not isinstance(device, Device):
        raise Unfit(f"it is a {type(device).__name__}, not a Device")
    if not isinstance(device.id, str) or not _ID.fullmatch(device.id):
        raise Unfit(f"its id must be like npu:0, not {one_line(repr(device.id), 60)}")
    shared = device.shared_total, device.shared_free
    checked = replace(
        device,
        name=_text(device.name) or device.id,
        vendor=_text(device.vendor),
        kind=Kind(device.kind),
        total=_bytes(device.total),
        free=_bytes(device.free),
        used_by_others=_bytes(device.used_by_others),
        bandwidth=replace(_bytes(device.bandwidth), unit="B/s"),
        shared_total=shared[0] and _bytes(shared[0]),
        shared_free=shared[1] and _bytes(shared[1]),
        compute_capability=_maybe(device.compute_capability),
        driver=_maybe(device.driver),
        uuid=_maybe(device.uuid),
        pci=_maybe(device.pci),
        unusable=_text(device.unusable),
        notes=tuple(_text(note) for note in device.notes[:_MOST_NOTES]),
    )
    free, total = checked.free.value, checked.total.value
    if free is not None and total is not None and free > total:
        raise Unfit(f"{device.id} has more free memory than memory")
    return checked


def _bytes(figure: Any) -> Figure:
    if not isinstance(figure, Figure):
        raise Unfit(f"a figure is a Figure, not a {type(figure).__name__}")
    value = None if figure.value is None else operator.index(figure.value)
    if value is not None and not 0 <= value < _LARGEST:
        raise Unfit(f"a figure cannot be {one_line(repr(value), 40)}")
    return Figure(value, _text(figure.source), _text(figure.doubt))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit(f"a text is a str, not a {type(value).__name__}")
    return one_line(value, 100)


def _maybe(value: Any) -> str | None:
    return None if value is None else _text(value)
