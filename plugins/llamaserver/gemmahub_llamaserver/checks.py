"""The lines of ``gemmahub doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import CheckResult
from gemmahub.errors import BackendMissing, UsageError
from gemmahub_llamaserver import build as builds
from gemmahub_llamaserver import programs

if TYPE_CHECKING:
    from gemmahub.engines.contract import EngineDevice

_NAME: Final = "llama-server"


def checks() -> list[CheckResult]:
    """The program that is used with its devices, then those that were passed over.

    Without one it is no failure: another engine may be here.
    """
    try:
        found = programs.search()
    except UsageError as error:
        return [CheckResult(_NAME, "failed", error.message, error.hint)]
    lines = [CheckResult(_NAME, "warning", p.message, p.hint) for p in found.problems]
    if found.build is not None:
        return [_used(found.build), *lines]
    return lines or [CheckResult(_NAME, "warning", "there is no llama-server", programs.INSTALL)]


def _used(build: builds.Build) -> CheckResult:
    try:
        devices = [d for d in builds.read_devices(build) if d.api != "cpu"]
    except BackendMissing as error:
        return CheckResult(_NAME, "warning", error.message, error.hint)
    on = ", ".join(map(shown, devices)) or "the processor only"
    checked = build.commit.startswith(builds.CHECKED_COMMIT)
    remark = "" if checked else f"; the plugin was checked with {builds.CHECKED_COMMIT}"
    return CheckResult(
        _NAME, "ok", f"{build.version}, {build.origin} ({build.command[0]}): {on}{remark}"
    )


def shown(device: EngineDevice) -> str:
    """As ``CUDA0 (NVIDIA ...)``."""
    return f"{device.name} ({device.description})" if device.description else device.name
