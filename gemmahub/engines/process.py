"""How a child process that runs Python of ours is started: here, and nowhere else.

Such a process

- finds no module in the current folder (``-P``, and no relative entry of ``PYTHONPATH``): a
  ``textual.py`` that a stranger left there must not run;
- sees no ``PYTHON*`` variable that changes how an interpreter behaves, only those that say where
  its files are;
- inherits no open file but its three pipes and the lifeline, and is a session of its own, on
  Windows with a console of its own: Ctrl-C on the terminal is for the program, which then ends it;
- ends with the program that started it, however that ends. The lifeline is a pipe that nobody
  writes to: the system closes its other end when the program is gone, also after ``kill -9``. A
  parent-death signal (``PR_SET_PDEATHSIG``) would not do: it follows the thread that forked.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio.subprocess
    from collections.abc import Mapping

_KEPT: Final = frozenset(
    {
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONFAULTHANDLER",
        "PYTHONHOME",
        "PYTHONNOUSERSITE",
        "PYTHONPATH",
        "PYTHONPYCACHEPREFIX",
        "PYTHONUSERBASE",
        "PYTHONUTF8",
    }
)
_FIRST_FREE: Final = 3  # after standard input, output and error
# Windows has no sessions: Ctrl-C goes to every process of a console, so a child of ours gets one of
# its own, without a window. subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW,
# which other systems do not have ("Process Creation Flags", Microsoft).
_OWN_CONSOLE: Final = 0x200 | 0x08000000
_REPORT: Final = "try again; if it happens again, report it with the engine's log"
# How a program ends on Windows when the system ends it: [MS-ERREF] 2.3.1, NTSTATUS values.
_WINDOWS_ENDS: Final = {
    0xC0000005: ("died of an access violation", _REPORT),
    0xC000001D: (
        "died of an illegal instruction",
        "this build needs a newer processor: install one that is made for this one",
    ),
    0xC0000017: (
        "had no memory left",
        "try a smaller --ctx-size or a smaller variant",
    ),
    0xC00000FD: ("died of a stack overflow", _REPORT),
    0xC0000135: (
        "found a library missing (DLL)",
        "install Microsoft's Visual C++ Redistributable; a build for a GPU needs its libraries",
    ),
    0xC000013A: ("was ended by Ctrl-C, or its console was closed", "try again"),
    0xC0000409: (
        "aborted (fail fast)",
        "the engine gave up on this model or these settings; try others",
    ),
}


def start_python(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    errors: int | None = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Run a module of ours with pipes; ``environment`` is added to this program's own, and
    ``errors`` is where standard error goes, as ``subprocess`` has it.

    Raises: OSError.
    """
    command, options = _prepared(module, arguments, environment)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, **options)


async def start_python_in_loop(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """As :func:`start_python`, with pipes of the running event loop. Raises: OSError."""
    import asyncio

    command, options = _prepared(module, arguments, environment)
    pipe = subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, **options
    )


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` without what changes how Python behaves or where it looks first."""
    found = {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith("PYTHON") or name.upper() in _KEPT
    }
    paths = [path for path in found.pop("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(path)]  # noqa: PTH117 - a str
    return found | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def explain_exit(code: int) -> tuple[str, str]:
    """How a process ended, in words after its name, and what to do next."""
    if (known := _WINDOWS_ENDS.get(code & 0xFFFFFFFF)) is not None:
        return known
    if code >= 0:
        return f"ended with exit code {code}", "GEMMAHUB_DEBUG=1 shows the engine's log"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL":
        return (
            "was killed (SIGKILL)",
            "the system may have run out of memory: try a smaller --ctx-size or a smaller variant",
        )
    if name == "SIGABRT":
        return "aborted (SIGABRT)", "the engine rejected this model or these settings; try others"
    return (
        f"was ended by signal {name}",
        "try again; if it happens again, report it with the engine's log",
    )


def _prepared(
    module: str, arguments: tuple[str, ...], environment: Mapping[str, str] | None
) -> tuple[list[str], dict[str, Any]]:
    """The command, and what ``subprocess`` is to be told."""
    lifeline, options = _handed_down(_lifeline())
    # An interpreter that ignores its environment starts others that do.
    flags = ["-E"] * sys.flags.ignore_environment + ["-s"] * sys.flags.no_user_site
    child = ["-m", "gemmahub.engines.child", str(lifeline), module, *arguments]
    return [sys.executable, "-P", *flags, *child], {
        "env": clean_environment({**os.environ, **(environment or {})}),
        "close_fds": True,
        **options,
    }


def _handed_down(lifeline: int) -> tuple[int, dict[str, Any]]:
    """What a child calls the lifeline, and how it gets it."""
    if sys.platform != "win32":
        return lifeline, {"pass_fds": (lifeline,), "start_new_session": True}
    import msvcrt

    handle = msvcrt.get_osfhandle(lifeline)
    os.set_handle_inheritable(handle, True)
    info = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
    return handle, {"startupinfo": info, "creationflags": _OWN_CONSOLE}


_ends: list[int] = []


@functools.cache
def _lifeline() -> int:
    """The end to read of this program's lifeline: one pipe for all its children. The other end is
    open for as long as the program runs."""
    ends = [_above_standard(end) for end in os.pipe()]
    _ends.extend(ends)
    return ends[0]


def _above_standard(end: int) -> int:
    """Where a program was started with standard input closed, its number is given to a pipe."""
    lower = []
    while end < _FIRST_FREE:
        lower.append(end)
        end = os.dup(end)
    for number in lower:
        os.close(number)
    return end


def _forget_lifeline() -> None:
    """In a fork of this program: what it starts is its own, and our children are not."""
    while _ends:
        os.close(_ends.pop())
    _lifeline.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lifeline)
