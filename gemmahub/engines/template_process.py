"""The other end of the process that renders chat templates: starts it, watches it, ends it."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config import debug
from gemmahub.engines.contract import Sampling
from gemmahub.engines.json_frames import read_frame, write_frame
from gemmahub.engines.process import start_python
from gemmahub.errors import Cancelled

if TYPE_CHECKING:
    from types import TracebackType

CPU_SECONDS: Final = 2
"""Processor time of all renderings of one conversation; the system counts it in whole seconds."""

WALL_SECONDS: Final = 8.0
"""Time on the clock for the same, with the start of the process."""

MEMORY_BYTES: Final = 64_000_000
"""What a rendering may take beyond the process itself."""

TOO_SLOW: Final = f"it took more than {WALL_SECONDS:.0f} s"
TOO_MUCH_WORK: Final = f"it took more than {CPU_SECONDS} s of CPU time"
TOO_LARGE: Final = f"it needed more than {MEMORY_BYTES // 10**6} MB of memory"

_OWN_BYTES: Final = 64_000_000  # more than the process takes before it renders anything
_LOOK_SECONDS: Final = 0.1
_SIGXCPU: Final = 24  # Linux and macOS; Windows has none


class RenderingStopped(Exception):
    """The rendering was ended; the text says why."""


class TemplateRenderer:
    """A process that renders chat templates, one at a time.

    It is started with the first rendering, or before by :meth:`prepare`, and kept for the next ones
    unless something went wrong in it. ``cancelled`` is set while no rendering is wanted.
    ``asked`` is how the answer shall be, which templates are told along with the messages; whoever
    renders sets it.
    """

    def __init__(self, cancelled: threading.Event | None = None) -> None:
        self.asked = Sampling()
        self._cancelled = cancelled or threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # of the process, not held while it renders
        self._rendering = False
        self._closed = False

    def prepare(self) -> None:
        """Start the process, so that the first rendering need not wait for it."""
        with suppress(RenderingStopped):  # told when there is something to render
            self._start()

    def render(self, request: dict[str, Any], longest: int, seconds: float) -> dict[str, Any]:
        """The answer to a request (see ``template_worker.answer``), in at most ``longest`` bytes.

        Raises: Stopped after ``seconds``, or when the process ended; Cancelled.
        """
        self._rendering = True
        try:
            process = self._start()
            # Asked only now: whoever cancels after this finds a process to end.
            if self._unwanted:
                raise Cancelled("rendering was cancelled", "ask again")
            answer = self._exchange(process, request, longest, seconds)
        except BaseException:  # also an interrupt: after half a frame nothing makes sense
            self._end()
            raise
        finally:
            self._rendering = False
        if answer.get("kind") == "memory" or self._unwanted:  # :meth:`stop` may have come late
            self._end()
        return answer

    def stop(self) -> None:
        """End a running rendering at once; from any thread, after ``cancelled`` was set."""
        process = self._process
        if self._rendering and process is not None:
            process.kill()

    def close(self) -> None:
        """End the process; twice is fine, and from any thread."""
        self._closed = True
        self.stop()
        if not self._rendering:  # else whoever renders does it
            self._end()

    def __enter__(self) -> TemplateRenderer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def _unwanted(self) -> bool:
        return self._closed or self._cancelled.is_set()

    def _exchange(
        self,
        process: subprocess.Popen[bytes],
        request: dict[str, Any],
        longest: int,
        seconds: float,
    ) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        answer = None
        with _Watch(process, request["memory"] + _OWN_BYTES, seconds) as watch:
            try:
                write_frame(process.stdin, request)
                answer = read_frame(process.stdout, longest)
            except (OSError, ValueError, RecursionError):
                process.kill()
        if answer is not None:
            return answer
        process.kill()  # it may live on, and say too much
        code = process.wait()
        if self._unwanted:
            raise Cancelled("rendering was cancelled", "ask again")
        raise RenderingStopped(watch.why or _explain(code))

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                _end(self._process)
                self._process = None
            if self._process is None:
                self._process = _start_process()
            return self._process

    def _end(self) -> None:
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            _end(process)


class _Watch:
    """Ends the process when it takes too long or too much, also where the system sets no limit."""

    def __init__(self, process: subprocess.Popen[bytes], memory: int, seconds: float) -> None:
        self.why = ""
        self._process = process
        self._memory = memory
        self._end = monotonic() + seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._process.kill()
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        # Nearly every rendering is done before the first look.
        while not self._done.wait(_LOOK_SECONDS):
            if monotonic() > self._end:
                self.why = TOO_SLOW
            elif _resident_bytes(self._process.pid) > self._memory:
                self.why = TOO_LARGE
            if self.why:
                self._process.kill()
                return


def _resident_bytes(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has ended


def _explain(code: int) -> str:
    if code == -_SIGXCPU:
        return TOO_MUCH_WORK
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return f"the process that renders it {how}"


def _start_process() -> subprocess.Popen[bytes]:
    # The lifeline of the process is watched by a thread of it, which a single long operation of a
    # template holds up; this signal ends such a one at once. It follows the thread that starts the
    # process, which has to be one that stays.
    signalled = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
    arguments = ["--with-parent"] * signalled
    errors = None if debug() else subprocess.DEVNULL
    try:
        return start_python("gemmahub.engines.template_worker", *arguments, errors=errors)
    except OSError as error:
        raise RenderingStopped(f"no process to render it in can be started ({error})") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:
            continue  # unsent bytes for a process that is gone
