"""A worker process as its other end sees it: frames, its log, and why it ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import IO, Any, Final

from gemmahub.config import debug
from gemmahub.engines import wire
from gemmahub.engines.process import explain_exit, start_python
from gemmahub.engines.program_log import ProgramLog
from gemmahub.errors import BackendCrashed

_PIECE_BYTES: Final = 1 << 16
_PATIENCE_SECONDS: Final = 5.0


class WorkerProcess:
    """A worker process, its log, and why it ended."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._process = start_python("gemmahub.engines.worker")
        self._log = ProgramLog()
        self._closed = False
        self._writing = threading.Lock()
        self._logger = threading.Thread(target=self._keep_log, daemon=True)
        self._logger.start()

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._process.pid

    @property
    def log(self) -> list[str]:
        """The engine's first and last lines."""
        return self._log.lines

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
            with self._writing:
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
        if isinstance(frame, wire.Loaded):
            self._log.settle()
        return frame

    def _keep_log(self) -> None:
        pipe, show = self._process.stderr, debug()
        try:
            while pipe is not None and (data := os.read(pipe.fileno(), _PIECE_BYTES)):
                for text in self._log.feed(data):
                    if show:
                        sys.stderr.write(f"{self._engine}: {text}\n")
        except (OSError, ValueError):
            return  # closed under us
        finally:
            self._log.finish()

    def _crash(self, when: str) -> BackendCrashed:
        try:
            code = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._logger.join(_PATIENCE_SECONDS)  # the last lines are the ones that matter
        how, hint = explain_exit(code)
        reason = self._log.reason()
        message = f"the {self._engine} process {how} {when}"
        return BackendCrashed(f"{message}: {reason}" if reason else message, hint)


def _close_pipe(pipe: IO[bytes] | None) -> None:
    if pipe is None:
        return
    try:
        pipe.close()
    except OSError:
        return  # unsent bytes for a process that is gone
