"""Where a server of ours listens: an address and a port, or a Unix socket of this user."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import GemmahubError, UsageError
from gemmahub.http.gate import ANY, LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

_WAITING: Final = 64


@dataclass(frozen=True, slots=True)
class Place:
    """An address of this machine, or ``path`` of a Unix socket in place of it. ``command`` is what
    serves there, for the hints of errors."""

    host: str
    port: int
    command: str
    path: Path | None = None

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return self.path is not None or self.host.lower() in LOOPBACK

    @property
    def url(self) -> str:
        """The address by which clients connect."""
        name = socket.gethostname() if self.host in ANY else self.host
        host = f"[{name}]" if ":" in name else name
        return f"http://{host if self.path is None else 'localhost'}:{self.port}"

    def listen(self) -> socket.socket:
        """A socket that takes connections.

        Raises: UsageError for an address that there is not; GemmahubError for one that is taken, or
        is not this machine's.
        """
        if self.path is None:
            return self._listen_on_port()
        return _unix_socket(self.path, f"{self.command} --port {self.port}")

    def close(self) -> None:
        """Remove what :meth:`listen` left on the disk."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _listen_on_port(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self.host or "-", self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise UsageError(
                f"there is no address {self.host!r}",
                f"use one of this machine's addresses: {self.command} --host 127.0.0.1",
            ) from None
        family, *_, address = found[0]
        try:
            return socket.create_server(address[:2], family=family, backlog=_WAITING)
        except OSError as error:
            raise GemmahubError(
                f"cannot listen on {self.host} port {self.port}: {_reason(error)}",
                f"use another port: {self.command} --port {self.port % 65535 + 1}",
            ) from None


def _reason(error: OSError) -> str:
    """The system's words. ``os.strerror`` knows no error of Windows' sockets (10048), and what
    ``create_server`` raises names the address once more."""
    return (error.strerror or str(error)).partition(" (while attempting")[0]


def _unix_socket(path: Path, instead: str) -> socket.socket:
    """A new Unix socket that only this user may connect to. Raises: UsageError, GemmahubError."""
    if sys.platform == "win32":
        raise UsageError("Python has no Unix sockets on Windows", instead)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # it is never there with other permissions, not even for a moment
    try:
        listener.bind(str(path))
        listener.listen(_WAITING)
    except OSError as error:
        listener.close()
        raise GemmahubError(
            f"cannot listen on {path}: {error.strerror or error}",
            "use a new file name in your own folder, of at most 100 characters",
        ) from None
    finally:
        os.umask(before)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that a program left there when it was killed. Raises: UsageError."""
    if sys.platform == "win32":
        return
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise UsageError(f"the file {path} exists already", "use a new file name")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass
    raise UsageError(f"another program is listening on {path}", "use a new file name")


def end_event() -> asyncio.Event:
    """What is set when this program is asked to end: by Ctrl-C, SIGTERM or a terminal that closes.

    Call it in the event loop of the main thread. On Windows Ctrl-C is an exception.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:  # as under nohup
            continue
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, ended.set)
    return ended
