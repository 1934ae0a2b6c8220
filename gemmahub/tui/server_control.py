"""The server that this application starts: it goes on whichever screen is in front."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gemmahub.errors import Cancelled, GemmahubError
from gemmahub.service.serving.known import DEFAULT_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.service import Library
    from gemmahub.service.serving.starting import OwnServer


class ServerControl:
    """At most one server. Threads write ``server`` and ``error``, from :meth:`start`."""

    def __init__(self, library: Library, port: int = DEFAULT_PORT) -> None:
        self._library = library
        self.port = port
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.server: OwnServer | None = None
        self.error: GemmahubError | None = None
        """Why the last start failed."""

    @property
    def is_starting(self) -> bool:
        """Whether it is on its way."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_on(self) -> bool:
        """Whether it serves, or is about to."""
        server = self.server
        return self.is_starting or (server is not None and server.running)

    def start(self, references: Sequence[str]) -> None:
        """Serve these models, in a thread; nothing where it serves already."""
        if self.is_on:
            return
        self.server = self.error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._start, args=(tuple(references), self._stop), daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Until it serves, or does not; call it in a thread."""
        if self._thread is not None:
            self._thread.join()

    def stop(self) -> None:
        """End it, also while it starts. It takes seconds: call it in a thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self.server is not None:
                self.server.stop()

    def _start(self, references: tuple[str, ...], stop: threading.Event) -> None:
        from gemmahub.service.serving.starting import start_server

        try:
            found = start_server(self._library, references, self.port, cancelled=stop.is_set)
        except Cancelled:
            return
        except Exception as error:  # noqa: BLE001 - the border of a thread
            self.error = GemmahubError.of(error)
            return
        with self._lock:
            self.server = found
