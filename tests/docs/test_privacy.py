"""Nothing is sent unasked: what docs/privacy.md says of commands, held to every connection that
they begin."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

AUDITED = """
import sys

HERE = ("127.0.0.1", "::1", "localhost", "", None)

def seen(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in HERE:
        print("CONNECTS TO", host, file=sys.stderr)

sys.addaudithook(seen)
from gemmahub.cli.main import run

for line in sys.stdin.read().splitlines():
    print("COMMAND", line, file=sys.stderr)
    run(line.split())
"""
HERE = (
    "list",
    "list --all",
    "inspect gemma-3-4b-it:q4_0-qat",
    "compare gemma-3-4b-it:q4_0-qat gemma-3-4b-it:q8_0",
    "plan gemma-3-4b-it:q4_0-qat",
    "recommend",
    "hardware",
    "doctor",
    "plugins",
    "config list",
    "du",
    "dedupe",
    "rm gemma-3-270m --dry-run",
    "chats",
    "ps",
    "serve --print-config zed gemma-3-270m",
    "run gemma-3-270m hello --max-tokens 2",
    "run gemma-3-4b-it hello",
)
"""Commands of the first table of the page, and one for a model that is not here."""
THERE = "plan gemma-3-4b-it:q4_0-qat --exact"
"""One that asks the hub: the test would see it."""


def connections(commands: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """The lines about connections beyond this machine, each below its command."""
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_HOME", str(folder))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    done = subprocess.run(
        [sys.executable, "-c", AUDITED], input=commands, capture_output=True, text=True, timeout=300
    )
    assert done.stderr.count("COMMAND ") == len(commands.splitlines()), done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("CONNECTS")]


def test_no_command_connects_unasked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert connections("\n".join(HERE), monkeypatch, tmp_path) == []


def test_a_command_that_asks_the_hub_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert connections(THERE, monkeypatch, tmp_path) == ["CONNECTS TO hub.invalid"]
