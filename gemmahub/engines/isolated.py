"""A session whose engine runs in a worker process.

A native abort or a kill of the engine becomes :class:`~gemmahub.errors.BackendCrashed` with the
engine's last lines; closing the session ends the process, which gives all its memory back.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines import wire
from gemmahub.engines.contract import ScoredText
from gemmahub.engines.declared import check_capability, check_request, check_settings
from gemmahub.engines.guarded import checked_answer
from gemmahub.engines.handed_on_scores import HandsOnScores
from gemmahub.engines.thoughts import told_apart
from gemmahub.engines.worker_process import WorkerProcess
from gemmahub.errors import BackendCrashed, Cancelled, backend_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

_PATIENCE_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 0.1


class IsolatedSession(WorkerProcess, HandsOnScores):
    """A loaded model in a worker process. Build it with :func:`load_isolated`.

    Several answers at once come through one pipe: whoever waits for a frame while nobody reads
    reads the next one, and hands it to the answer that it is of.
    """

    def __init__(self, offer: BackendOffer) -> None:
        super().__init__(offer.backend.name)
        self._backend = offer.backend
        self._info: SessionInfo | None = None
        self._count = 0
        self._running: dict[int, deque[Any]] = {}
        self._told = threading.Condition()
        self._reading = False

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
        check_request(self._backend, prompt, sampling)
        frames = self._asked(lambda number: wire.Generate(number, prompt, sampling))
        pieces = (frame.chunk for frame in frames if isinstance(frame, wire.Piece))
        yield from told_apart(pieces)

    def _scored(self, method: str, arguments: tuple[Any, ...]) -> Iterator[ScoredText]:
        check_capability(self._backend, method)
        for frame in self._asked(lambda number: wire.CallSession(number, method, arguments)):
            if isinstance(frame, wire.Yielded):
                yield checked_answer(frame.value, ScoredText, self._engine)

    def embed(self, texts: Sequence[str]) -> Sequence[tuple[float, ...]]:
        """As the engine's."""
        check_capability(self._backend, "embed")
        frames = self._asked(lambda number: wire.CallSession(number, "embed", (tuple(texts),)))
        return [frame.value for frame in frames if isinstance(frame, wire.Yielded)]

    def cancel(self) -> None:
        """Ask the engine to stop what runs; the last chunk of an answer then carries the usage."""
        for number in list(self._running):
            self.send(wire.Cancel(number, everything=True))

    def _asked(self, request: Callable[[int], object]) -> Iterator[Any]:
        """The frames of an answer; leaving it before its end cancels it."""
        if self._closed:
            raise BackendCrashed("the session is closed", "load the model again")
        with self._told:
            self._count += 1
            number = self._count
            self._running[number] = deque()
        ended = False
        try:
            self.send(request(number))
            while True:
                frame = self._frame_of(number, "in the middle of an answer")
                ended = isinstance(frame, wire.Done | wire.Failed)
                if isinstance(frame, wire.Failed):
                    raise backend_error(frame.kind, frame.message, frame.hint)
                if ended:
                    return
                yield frame
        except BackendCrashed:
            ended = True
            raise
        finally:
            if not ended:
                self._abandon(number)
            self._running.pop(number, None)

    def _frame_of(self, number: int, when: str) -> Any:
        """The next frame of one answer. Raises: BackendCrashed."""
        mine = self._running[number]
        while True:
            with self._told:
                while self._reading and not mine:
                    self._told.wait()
                if mine:
                    return mine.popleft()
                self._reading = True
            try:
                frame = self.next_frame(when)
                if isinstance(frame, wire.Loaded):  # an engine may load more with an answer
                    self._info = frame.info
                elif frame.number in self._running:
                    self._running[frame.number].append(frame)
            finally:
                with self._told:
                    self._reading = False
                    self._told.notify_all()

    def _abandon(self, number: int) -> None:
        """Cancel an answer nobody wants, so that the next one starts clean."""
        # An engine that does not stop when told to is of no use for the next answer.
        watchdog = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        watchdog.start()
        try:
            self.send(wire.Cancel(number))
            while not isinstance(self._frame_of(number, "after a cancel"), wire.Done | wire.Failed):
                pass
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
    check_settings(offer.backend, settings)
    session = IsolatedSession(offer)
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
