"""The devices that the engine here can use: asked once, and remembered until something changes.

Asking starts a worker that loads the engine, which takes one to two seconds; remembered is one
answer, until a package is installed or removed, a driver or a setting of the environment changes,
or a day has passed.
"""

from __future__ import annotations

import json
import os
import sysconfig
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.asking import devices_of
from gemmahub.engines.contract import EngineDevice
from gemmahub.engines.guarded import checked_answer
from gemmahub.errors import BackendError
from gemmahub.records.whole_file import write_whole

if TYPE_CHECKING:
    from gemmahub.config import Config
    from gemmahub.engines.manager import BackendOffer, PluginManager
    from gemmahub.hardware.records import Machine

_FORMAT: Final = "gguf"
_FILE: Final = "engine-devices.json"
_SECONDS: Final = 24 * 3600
_VARIABLES: Final = ("VISIBLE_DEVICES", "DEVICE_SELECTOR", "DEVICE_ORDER", "LIB_PATH")

Stated = tuple[str, tuple[EngineDevice, ...]]


def engine_devices(config: Config, plugins: PluginManager, machine: Machine) -> Stated | None:
    """The engine that runs GGUF files here and the devices that it can use on the machine that is
    here; None where there is none, or it does not say."""
    offer, version = _engine(config, plugins)
    if offer is None:
        return None
    name, file = offer.backend.name, config.cache / _FILE
    key = _key(name, version, machine)
    known = _read(file, key, name)
    if known is not None:
        return name, known
    try:
        found = devices_of(offer)
    except BackendError:
        return None
    if found is None:
        return None
    entry = {"key": key, "at": time.time(), "devices": [asdict(device) for device in found]}
    with suppress(OSError):
        write_whole(file, json.dumps(entry))
    return name, found


def _engine(config: Config, plugins: PluginManager) -> tuple[BackendOffer | None, str]:
    """That of the settings, else the preferred one, as far as it is available; and its version."""
    setting = config.backend_for(_FORMAT)
    offers = [
        offer
        for offer in plugins.backends()
        if _FORMAT in offer.backend.formats
        if (
            setting[0] in (offer.backend.name, offer.plugin) if setting else offer.backend.automatic
        )
    ]
    answers = plugins.availabilities(offers)
    known = zip(offers, answers, strict=True)
    return next(((offer, answer.version) for offer, answer in known if answer.ok), (None, ""))


def _key(name: str, version: str, machine: Machine) -> str:
    """What an answer holds for. Installing or removing a package changes the folder of all."""
    try:
        installed = Path(sysconfig.get_paths()["purelib"]).stat().st_mtime_ns
    except OSError:
        installed = 0
    variables = sorted(pair for pair in os.environ.items() if pair[0].endswith(_VARIABLES))
    devices = [(device.id, device.name, device.driver) for device in machine.devices]
    return repr((name, version, installed, variables, devices))


def _read(file: Path, key: str, name: str) -> tuple[EngineDevice, ...] | None:
    try:
        entry: dict[str, Any] = json.loads(file.read_text("utf-8"))
        if entry["key"] != key or not 0 <= time.time() - entry["at"] < _SECONDS:
            return None
        devices = [EngineDevice(**fields) for fields in entry["devices"]]
        return tuple(checked_answer(device, EngineDevice, name) for device in devices)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, BackendError):
        return None
