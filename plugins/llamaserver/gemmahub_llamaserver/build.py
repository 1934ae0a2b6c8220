"""What a ``llama-server`` says of itself: its version, its arguments, its devices.

Version and arguments are asked for once and remembered, by the program's path, size and time of
change. A program that is none, is too old, lacks its libraries or hangs is told by its reason.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from gemmahub.config import cache_folder
from gemmahub.engines.contract import EngineDevice
from gemmahub.engines.process import explain_exit
from gemmahub.errors import BackendMissing
from gemmahub.python_environment import install_command
from gemmahub.records.whole_file import write_whole
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKED_COMMIT: Final = "86a2835"
"""The commit of llama.cpp that all figures and tests of this plugin were made with."""

ASK_SECONDS: Final = 1.5
"""For one question; all of ``availability()`` has 2 s."""
DEVICES_SECONDS: Final = 20.0
"""The driver of a GPU may take seconds to start."""

NEEDED: Final = ("--flash-attn", "--parallel", "--cache-type-k", "--gpu-layers", "--batch-size")
"""Arguments without which nothing can be loaded as it was planned."""

_CACHE_FILE: Final = "llama-server-builds.json"
_MOST_BYTES: Final = 1 << 20
_MOST_BUILDS: Final = 16
_ARGUMENT: Final = re.compile(r"(?<![\w-])(--?[a-z][a-z0-9-]*)(?![\w-])")
_VERSION: Final = re.compile(
    r"^version: (?P<text>.*?\b(?P<commit>[0-9a-f]{7,40}|unknown)\)).*$", re.MULTILINE
)
_NUMBER: Final = re.compile(r"build (\d{1,9})\b|^(\d{1,9}) \(")
_DEVICE: Final = re.compile(
    r"^\s+(?P<name>\w+): (?P<what>.+?)"
    r"(?: \((?P<total>\d{1,12}) MiB, (?P<free>\d{1,12}) MiB free\))?$",
    re.MULTILINE,
)
_APIS: Final = {"mtl": "metal", "hip": "rocm"}
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Build:
    """A program that is a llama-server: how it is called, and what it says of itself.

    ``origin`` says where it was found. ``number`` is that of llama.cpp's releases, 0 where the
    build has none. ``arguments`` are all that ``--help`` names.
    """

    command: tuple[str, ...]
    origin: str
    commit: str
    number: int
    arguments: frozenset[str]

    @property
    def version(self) -> str:
        """As shown: ``b9123 (86a2835)``, or the commit alone."""
        return f"b{self.number} ({self.commit})" if self.number else self.commit


def read_build(command: Sequence[str], origin: str) -> Build:
    """The build of a program; asks it, unless it was asked before.

    Raises: BackendMissing, which says what is wrong with it.
    """
    key = _key(command)
    told = _remembered().get(key) if key else None
    if not _is_told(told):
        told = _ask_build(command)
        if key:
            _remember(key, told)
    return Build(
        tuple(command), origin, told["commit"], told["number"], frozenset(told["arguments"])
    )


def read_devices(build: Build, workers: Sequence[str] = ()) -> list[EngineDevice]:
    """The processor and the devices that this build can use, as ``--list-devices`` tells them,
    those of ``workers`` (``HOST:PORT``) among them.

    Raises: BackendMissing.
    """
    found = [EngineDevice("CPU", "cpu")]
    words = [*(("--rpc", ",".join(workers)) if workers else ()), "--list-devices"]
    for match in _DEVICE.finditer(_ask(build.command, words, DEVICES_SECONDS)):
        name = match["name"]
        interface = re.match(r"[a-z]*", name.casefold())
        api = interface[0] if interface else ""
        total, free = (
            None if match[k] is None else int(match[k]) * _MIB for k in ("total", "free")
        )
        what = one_line(match["what"], 100)
        found.append(EngineDevice(name, _APIS.get(api, api), what, "", total or None, free))
    return found


def _ask_build(command: Sequence[str]) -> dict[str, Any]:
    version = _VERSION.search(_ask(command, ["--version"], ASK_SECONDS))
    if version is None:
        raise _unusable(command, "it is not llama-server: --version says something else")
    number = _NUMBER.search(version["text"])
    count = int(next(filter(None, number.groups()))) if number else 0
    # A package that was built outside of llama.cpp's own releases says 1, or 0.
    told = {"commit": version["commit"], "number": count if count > 1 else 0}
    arguments = set(_ARGUMENT.findall(_ask(command, ["--help"], ASK_SECONDS)))
    missing = [name for name in NEEDED if name not in arguments]
    if missing:
        raise _unusable(
            command, f"it is too old ({version['text']}): it has no {', '.join(missing)}"
        )
    return {**told, "arguments": sorted(arguments)}


def _ask(command: Sequence[str], arguments: Sequence[str], seconds: float) -> str:
    """What it prints on either output. Raises: BackendMissing when it fails."""
    argument = arguments[-1]
    try:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            cwd=own_folder(command[0]),
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unusable(command, f"it cannot be started: {reason}") from None
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise _unusable(command, f"it does not answer {argument} within {seconds:g} s") from None
    finally:
        _end(process)
    text = out[:_MOST_BYTES].decode(errors="replace")
    if process.returncode:
        how, _ = explain_exit(process.returncode)
        said = one_line(text.strip().splitlines()[0] if text.strip() else "", 200)
        raise _unusable(command, f"{argument}: it {how}" + (f": {said}" if said else ""))
    return text


def own_folder(program: str) -> Path:
    """Where a program runs: llama.cpp loads libraries such as ``libggml-cuda.so`` from its own
    folder, and from the current one, where a stranger may have left some."""
    return Path(program).resolve().parent


def added_environment() -> dict[str, str]:
    """What a program gets besides, as far as the user has not set it."""
    wanted = {
        "GGML_NO_BACKTRACE": "1",  # else a crash starts a debugger
        "GOMP_SPINCOUNT": "1000",  # waiting threads sleep after microseconds, not milliseconds
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # CUDA0 is then what all other tools call number 0
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _environment() -> dict[str, str]:
    """This program's environment without what llama.cpp takes for arguments (``LLAMA_ARG_*``)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LLAMA_")}
    return kept | added_environment()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of it stays, also where it started something of its own."""
    with suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _unusable(command: Sequence[str], reason: str) -> BackendMissing:
    return BackendMissing(
        f"{one_line(' '.join(command))} cannot be used: {one_line(reason, 400)}",
        f"install a newer llama.cpp, or `{install_command('gemmahub[server]')}`",
    )


# --- remembered answers ------------------------------------------------------------------------


def _key(command: Sequence[str]) -> str:
    """What changes when the program does; empty where it cannot be looked at."""
    try:
        path = Path(command[0]).resolve(strict=True)
        status = path.stat()
    except OSError:
        return ""
    return "|".join((str(path), *command[1:], str(status.st_size), str(status.st_mtime_ns)))


def _remembered() -> dict[str, Any]:
    try:
        with (cache_folder() / _CACHE_FILE).open("rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_told(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a remembered answer is one: the file is anybody's who can write it."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("commit"), str)
        and isinstance(value.get("number"), int)
        and isinstance(value.get("arguments"), list)
        and all(isinstance(name, str) for name in value["arguments"])
    )


def _remember(key: str, told: dict[str, Any]) -> None:
    """Keep it with the newest others; a folder that cannot be written to only costs time."""
    others = [(name, value) for name, value in _remembered().items() if name != key]
    kept = dict([*others[1 - _MOST_BUILDS :], (key, told)])
    with suppress(OSError):
        write_whole(cache_folder() / _CACHE_FILE, json.dumps(kept))
