"""The checks of ``gemmahub doctor``: what works here, what does not, and how to mend it."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub import __version__
from gemmahub.engines.choice import engine_command
from gemmahub.engines.contract import CheckResult
from gemmahub.engines.guarded_reader import readers_of
from gemmahub.errors import GemmahubError
from gemmahub.formats.reader import BUILT_IN_FORMATS
from gemmahub.text import format_bytes, format_gib, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from gemmahub.config import Config
    from gemmahub.engines.manager import PluginManager
    from gemmahub.hardware.records import Device, Disk, Figure, Machine, SystemMemory
    from gemmahub.registry.variants import Models
    from gemmahub.service.installation import Installation

_LOW_DISK_BYTES = 5_000_000_000
_LITTLE_FREE = 0.25  # of the whole
_LIMIT_HINT = (
    "larger models need a higher limit: docker run --memory, MemoryMax= of systemd, "
    "resources.limits.memory of Kubernetes"
)


def checks(here: Installation, taken: Collection[str] = ()) -> list[CheckResult]:
    """Checks of this installation and those of the plugins; ``taken`` are the names of commands
    that no plugin can have."""
    from gemmahub.hardware.probe import probe_machine
    from gemmahub.service.plugin_rows import ask_everything
    from gemmahub.service.settings import settings_checks

    try:
        config = here.config
    except GemmahubError as error:
        return [_installation(), CheckResult("settings", "failed", error.message, error.hint)]
    models = here.registry.models()
    folders = model_folders(config, models)
    machine = probe_machine(folders=folders, cache=config.cache, further=here.probes)
    own = ask_everything(here, machine, taken)
    found = run_checks(config, here.plugins_manager, models, machine, own)
    return [*found, *settings_checks(here)]


def run_checks(
    config: Config,
    manager: PluginManager,
    models: Models,
    machine: Machine,
    own: Sequence[CheckResult],
) -> list[CheckResult]:
    """All checks, in the order in which a person would look; ``own`` are those of plugins.

    ``machine`` was probed with the :func:`model_folders`.
    """
    return [
        _installation(),
        CheckResult("settings", "ok", str(config.source or "defaults, no settings file")),
        *_formats(config, manager),
        _folder("cache folder", config.cache),
        *_plugins(manager),
        _models(models),
        *(
            CheckResult("model file", "warning", f"{each.reference}: {why.text}", why.remedy)
            for each, why in models.outdated
        ),
        *(_disk(disk) for disk in machine.disks),
        *machine_checks(machine),
        *own,
    ]


def model_folders(config: Config, models: Models) -> tuple[Path, ...]:
    """Folders where models lie or are looked for, one for each file system."""
    places = [
        *config.folders,
        *(artifact.path.parent for variant in models.variants for artifact in variant.artifacts),
    ]
    found: dict[int, Path] = {}
    for place in dict.fromkeys(places):
        try:
            found.setdefault(place.stat().st_dev, place)
        except OSError:
            continue  # the store says so itself
    return tuple(found.values())


def _installation() -> CheckResult:
    python = f"Python {platform.python_version()} ({sys.executable})"
    return CheckResult("gemmahub", "ok", f"{__version__}, {python}")


def _formats(config: Config, manager: PluginManager) -> list[CheckResult]:
    """The formats that the settings name and nothing here knows: typing mistakes, or of a plugin
    that is missing."""
    known = {*BUILT_IN_FORMATS, *(reader.name for reader in readers_of(manager))}
    known |= {format_ for offer in manager.backends() for format_ in offer.backend.formats}
    return [
        CheckResult(
            f"setting run.backends.{format_}",
            "warning",
            f"no installed plugin reads or runs {format_} models",
            f"formats here: {', '.join(sorted(known))}",
        )
        for format_ in config.backends
        if format_ not in known
    ]


def _folder(name: str, folder: Path) -> CheckResult:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        return CheckResult(
            name, "failed", f"{folder}: {error.strerror}", "make it writable, or set GEMMAHUB_CACHE"
        )
    free = shutil.disk_usage(folder).free
    message = f"{folder}, {format_bytes(free)} free"
    if free < _LOW_DISK_BYTES:
        return CheckResult(name, "warning", message, "models need space: free some on the disk")
    return CheckResult(name, "ok", message)


def _plugins(manager: PluginManager) -> list[CheckResult]:
    checks = []
    offers = manager.backends()
    answers = [(offer, manager.availability(offer)) for offer in offers]
    for record in manager.records:
        if record.state == "failed":
            checks.append(
                CheckResult(f"plugin {record.name}", "failed", record.reason, record.hint)
            )
    for offer, answer in answers:
        name = f"backend {offer.backend.name}"
        if answer.ok:
            checks.append(_version(name, answer.version, offer.backend.checked_version))
        else:
            checks.append(CheckResult(name, "warning", answer.reason, answer.hint))
    if not any(answer.ok and offer.backend.automatic for offer, answer in answers):
        checks.append(CheckResult("backends", "failed", "none can run a model", engine_command()))
    return checks


def _version(name: str, version: str, checked: str) -> CheckResult:
    """A line on an engine's version, compared number by number with the one that was checked."""
    if not version:
        return CheckResult(name, "warning", "it does not state its version")
    here, there = _numbers(version), _numbers(checked)
    if not checked or here == there:
        return CheckResult(name, "ok", version)
    word = "older" if here < there else "newer"
    return CheckResult(
        name,
        "warning",
        f"{version} is {word} than {checked}, which its plugin was checked against",
        f"if it misbehaves, install {checked}; gemmahub plan --exact asks this version itself",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", version))


# --- the machine -------------------------------------------------------------------------------


def machine_checks(machine: Machine) -> list[CheckResult]:
    """Memory, its limit, the GPUs, and what the probes could not find out."""
    return [
        *_memory(machine.memory),
        *(_device(device) for device in machine.devices),
        *([] if machine.devices else [CheckResult("GPU", "ok", "none found: the CPU runs models")]),
        *(
            CheckResult(f"probe {problem.probe}", "warning", problem.reason, problem.hint)
            for problem in machine.problems
        ),
    ]


def _memory(memory: SystemMemory) -> list[CheckResult]:
    total, limit = memory.total.value, memory.limit
    checks = [_room("memory", memory.available, memory.usable, "close other programs")]
    if limit is not None and limit.value is not None:
        of = f"the machine's {format_gib(total)}" if total is not None else "the machine's memory"
        message = f"{format_gib(limit.value)} of {of}, limited by {limit.source}"
        checks.append(CheckResult("memory limit", "warning", message, _LIMIT_HINT))
    return checks


def _device(device: Device) -> CheckResult:
    """A GPU; one that shares the system's memory was already judged with it."""
    hint = "close programs that use this GPU"
    line = _room(device.id, device.available, device.capacity, hint)
    message = f"{device.name}, {line.message}"
    if device.takes_system_memory and device.available.value is not None:
        return CheckResult(f"GPU {device.id}", "ok", message)
    return replace(line, name=f"GPU {device.id}", message=message)


def _room(name: str, free: Figure, total: Figure, hint: str) -> CheckResult:
    """What is free of what there is; a warning where others use most of it."""
    if free.value is None:
        return CheckResult(name, "warning", f"free memory is unknown: {free.doubt}")
    if total.value is None:
        return CheckResult(name, "ok", f"{format_gib(free.value)} free, total unknown")
    message = f"{format_gib(free.value)} of {format_gib(total.value)} free"
    if free.value < _LITTLE_FREE * total.value:
        return CheckResult(name, "warning", f"{message}: others use most of it", hint)
    return CheckResult(name, "ok", message)


def _disk(disk: Disk) -> CheckResult:
    free, total = disk.free.value, disk.total.value
    if free is None or total is None:
        return CheckResult("disk", "warning", f"{disk.path}: {disk.free.doubt}")
    message = f"{format_bytes(free)} of {format_bytes(total)} free at {disk.path}"
    if free < _LOW_DISK_BYTES:
        return CheckResult("disk", "warning", message, "models need space: free some on the disk")
    return CheckResult("disk", "ok", message)


# --- the models --------------------------------------------------------------------------------


def _models(models: Models) -> CheckResult:
    count = plural(len(models.variants), "model")
    if not models.broken:
        return CheckResult("models", "ok", f"{count} on this machine")
    first = models.broken[0]
    return CheckResult(
        "models",
        "warning",
        f"{count}, and {len(models.broken)} broken: {first.path}: {first.reason}",
        "gemmahub list shows them all",
    )
