"""The lines of ``gemmahub doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import CheckResult
from gemmahub.errors import BackendMissing, UsageError
from gemmahub.hardware.records import Kind
from gemmahub_llamaserver import build as builds
from gemmahub_llamaserver import programs

if TYPE_CHECKING:
    from gemmahub.engines.contract import EngineDevice
    from gemmahub.hardware.records import Machine

_NAME: Final = "llama-server"
_SERVING: Final = {  # interfaces that drive the GPUs of a maker
    "NVIDIA": ("cuda", "vulkan"),
    "AMD": ("rocm", "vulkan"),
    "Intel": ("sycl", "vulkan"),
    "Apple": ("metal",),
}
_OTHER: Final = (
    "install a llama.cpp for it (brew, winget, or github.com/ggml-org/llama.cpp/releases) and name "
    f"it: gemmahub config set {programs.SETTING} PATH"
)
_LOADER: Final = "install the Vulkan loader of your system (libvulkan1, vulkan-loader); or "


def checks(machine: Machine) -> list[CheckResult]:
    """The program that is used with its devices, GPUs that it cannot use, then the programs that
    were passed over.

    Without one it is no failure: another engine may be here.
    """
    try:
        found = programs.search()
    except UsageError as error:
        return [CheckResult(_NAME, "failed", error.message, error.hint)]
    lines = [CheckResult(_NAME, "warning", p.message, p.hint) for p in found.problems]
    if found.build is not None:
        return [*_used(found.build, machine), *lines]
    return lines or [
        CheckResult(_NAME, "warning", "there is no llama-server", programs.how_to_install())
    ]


def _used(build: builds.Build, machine: Machine) -> list[CheckResult]:
    try:
        devices = [d for d in builds.read_devices(build) if d.api != "cpu"]
    except BackendMissing as error:
        return [CheckResult(_NAME, "warning", error.message, error.hint)]
    on = ", ".join(map(_shown, devices)) or "the CPU only"
    checked = build.commit.startswith(builds.CHECKED_COMMIT)
    remark = "" if checked else f"; the plugin was checked with {builds.CHECKED_COMMIT}"
    where = f"{build.version}, {build.origin} ({build.command[0]})"
    first = CheckResult(_NAME, "ok", f"{where}: {on}{remark}")
    return [first, *gpu_checks(machine, devices, build.origin.startswith(programs.PACKAGE))]


def gpu_checks(
    machine: Machine, devices: list[EngineDevice], of_package: bool
) -> list[CheckResult]:
    """A line for each maker whose GPUs are here and cannot be used by this build."""
    apis = {device.api for device in devices}
    found = []
    for vendor in dict.fromkeys(device.vendor for device in machine.devices):
        own = [device for device in machine.devices if device.vendor == vendor]
        if vendor not in _SERVING or apis & set(_SERVING[vendor]):
            continue
        names = ", ".join(dict.fromkeys(device.name for device in own))
        # An integrated one that is left alone is no fault: it reads the same memory.
        integrated = all(device.kind is Kind.INTEGRATED for device in own)
        needs_loader = of_package and machine.system.startswith("Linux")
        found.append(
            CheckResult(
                f"{_NAME} GPU",
                "ok" if integrated else "warning",
                f"this llama-server does not use {names}",
                (_LOADER if needs_loader else "") + _OTHER,
            )
        )
    return found


def _shown(device: EngineDevice) -> str:
    """As ``CUDA0 (NVIDIA ...)``."""
    return f"{device.name} ({device.description})" if device.description else device.name
