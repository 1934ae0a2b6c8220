"""Runs ``gemma`` and hands on what it answers, piece by piece; started by gemmahub's own keeper.

A program's standard output and error are one log there, and lines are taken whole. An answer is
neither: so this process reads it as it comes, and writes each piece as a line of its own that
:func:`piece_of` tells from the log. What the program says on its standard error goes to the log.

Needs nothing but the standard library: it is started for each answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from base64 import b64decode, b64encode

MARK = "gemmahub-answer:"
_PIECE_BYTES = 2048  # of base64 2,732 characters: a line of the log is cut at 4 KiB


def piece_of(line: str) -> bytes | None:
    """What a line of the log has of the answer; None where it is the program's own."""
    _, mark, content = line.partition(MARK)
    if not mark:
        return None
    try:
        return b64decode(content, validate=True)
    except ValueError:
        return b""


def main(command: list[str]) -> int:
    """Run the command, and end as it ended."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while piece := os.read(process.stdout.fileno(), _PIECE_BYTES):
            # The program may have begun a line on its standard error: this is another one.
            os.write(1, f"\n{MARK}{b64encode(piece).decode()}\n".encode())
        code = process.wait()
    if code < 0 and sys.platform != "win32":
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code if code >= 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
