"""Small programs that tests start, and what is left of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
DEAF = """
import signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {DEAF!r}])
print("child", child.pid, flush=True)
time.sleep(600)
"""


def python(code: str) -> list[str]:
    """The command line of a program that is a few lines of Python."""
    return [sys.executable, "-c", code]


def is_running(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    done = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()[:1] not in ("", "Z")


def until_gone(*pids: int) -> None:
    deadline = time.monotonic() + 30
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [pid for pid in pids if is_running(pid)] == []


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def until_empty(folder: Path) -> None:
    deadline = time.monotonic() + 30
    while files_below(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert files_below(folder) == []


@contextmanager
def ours(code: str, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """A program of ours that uses ``start_program``, to be killed by a test."""
    environment = {**os.environ, "GEMMAHUB_CACHE": str(cache)}
    with subprocess.Popen(
        python(code), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()
