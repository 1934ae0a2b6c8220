"""``gemmahub`` as a program that tests start, and ports for it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("gemmahub")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
