"""The checks of ``gemmahub doctor``: what works here, what does not, and how to mend it."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING

from gemmahub import __version__
from gemmahub.engines.contract import CheckResult
from gemmahub.text import format_bytes, plural

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.config import Config
    from gemmahub.engines.manager import PluginManager
    from gemmahub.errors import GemmahubError
    from gemmahub.variants import Models

_LOW_DISK_BYTES = 5_000_000_000


def run_checks(config: Config, manager: PluginManager, models: Models) -> list[CheckResult]:
    """All checks, in the order in which a person would look."""
    return [
        _installation(),
        CheckResult("settings", "ok", str(config.source or "defaults, no settings file")),
        _folder("cache folder", config.cache),
        *_plugins(manager),
        _models(models),
        *manager.checks(),
    ]


def broken_settings(error: GemmahubError) -> list[CheckResult]:
    """What can be said when the settings file cannot be read."""
    return [_installation(), CheckResult("settings", "failed", error.message, error.hint)]


def _installation() -> CheckResult:
    python = f"Python {platform.python_version()} ({sys.executable})"
    return CheckResult("gemmahub", "ok", f"{__version__}, {python}")


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
        return CheckResult(name, "warning", message, "models need room: free some disk space")
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
            checks.append(CheckResult(name, "ok", answer.version))
        else:
            checks.append(CheckResult(name, "warning", answer.reason, answer.hint))
    if not any(answer.ok and offer.backend.automatic for offer, answer in answers):
        checks.append(
            CheckResult(
                "backends", "failed", "none can run a model", "pip install gemmahub-llamacpp"
            )
        )
    return checks


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
