"""The process that holds a program: the program ends with it, and it ends with us.

Run as a child of ours by :mod:`gemmahub.engines.program`. A foreign program cannot watch a
lifeline, so this process does, and kills the program's process group when it closes.

- Standard input: a frame with the :class:`Order`; then bytes, each of which asks the program to end
  (SIGTERM). The end of the input kills it.
- Standard output: frames, ``{"pid": 1}`` or ``{"error": "..."}``, and ``{"code": 0}`` at the end.
- Standard error: what the program prints.

Where this process itself is killed, the other end sees its output end and kills the group. Should
both be killed at the same moment, Linux kills the program: its parent-death signal follows the
main thread of this process, which lives as long as the process. On Windows a Job Object does the
same. On macOS nothing does, and on Linux nothing ends the program's own children then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypedDict

from gemmahub.engines.child import before_the_end
from gemmahub.engines.json_frames import read_frame, write_frame

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_BYTES: Final = 4_000_000
"""Of an order: the environment is most of it."""
_STEP_SECONDS: Final = 0.05
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class Order(TypedDict):
    """What is to be started. ``folder`` is where, ``leftover`` a file to remove when we are gone;
    each may be empty."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    leftover: str


class _Keeper:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # held while it is started and while it is reaped

    def start(self) -> int:
        """The program's process id. Raises: OSError; ValueError."""
        options: dict[str, Any] = {}
        if sys.platform == "win32":
            from gemmahub.engines.windows_job import join_job

            join_job()
            options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
        elif sys.platform == "linux":
            options["preexec_fn"] = _dies_with_us()
        with self._lock:
            self._process = subprocess.Popen(
                self._order["command"],
                env=self._order["environment"],
                cwd=self._order["folder"] or None,
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),
                start_new_session=True,
                **options,
            )
        return self._process.pid

    def ask(self) -> None:
        """Ask the program to end."""
        with self._lock, suppress(OSError):  # it may have ended
            if self._process is None:
                return
            if sys.platform == "win32":  # nothing there asks a program without a window
                self._process.terminate()
            else:  # Popen's own way would reap it
                os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the program and what it started."""
        with self._lock:
            self._kill_group()

    def wait(self) -> int:
        """The program's exit code; what it started has ended then, too."""
        process = self._process
        assert process is not None
        if hasattr(os, "waitid"):  # while it is not reaped, nobody else can have its number
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        elif sys.platform == "win32":
            process.wait()  # its handle is open, and its number with it
        else:
            self._wait_in_steps(process)
        with self._lock:
            self._kill_group()
            self._process = None
        return process.wait()

    def _wait_in_steps(self, process: subprocess.Popen[bytes]) -> None:
        """macOS has ``waitid`` since Python 3.13. Reaped under the lock, it cannot be asked to end
        when its number may be another program's."""
        while True:
            with self._lock:
                if process.poll() is not None:
                    self._kill_group()
                    self._process = None
                    return
            time.sleep(_STEP_SECONDS)

    def clean_up(self) -> None:
        """What is left to do when the program that started us is gone."""
        if leftover := self._order["leftover"]:
            with suppress(OSError):
                os.unlink(leftover)  # noqa: PTH108 - nothing else here needs pathlib
        self.kill()  # the last step: this process ends with the program

    def _kill_group(self) -> None:
        if self._process is None:
            return
        if sys.platform == "win32":
            self._process.kill()  # the job ends the rest
        else:
            with suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _dies_with_us() -> Callable[[], None]:
    """What the program does before it becomes itself: it asks for the parent-death signal."""
    import ctypes
    import warnings

    # The only other thread here sits in a read, and holds no lock.
    warnings.simplefilter("ignore", DeprecationWarning)
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_for_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it has ended since
            os._exit(1)

    return ask_for_signal


def main() -> None:
    """Hold one program until it ends, or we do."""
    order: Any = read_frame(sys.stdin.buffer, MOST_BYTES)
    if order is None:
        return
    keeper = _Keeper(order)
    before_the_end(keeper.clean_up)
    try:
        pid = keeper.start()
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the command
        _tell(error=getattr(error, "strerror", None) or str(error))
        return
    threading.Thread(target=_obey, args=(keeper,), daemon=True).start()
    _tell(pid=pid)
    if not _tell(code=keeper.wait()):
        keeper.clean_up()
    os._exit(0)  # a thread may sit in a read of standard input


def _obey(keeper: _Keeper) -> None:
    while sys.stdin.buffer.read(1):
        keeper.ask()
    keeper.kill()


def _tell(**told: object) -> bool:
    """Whether somebody is there to hear it."""
    try:
        write_frame(sys.stdout.buffer, told)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
