"""A program that was started: what it prints, whether it runs, and its end.

Three threads know of it: one takes what it prints, one waits for its end, and whoever uses it. The
process in between is that of :mod:`gemmahub.engines.keeper`.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from gemmahub.config import cache_folder, debug
from gemmahub.engines.json_frames import read_frame, write_frame
from gemmahub.engines.process import explain_exit, start_python
from gemmahub.engines.program_log import ProgramLog, open_log
from gemmahub.errors import BackendCrashed, BackendMissing
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

LOG_FOLDER: Final = "program-logs"
"""In gemmahub's cache folder."""
_END_SECONDS: Final = 5.0
_REPORT_BYTES: Final = 10_000
_KILLED: Final = -9


class Program:
    """A running program. Build it with :func:`start_program`; a context manager that stops it.

    ``port`` is the one that was found for it, ``log`` what it prints, ``pid`` its process id.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        name: str,
        port: int | None,
        folder: Path | None,
        keep: Callable[[str], bool] | None,
        stop: Callable[[Program], object] | None,
        patience: float,
    ) -> None:
        """Raises: BackendMissing when it cannot be started."""
        self.name, self.port = name, port
        self.log = ProgramLog(keep, open_log(cache_folder() / LOG_FOLDER, name))
        self._first_step, self._patience = stop, patience
        self._ended = threading.Event()
        self._code: int | None = None
        self._finishing = threading.Lock()
        self._owner = os.getpid()
        self._keeper: Any = None
        try:
            self.pid = self._start(command, environment, folder)
        except BaseException:
            self._close()
            self._remove_log()
            raise
        _running.add(self)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return not self._ended.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it has ended, at most so long; whether it has."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """Ask it to end, and kill it when its patience is over; twice is fine, from any thread."""
        if self.running:
            self._ask()
            self.wait(self._patience)
        self.kill()

    def kill(self) -> None:
        """End it, and what it started, at once."""
        self._end(keep_log=debug())

    def crash(self, when: str) -> BackendCrashed:
        """What to raise when it does not answer any more: how it ended, ``when``, and the lines of
        its log with the reason. One that still runs is ended."""
        how, hint = "does not answer", "try again"
        if self.wait(_END_SECONDS):
            how, hint = explain_exit(_KILLED if self._code is None else self._code)
        return BackendCrashed(*self.with_reason(f"the {self.name} process {how} {when}", hint))

    def with_reason(self, message: str, hint: str) -> tuple[str, str]:
        """Message and hint of a failure, with the reason that its log tells and the log's place.

        The program is ended, and its log stays.
        """
        self._end(keep_log=True)
        reason, file = self.log.reason(), self.log.file
        if file is not None and file.path.exists():
            hint = f"its log is {file.path}" + (f"; {hint}" if "GEMMAHUB_DEBUG" not in hint else "")
        return f"{message}: {reason}" if reason else message, hint

    def _start(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path | None
    ) -> int:
        program = shutil.which(command[0], path=environment.get("PATH"))
        if program is None:
            raise BackendMissing(
                f"there is no program {one_line(command[0])!r}", "install it, or name its path"
            )
        file = self.log.file
        order = {
            "command": [program, *command[1:]],
            "environment": dict(environment),
            "folder": "" if folder is None else str(folder),
            "leftover": "" if file is None or debug() else str(file.path),
        }
        self._keeper = start_python("gemmahub.engines.keeper")
        self._logger = threading.Thread(target=self._keep_log, daemon=True)
        self._logger.start()
        try:
            write_frame(self._keeper.stdin, order)
            told = read_frame(self._keeper.stdout, _REPORT_BYTES) or {"error": "it was killed"}
            if "error" in told:
                raise BackendMissing(
                    f"cannot start {one_line(command[0])}: {told['error']}",
                    "reinstall it, or choose another one",
                )
        except BaseException:  # also an interrupt
            self._keeper.stdin.close()  # which ends it
            self._keeper.wait()
            self._logger.join(_END_SECONDS)
            raise
        threading.Thread(target=self._watch, args=(told["pid"],), daemon=True).start()
        return int(told["pid"])

    def _watch(self, pid: int) -> None:
        """Wait for its end; where the keeper is killed, end the program."""
        with suppress(OSError, ValueError):
            told = read_frame(self._keeper.stdout, _REPORT_BYTES)
            self._code = None if told is None else int(told["code"])
        if self._code is None and sys.platform != "win32":
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        self._keeper.wait()
        self._logger.join(_END_SECONDS)  # its last lines are the ones that matter
        self._ended.set()

    def _keep_log(self) -> None:
        pipe = self._keeper.stderr
        with suppress(OSError, ValueError):
            while piece := os.read(pipe.fileno(), 65536):
                self._show(self.log.feed(piece))
        self._show(self.log.finish())

    def _show(self, lines: Iterable[str]) -> None:
        if debug():
            for line in lines:
                sys.stderr.write(f"{self.name}: {line}\n")

    def _ask(self) -> None:
        if self._first_step is not None:
            with suppress(Exception):  # a plugin's; whatever it does, the program ends
                self._first_step(self)
            return
        with self._finishing, suppress(OSError, ValueError):
            self._keeper.stdin.write(b"s")
            self._keeper.stdin.flush()

    def _end(self, *, keep_log: bool) -> None:
        """End it, and close what is open. Only the first call decides about the log."""
        if self._owner != os.getpid():  # a fork of ours: it is not its own
            return
        with self._finishing:
            if self not in _running:
                return
            with suppress(OSError):
                self._keeper.stdin.close()  # the keeper ends its group
            if not self.wait(_END_SECONDS):
                self._keeper.kill()  # then the watcher does
                self.wait(_END_SECONDS)
            _running.discard(self)
            self._close()
            if self.log.file is not None and keep_log:
                self.log.file.keep_as(datetime.now().strftime("%Y%m%d-%H%M%S-%f"))
            else:
                self._remove_log()

    def _close(self) -> None:
        if self._keeper is not None:
            for pipe in (self._keeper.stdin, self._keeper.stdout, self._keeper.stderr):
                with suppress(OSError):
                    pipe.close()

    def _remove_log(self) -> None:
        if self.log.file is not None:
            self.log.file.remove()


_running: set[Program] = set()


@atexit.register
def _stop_all() -> None:
    """At the end of this program: ask all, then wait for each."""
    programs = [program for program in tuple(_running) if program._owner == os.getpid()]
    for program in programs:
        program._ask()
    for program in programs:
        program.stop()
