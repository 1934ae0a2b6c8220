"""The use case: a server of models beside this program, which ends with it."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.engines.program import Program, start_program
from gemmahub.errors import BackendCrashed, GemmahubError
from gemmahub.http.limits import ExchangeError
from gemmahub.http.values import NotJson
from gemmahub.service.serving.known import DEFAULT_PORT, known_servers
from gemmahub.text.command import command_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.service.installation import Installation
    from gemmahub.service.serving.known import ServerStatus

_READY_SECONDS: Final = 600.0  # a model that is served alone is loaded first
_PATIENCE: Final = 10.0
_KEPT_LINES: Final = 20
_ERROR: Final = "error"
_HINT: Final = "hint"


@dataclass(frozen=True, slots=True)
class OwnServer:
    """``gemmahub serve`` as a program of ours; ``command`` is what does the same in a shell."""

    program: Program
    command: str

    @property
    def pid(self) -> int:
        """Its process."""
        return self.program.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.program.running

    def stop(self) -> None:
        """End it and its engines; twice is fine."""
        self.program.stop()


def serve_command(references: Sequence[str], port: int = DEFAULT_PORT) -> str:
    """What serves these models, as a shell takes it."""
    return command_line("serve", *references, port=None if port == DEFAULT_PORT else port)


def start_server(
    here: Installation,
    references: Sequence[str],
    port: int = DEFAULT_PORT,
    *,
    cancelled: Callable[[], bool] | None = None,
) -> OwnServer:
    """Serve these models on the loopback address; it is back when they can be asked.

    It ends with this program, also when that is killed, and with :meth:`OwnServer.stop`.

    Raises: GemmahubError with what ``gemmahub serve`` says; LoadFailed when it is not
    ready in ten minutes; Cancelled.
    """
    said: list[str] = []

    def keep(line: str) -> bool:
        said.append(line)
        del said[:-_KEPT_LINES]
        return True

    try:
        program = start_program(
            [sys.executable, "-P", "-m", "gemmahub", "serve", *references, "--port", str(port)],
            name="gemmahub serve",
            ready=lambda started: _answers(here, started.pid),
            ready_seconds=_READY_SECONDS,
            keep=keep,
            patience=_PATIENCE,
            cancelled=cancelled,
        )
    except BackendCrashed:
        message, hint = _failure(said)
        if not message:
            raise
        raise GemmahubError(message, hint) from None
    return OwnServer(program, serve_command(references, port))


def running_servers(here: Installation) -> list[ServerStatus]:
    """What servers of this user say of themselves; one that does not answer is left out."""
    found = []
    for server in known_servers(here.config.data):
        try:
            found.append(server.status())
        except (ExchangeError, NotJson):
            continue
    return found


def _answers(here: Installation, pid: int) -> bool:
    import psutil

    for status in running_servers(here):
        with suppress(psutil.Error):  # where Python is started by a launcher, it is its child
            if pid in (status.pid, psutil.Process(status.pid).ppid()):
                return True
    return False


def _failure(said: Sequence[str]) -> tuple[str, str]:
    """Message and hint of the last error among these lines."""
    found = {}
    for line in said:
        kind, separator, text = line.partition(": ")
        if separator and kind in (_ERROR, _HINT):
            found[kind] = text
    return found.get(_ERROR, ""), found.get(_HINT, "")
