"""What the probes ask of the world, in one record that tests and recordings replace."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gemmahub.hardware.files import SystemFiles
from gemmahub.hardware.records import Problem
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

T = TypeVar("T")

_COMMAND_SECONDS: Final = 2.0
DEADLINE_SECONDS: Final = 2.0
"""How long a probe may take before it is given up: a driver that hangs must not hang us."""


def run_command(arguments: Sequence[str]) -> str:
    """Standard output of a system command, whatever its exit status.

    ``sysctl`` fails as a whole when one of the asked names does not exist and still prints the
    others. Raises: OSError, subprocess.TimeoutExpired.
    """
    import subprocess  # not needed on Linux, where probes read files

    done = subprocess.run(
        arguments, capture_output=True, text=True, errors="replace", timeout=_COMMAND_SECONDS,
        stdin=subprocess.DEVNULL, check=False, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    return done.stdout


def _import_nvml() -> Any:
    return import_module("pynvml")


def _import_psutil() -> Any:
    return import_module("psutil")


def _display_adapters() -> Iterable[Mapping[str, Any]]:
    from gemmahub.hardware.windows_registry import display_adapters

    return display_adapters()


@dataclass(frozen=True, slots=True)
class Host:
    """The machine as the probes see it. ``system`` is a value of ``sys.platform``.

    ``nvml`` imports NVIDIA's bindings (``nvidia-ml-py``) and may raise ImportError; ``psutil``
    gives what macOS and Windows are asked through, ``display_adapters`` what Windows' registry has
    of GPUs. ``deadline`` in seconds holds for each probe of
    devices.
    """

    files: SystemFiles = field(default_factory=SystemFiles)
    system: str = sys.platform
    command: Callable[[Sequence[str]], str] = run_command
    nvml: Callable[[], Any] = _import_nvml
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    deadline: float = DEADLINE_SECONDS
    psutil: Callable[[], Any] = _import_psutil
    display_adapters: Callable[[], Iterable[Mapping[str, Any]]] = _display_adapters


def ask_psutil(
    host: Host, probe: str, problems: list[Problem], function: str, **arguments: Any
) -> Any:
    """What one of psutil's functions returns; None, and a line in ``problems``, when it fails.

    psutil knows only the machine that it runs on: of a simulated one of another system it would
    tell lies, unless ``host`` brings answers of its own.
    """
    try:
        if host.psutil is _import_psutil and host.system != sys.platform:
            raise LookupError(f"this machine runs {sys.platform}, not {host.system}")
        return getattr(host.psutil(), function)(**arguments)
    except Exception as error:  # noqa: BLE001 - a counter that the system refuses is a line
        problems.append(Problem(probe, f"psutil {function}: {describe(error)}"))
        return None


def guarded(probe: str, function: Callable[[], T], default: T, problems: list[Problem]) -> T:
    """What ``function`` returns; a failure becomes a line in ``problems``."""
    try:
        return function()
    except Exception as error:  # noqa: BLE001 - a probe that fails is a line, never a crash
        problems.append(Problem(probe, describe(error)))
        return default


def describe(error: BaseException) -> str:
    """An exception as one line; the type's name where the message alone says little."""
    text = one_line(str(error))
    return text if " " in text else f"{type(error).__name__}: {text}".rstrip(": ")


def sysctl(host: Host, *names: str) -> dict[str, str]:
    """Values of the kernel's variables on macOS; names that it does not know are left out.

    Raises: OSError, subprocess.TimeoutExpired.
    """
    lines = host.command(("/usr/sbin/sysctl", *names)).splitlines()
    pairs = (line.partition(": ") for line in lines)
    return {name: value.strip() for name, separator, value in pairs if separator}
