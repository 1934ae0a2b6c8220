"""A session whose engine runs in a worker process.

A native abort or a kill of the engine becomes :class:`~gemmahub.errors.BackendCrashed` with the
engine's last lines; closing the session ends the process, which gives all its memory back.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final

from gemmahub.config import debug
from gemmahub.engines import wire
from gemmahub.engines.contract import SessionBase
from gemmahub.engines.process import explain_exit, start_python
from gemmahub.errors import BackendCrashed, Cancelled, backend_error
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gemmahub.engines.contract import (
        Artifact,
        Chunk,
        OnProgress,
        Prompt,
        Sampling,
        ServedModel,
        SessionInfo,
        Settings,
    )
    from gemmahub.engines.manager import BackendOffer

_LOG_LINES: Final = 200
_PATIENCE_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.1


class WorkerProcess:
    """A worker process, its log, and why it ended."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._process = start_python("gemmahub.engines.worker")
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        self._closed = False
        self._logger = threading.Thread(target=self._keep_log, daemon=True)
        self._logger.start()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def log(self) -> list[str]:
        """The engine's last lines."""
        return list(self._log)

    def close(self) -> None:
        """End the process; it has no state that would be lost."""
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        self._process.wait()
        self._logger.join(_PATIENCE_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            _close_pipe(pipe)

    def kill(self) -> None:
        """End the process from another thread; whoever waits for it hears of a crash."""
        self._process.kill()

    def send(self, record: object) -> None:
        """Raises: BackendCrashed."""
        pipe = self._process.stdin
        try:
            if pipe is not None:
                wire.write_frame(pipe, record)
        except (OSError, ValueError):
            raise self._crash("before it could answer") from None

    def next_frame(self, when: str) -> Any:
        """Wait for the worker's next record. Raises: BackendCrashed, which says ``when``."""
        # Read here and not in a thread: a second thread to wake for each token costs the engine
        # more time than all the rest of this class.
        pipe = self._process.stdout
        try:
            frame = None if pipe is None or pipe.closed else wire.read_frame(pipe)
        except KeyboardInterrupt:
            self._process.kill()  # half a frame may be lost: nothing after it would make sense
            raise
        if frame is None:
            raise self._crash(when)
        return frame

    def _keep_log(self) -> None:
        pipe, show = self._process.stderr, debug()
        try:
            for line in pipe or ():
                self._log.append(text := one_line(line.decode(errors="replace"), 500))
                if show:
                    sys.stderr.write(f"{self._engine}: {text}\n")
        except (OSError, ValueError):
            return  # closed under us

    def _crash(self, when: str) -> BackendCrashed:
        try:
            code = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._logger.join(_PATIENCE_SECONDS)  # the last lines are the ones that matter
        how, hint = explain_exit(code)
        last = " | ".join(line for line in self.log[-3:] if line)
        message = f"the {self._engine} process {how} {when}"
        return BackendCrashed(f"{message}: {last}" if last else message, hint)


class IsolatedSession(WorkerProcess, SessionBase):
    """A loaded model in a worker process. Build it with :func:`load_isolated`."""

    def __init__(self, engine: str) -> None:
        super().__init__(engine)
        self._info: SessionInfo | None = None
        self._answers = 0
        self._running = 0

    @property
    def info(self) -> SessionInfo:
        """What was loaded."""
        if self._info is None:
            raise RuntimeError("the session is not loaded")
        return self._info

    def load(self, request: wire.Load, on_progress: OnProgress | None) -> None:
        """Load the model.

        Raises: BackendError of the backend; BackendCrashed when the process ends.
        """
        self.send(request)
        while True:
            frame = self.next_frame("while loading the model")
            if isinstance(frame, wire.LoadProgress) and on_progress is not None:
                on_progress(frame.fraction)
            elif isinstance(frame, wire.Loaded):
                self._info = frame.info
                return
            elif isinstance(frame, wire.Failed):
                raise backend_error(frame.kind, frame.message, frame.hint)

    def generate(self, prompt: Prompt, sampling: Sampling) -> Iterator[Chunk]:
        """Stream an answer; closing the iterator cancels it."""
        if self._closed:
            raise BackendCrashed("the session is closed", "load the model again")
        self._answers += 1
        number = self._running = self._answers
        self.send(wire.Generate(number, prompt, sampling))
        ended = False
        try:
            while True:
                frame = self.next_frame("in the middle of an answer")
                ended = _ends(frame, number)
                if isinstance(frame, wire.Failed) and ended:
                    raise backend_error(frame.kind, frame.message, frame.hint)
                if ended:
                    return
                self._take_info(frame)
                if isinstance(frame, wire.Piece) and frame.number == number:
                    yield frame.chunk
        except BackendCrashed:
            ended = True
            raise
        finally:
            self._running = 0
            if not ended:
                self._abandon(number)

    def cancel(self) -> None:
        """Ask the engine to stop the running answer; its last chunk then carries the usage."""
        if self._running:
            self.send(wire.Cancel(self._running))

    def _take_info(self, frame: object) -> None:
        """An engine may load more with an answer, and then says so."""
        if isinstance(frame, wire.Loaded):
            self._info = frame.info

    def _abandon(self, number: int) -> None:
        """Cancel an answer nobody wants, so that the next one starts clean."""
        # An engine that does not stop when told to is of no use for the next answer.
        watchdog = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        watchdog.start()
        try:
            self.send(wire.Cancel(number))
            while not _ends(frame := self.next_frame("after a cancel"), number):
                self._take_info(frame)
        except BackendCrashed:
            return  # the next answer says so
        finally:
            watchdog.cancel()


def load_isolated(
    offer: BackendOffer,
    model: Artifact | ServedModel,
    settings: Settings,
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> IsolatedSession:
    """Load a model in a worker process of its own. ``cancelled`` is asked about ten times a second,
    also while the engine says nothing.

    Raises: BackendError of the backend; BackendCrashed when the process ends; Cancelled.
    """
    session = IsolatedSession(offer.backend.name)
    request = wire.Load(offer.plugin, offer.backend.name, model, settings)
    try:
        with _killed_when(cancelled, session):
            session.load(request, on_progress)
        if cancelled is not None and cancelled():  # between two looks, or at the very end
            session.close()
            raise Cancelled("loading was cancelled", "load the model again")
    except BaseException as error:  # also an interrupt: no half-loaded model stays in memory
        session.close()
        if cancelled is not None and isinstance(error, BackendCrashed) and cancelled():
            raise Cancelled("loading was cancelled", "load the model again") from None
        raise
    return session


@contextmanager
def _killed_when(cancelled: Callable[[], bool] | None, worker: WorkerProcess) -> Iterator[None]:
    """Watch for a cancel in a thread of its own, as the caller waits for the worker."""
    if cancelled is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_WATCH_SECONDS):
            if cancelled():
                worker.kill()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _ends(frame: Any, number: int) -> bool:
    """Whether the answer with that number ends with this frame."""
    return isinstance(frame, wire.Done | wire.Failed) and frame.number == number


def _close_pipe(pipe: IO[bytes] | None) -> None:
    if pipe is None:
        return
    try:
        pipe.close()
    except OSError:
        return  # unsent bytes for a process that is gone
