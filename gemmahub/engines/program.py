"""Engines that are programs: the one way in which such a program is started, watched and ended.

::

    program = start_program(
        lambda port: ["llama-server", "-m", path, "--host", "127.0.0.1", "--port", str(port)],
        environment={"LLAMA_API_KEY": key}, without=("LLAMA_*",), ready=answers_health,
    )
    with program:
        ...  # ask it at program.port; program.crash("...") when it does not answer any more

- It inherits no open file, reads nothing, and is a session of its own: Ctrl-C is not for it.
- What it prints goes to a log (:mod:`gemmahub.engines.program_log`): bounded, for its owner's eyes,
  gone when it has ended, unless it crashed or ``GEMMAHUB_DEBUG=1`` is set.
- It ends with us, also after ``kill -9``, and with it what it started in its process group; see
  :mod:`gemmahub.engines.keeper`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final

from gemmahub.engines.running_program import Program
from gemmahub.errors import Cancelled, LoadFailed, NetworkError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Program", "start_program"]

Words = Sequence[str | os.PathLike[str]]
"""A program and its arguments."""
Command = Words | Callable[[int], Words]

_PORT_TRIES: Final = 5
_PORT_TAKEN: Final = ("already in use", "only one usage of each socket address", "eaddrinuse")
_BIND: Final = ("couldn't bind", "could not bind", "cannot bind", "failed to bind", "bind failed")
_FIRST_LOOK, _SLOWEST_LOOK = 0.02, 0.25  # seconds between two checks whether it is ready
_LATE: Final = 0.05  # of the time that a start takes may pass before it is seen


def start_program(
    command: Command,
    *,
    name: str = "",
    ready: Callable[[Program], bool] | None = None,
    ready_seconds: float = 120.0,
    environment: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    folder: Path | None = None,
    keep: Callable[[str], bool] | None = None,
    stop: Callable[[Program], object] | None = None,
    patience: float = 5.0,
    cancelled: Callable[[], bool] | None = None,
) -> Program:
    """Start a program, and come back when it is ready.

    ``command`` is the program and its arguments, or makes them for a free loopback port; where the
    program says that the port is taken, it is started again with another one. ``name`` is what it
    is called in messages and in the log's name (default: the program's own).

    ``ready`` is asked from 50 to 4 times a second, for at most ``ready_seconds``; OSError and
    NetworkError, such as a refused connection, count as not yet. Let it give up its own question
    within a second. Without it a program with a port is ready when something listens there,
    another one at once. ``cancelled`` is asked as often.

    ``environment`` is added to this program's, of which the variables that match ``without``
    (``LLAMA_*``) are left out. ``folder`` is what it runs in (default: as this program): one that
    looks for libraries in its current folder must not find a stranger's there. ``keep`` says of a
    line whether it may be logged. ``stop`` is what asks the program to end (default: SIGTERM);
    after ``patience`` seconds it is killed.

    Raises: BackendMissing when it cannot be started; BackendCrashed when it ends before it is
    ready; LoadFailed when it is not ready in time; Cancelled.
    """
    has_port = callable(command)
    for left in reversed(range(_PORT_TRIES if has_port else 1)):
        port = _free_port() if has_port else None
        words = _words(command, port)
        program = Program(
            words,
            _environment(environment or {}, without),
            name=name or Path(words[0]).name,
            port=port,
            folder=folder,
            keep=keep,
            stop=stop,
            patience=patience,
        )
        try:
            check = ready or (_listens if has_port else _is_there)
            is_ready = _until_ready(program, check, ready_seconds, cancelled)
        except BaseException:  # also an interrupt: nothing half-started stays
            program.kill()
            raise
        if is_ready:
            program.log.settle()
            return program
        if not left or not _says_port_taken(program):
            break
        program.kill()
    raise program.crash("before it was ready")


def _until_ready(
    program: Program,
    ready: Callable[[Program], bool],
    seconds: float,
    cancelled: Callable[[], bool] | None,
) -> bool:
    """False when the program ended. Raises: LoadFailed after so many seconds; Cancelled."""
    begin = monotonic()
    while True:
        if cancelled is not None and cancelled():
            raise Cancelled("loading was cancelled", "load the model again")
        with suppress(OSError, NetworkError):
            if ready(program):
                return True
        passed = monotonic() - begin
        if program.wait(min(max(_FIRST_LOOK, _LATE * passed), _SLOWEST_LOOK)):
            return False
        if passed > seconds:
            told = f"{program.name} was not ready after {seconds:.0f} s"
            raise LoadFailed(
                *program.with_reason(told, "try again, with a smaller model or context")
            )


def _listens(program: Program) -> bool:
    with socket.create_connection(("127.0.0.1", program.port or 0), timeout=1):
        return True


def _is_there(program: Program) -> bool:
    return program.running


def _words(command: Command, port: int | None) -> list[str]:
    words = command(port or 0) if callable(command) else command
    return [os.fspath(word) for word in words]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _says_port_taken(program: Program) -> bool:
    lines = [line.casefold() for line in program.log.lines]
    return any(sign in line for line in lines for sign in (*_PORT_TAKEN, *_BIND))


def _environment(added: Mapping[str, str], without: Sequence[str]) -> dict[str, str]:
    patterns = [pattern.upper() for pattern in without]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(fnmatchcase(name.upper(), pattern) for pattern in patterns)
    }
    return kept | dict(added)
