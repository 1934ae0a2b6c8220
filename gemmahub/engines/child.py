"""What a child process that runs Python of ours starts with: first its lifeline, then the module.

Run as ``python -P -m gemmahub.engines.child LIFELINE MODULE [ARGUMENT ...]`` by
:mod:`gemmahub.engines.process`.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_last_steps: list[Callable[[], None]] = []


def before_the_end(step: Callable[[], None]) -> None:
    """Call ``step`` when the program that started this process is gone; then the process ends.

    It is called in a thread of its own.
    """
    _last_steps.append(step)


def main() -> None:
    """Run a module as a program that ends with the one that started it."""
    lifeline, module = sys.argv[1:3]
    del sys.argv[1:3]
    end_with_program(int(lifeline))
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def end_with_program(lifeline: int) -> None:
    """End this process when the other end of ``lifeline`` is closed."""
    if sys.platform == "win32":
        import msvcrt

        lifeline = msvcrt.open_osfhandle(lifeline, os.O_RDONLY)
    os.set_inheritable(lifeline, False)

    def watch() -> None:
        with suppress(OSError):
            os.read(lifeline, 1)
        try:
            for step in _last_steps:
                step()
        finally:
            os._exit(1)  # nobody is left whom anything could be told

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    from gemmahub.engines import child  # the same module as the one that others import

    child.main()
