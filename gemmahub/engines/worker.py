"""The worker process: hosts one session of an engine that runs inside Python, or asks its backend.

Run as ``python -m gemmahub.engines.worker``. Frames come on standard input and leave on what was
standard output; whatever the engine itself prints, on either stream, goes to standard error, which
the other end keeps as the engine's log. The process ends when standard input does, so that no
worker outlives the program that started it.
"""

from __future__ import annotations

import functools
import os
import queue
import signal
import sys
import threading
from contextlib import closing
from typing import IO, TYPE_CHECKING, Any

from gemmahub.engines.guarded import closable, foreign_error, whole
from gemmahub.engines.wire import (
    Ask,
    CallSession,
    Cancel,
    Done,
    Failed,
    Generate,
    Load,
    Loaded,
    LoadProgress,
    Piece,
    Returned,
    Yielded,
    read_frame,
    write_frame,
)
from gemmahub.errors import BackendError, GenerationFailed, LoadFailed

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend, Session, SessionInfo
    from gemmahub.engines.manager import PluginManager


def main() -> None:
    """Serve one session until the other end hangs up."""
    inbox, outbox = _take_pipes()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, which then cancels
    _Worker(inbox, outbox).run()


def _take_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Keep the two pipes for ourselves, and point the engine's output at standard error."""
    inbox, outbox = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return os.fdopen(inbox, "rb"), os.fdopen(outbox, "wb")


class _Worker:
    def __init__(self, inbox: IO[bytes], outbox: IO[bytes]) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._writing = threading.Lock()
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._engine = ""
        self._parallel = False
        self._session: Session | None = None
        self._running: set[int] = set()
        self._cancels: dict[int, Cancel] = {}

    def run(self) -> None:
        request = read_frame(self._inbox)
        if not isinstance(request, Load | Ask):
            return
        threading.Thread(target=self._listen, daemon=True).start()
        if isinstance(request, Load):
            self._hold(request)
        while isinstance(request, Ask):
            self._ask(request)
            request = self._requests.get()

    def _hold(self, load: Load) -> None:
        """Returned with one session until the other end hangs up."""
        self._engine = load.backend
        session = self._load(load)
        if session is None:
            return
        self._session = session
        with session:
            self._send(Loaded(session.info))
            while isinstance(request := self._requests.get(), Generate | CallSession):
                if self._parallel:
                    arguments = (session, request)
                    threading.Thread(target=self._answer, args=arguments, daemon=True).start()
                else:
                    self._answer(session, request)

    def _listen(self) -> None:
        """Take requests while the engine is busy; a cancel does not wait for its turn."""
        while (record := read_frame(self._inbox)) is not None:
            if isinstance(record, Cancel):
                self._cancels[record.number] = record
                if record.number in self._running:
                    self._stop_engine(record.number)
            else:
                self._requests.put(record)
        # Nobody listens any more: an engine in the middle of a long computation would not notice.
        os._exit(0)

    def _stop_engine(self, number: int) -> None:
        """Tell the engine, unless it would stop the answers of others, too."""
        if self._session is not None and (self._cancels[number].everything or not self._parallel):
            self._session.cancel()

    def _load(self, load: Load) -> Session | None:
        def report(fraction: float) -> None:
            self._send(LoadProgress(fraction))

        try:
            backend = _find_backend(load.plugin, load.backend)
            self._parallel = "parallel" in backend.capabilities
            session = backend.load(load.model, load.settings, report)
            session.info  # noqa: B018 - what is no session fails here
            return session
        except Exception as error:  # noqa: BLE001 - the process border: errors travel as records
            self._send(_failure(0, error, LoadFailed, f"{load.backend} failed while loading"))
            return None

    def _ask(self, ask: Ask) -> None:
        def report(fraction: float) -> None:
            self._send(LoadProgress(fraction))

        try:
            method = getattr(_find_backend(ask.plugin, ask.backend), ask.method)
            value = method(*ask.arguments, *((report,) if ask.reports else ()))
            if ask.method == "serve":
                self._server = value  # for as long as this process lives
                value = (value.address, value.info)
            self._send(Returned(value))
        except Exception as error:  # noqa: BLE001 - the process border: errors travel as records
            what = f"{ask.backend} failed at {ask.method}()"
            self._send(_failure(0, error, LoadFailed, what))

    def _answer(self, session: Session, request: Generate | CallSession) -> None:
        number = request.number
        self._running.add(number)
        told = session.info
        try:
            if isinstance(request, Generate):
                self._generate(session, request)
            else:
                self._call(session, request)
            self._tell(session, told)
            self._send(Done(number))
        except Exception as error:  # noqa: BLE001 - the process border: errors travel as records
            what = f"{self._engine} failed while answering"
            self._tell(session, told)
            self._send(_failure(number, error, GenerationFailed, what))
        finally:
            self._running.discard(number)
            self._cancels.pop(number, None)

    def _generate(self, session: Session, request: Generate) -> None:
        number = request.number
        with closing(closable(session.generate(request.prompt, request.sampling))) as chunks:
            if number in self._cancels:
                self._stop_engine(number)  # it came before there was an answer to stop
            for chunk in chunks:
                self._send(Piece(number, whole(chunk)))
                if number in self._cancels and chunk.usage is None:
                    self._stop_engine(number)
                    if not _ends_soon(chunks, number, self._send):
                        break

    def _call(self, session: Session, request: CallSession) -> None:
        """Another method of the session: what it returns, item by item."""
        found = getattr(session, request.method)(*request.arguments)
        with closing(closable(found)) as items:
            for item in items:
                self._send(Yielded(request.number, item))
                if request.number in self._cancels:
                    break

    def _tell(self, session: Session, told: SessionInfo) -> None:
        """Send what is loaded, if the answer changed it."""
        if session.info != told:
            self._send(Loaded(session.info))

    def _send(self, record: object) -> None:
        try:
            with self._writing:
                write_frame(self._outbox, record)
        except OSError:
            os._exit(0)


def _ends_soon(chunks: Any, number: int, send: Any) -> bool:
    """After a cancel: pass on the last chunk when the backend ends by itself.

    Returns False when it goes on talking; closing its iterator then stops it.
    """
    for chunk in chunks:
        if chunk.usage is not None:
            send(Piece(number, whole(chunk)))
            return True
        return False
    return True


def _find_backend(plugin: str, name: str) -> Backend:
    return _plugin(plugin).backend(name).backend


@functools.cache
def _plugin(name: str) -> PluginManager:
    from gemmahub.engines.manager import load_plugins

    return load_plugins(only=[name])


def _failure(number: int, error: Exception, kind: type[BackendError], what: str) -> Failed:
    if not isinstance(error, BackendError):
        import traceback

        traceback.print_exception(error)  # into the engine's log
        error = foreign_error(kind, what, error)
    return Failed(number, error.kind, error.message, error.hint)


if __name__ == "__main__":
    main()
