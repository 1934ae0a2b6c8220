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
        os._exit(1)  # nobody is left whom anything could be told

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


if __name__ == "__main__":
    main()
