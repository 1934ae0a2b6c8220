"""Which accelerators the installed build of llama.cpp can use, and how to get one that can.

The build is looked at, not loaded: each accelerator is a shared library of its own beside
``libllama`` (``ggml_add_backend_library``, ``ggml/src/CMakeLists.txt``). The options are those of
``ggml/CMakeLists.txt``, both of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import CheckResult
from gemmahub.hardware.records import Kind
from gemmahub.python_environment import rebuild_command
from gemmahub_llamacpp import engine
from gemmahub_llamacpp.guards import OTHER_FOLDER

if TYPE_CHECKING:
    from gemmahub.hardware.records import Device, Machine

_LIBRARY: Final = re.compile(r"(?:lib)?ggml-([a-z]+)[-.]")
_HOST_ONLY: Final = frozenset({"base", "cpu", "blas", "rpc"})

# Which of the accelerator libraries run on the GPUs of a maker, the best first.
_SERVING: Final = {
    "NVIDIA": ("cuda", "vulkan"),
    "AMD": ("hip", "vulkan"),
    "Intel": ("vulkan", "sycl"),
    "Apple": ("metal",),
}
_TITLES: Final = {
    "cuda": "CUDA", "hip": "ROCm", "vulkan": "Vulkan", "metal": "Metal", "sycl": "SYCL",
}  # fmt: skip
_NEEDS: Final = {
    "cuda": "needs the CUDA toolkit",
    "hip": "needs ROCm",
    "vulkan": "needs the Vulkan SDK",
    "metal": "needs Xcode's command line tools",
}


def library_folder() -> Path | None:
    """Where the shared libraries lie, None where llama-cpp-python is not installed."""
    if os.environ.get(OTHER_FOLDER):
        return Path(os.environ[OTHER_FOLDER])
    spec = find_spec("llama_cpp")
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) / "lib" if places else None


def accelerators(folder: Path | None) -> frozenset[str] | None:
    """``cuda``, ``vulkan``, ...: what the build has; None where the folder does not say."""
    try:
        names = [path.name for path in folder.iterdir()] if folder is not None else []
    except OSError:
        return None
    found = {match[1] for match in map(_LIBRARY.match, names) if match}
    return frozenset(found - _HOST_ONLY) if found else None


def gpu_checks(machine: Machine, built: frozenset[str] | None, version: str) -> list[CheckResult]:
    """A line for each maker whose GPUs are here and cannot be used by this build."""
    found = []
    for vendor in dict.fromkeys(device.vendor for device in machine.devices):
        serving = _SERVING.get(vendor, ())
        if built is None or not serving or built & set(serving):
            continue
        devices = [device for device in machine.devices if device.vendor == vendor]
        found.append(_not_used(machine, devices, built, version))
    return found


def _not_used(
    machine: Machine, devices: list[Device], built: frozenset[str], version: str
) -> CheckResult:
    """An integrated GPU that is left alone is no fault: it reads the same memory."""
    names = ", ".join(dict.fromkeys(device.name for device in devices))
    has = ", ".join(_TITLES.get(name, name) for name in sorted(built))
    build = f"for {has} only" if has else "for the CPU only"
    integrated = all(device.kind is Kind.INTEGRATED for device in devices)
    ways = _ways(machine, devices[0])
    return CheckResult(
        "llama.cpp GPU",
        "ok" if integrated else "warning",
        f"this build is {build}: {names} is not used",
        "; or ".join(f"{build_command(machine, way, version)} ({_NEEDS[way]})" for way in ways),
    )


def _ways(machine: Machine, device: Device) -> tuple[str, ...]:
    if device.vendor == "AMD":
        # Without KFD there is no ROCm for this GPU; on Windows it needs a compiler of its own.
        usable = device.compute_capability and not _windows(machine)
        return ("hip", "vulkan") if usable else ("vulkan",)
    return _SERVING[device.vendor][:1]


def build_command(machine: Machine, way: str, version: str) -> str:
    """The command that builds this version for an accelerator, for the machine's usual shell.

    Without ``--no-cache-dir`` pip takes the wheel that it built without the option (since 23.1);
    uv does the same without ``--no-cache``.
    """
    option = f"-DGGML_{way.upper()}=on"
    name = engine.DISTRIBUTION
    again = rebuild_command(f"{name}=={version}")
    if _windows(machine):
        return f'$env:CMAKE_ARGS="{option}"; {again}'
    # As in docs/build.md of the same commit.
    hip = 'HIPCXX="$(hipconfig -l)/clang" HIP_PATH="$(hipconfig -R)" ' if way == "hip" else ""
    return f'{hip}CMAKE_ARGS="{option}" {again}'


def _windows(machine: Machine) -> bool:
    return machine.system.startswith("Windows")
