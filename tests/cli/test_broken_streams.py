"""Standard streams that are full, closed or gone: one line, the right exit code, no defect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def gemmahub(command: str) -> subprocess.CompletedProcess[str]:
    """A command line in a shell, with standard error read."""
    return subprocess.run(
        ["bash", "-c", f'"$0" -m gemmahub {command}', sys.executable],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@needs_full
@pytest.mark.parametrize(
    "command", ["list", "list --json", "hardware --json", "--help", "hardware"]
)
def test_a_full_disk_behind_the_output_is_reported_once(command: str) -> None:
    done = gemmahub(f"{command} >/dev/full")
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()
    assert error == "error: the output could not be written: No space left on device"
    assert hint.startswith("hint: ")


@needs_full
def test_an_error_as_json_that_cannot_be_written_is_said_as_text() -> None:
    done = gemmahub("inspect ./nothing.gguf --json >/dev/full")
    assert done.returncode == 3
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


@needs_full
def test_a_full_standard_error_keeps_the_exit_code() -> None:
    assert gemmahub("inspect ./nothing.gguf 2>/dev/full").returncode == 3


@pytest.mark.parametrize("command", ["list", "list --json", "--version"])
@pytest.mark.parametrize("closed", [">&-", "<&-", "<&- >&-", "2>&- <&-"])
def test_closed_streams_are_not_a_defect(command: str, closed: str) -> None:
    done = gemmahub(f"{command} {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_input_is_an_empty_one() -> None:
    done = gemmahub("run gemma-3-270m <&-")
    assert done.returncode == 2
    assert "the prompt is empty" in done.stderr


def test_what_is_printed_never_lands_in_a_file_that_took_the_closed_descriptor(
    tmp_path: Path,
) -> None:
    program = (
        "import os, sys; from gemmahub.text.streams import open_closed_streams;"
        "open_closed_streams(); file = open(sys.argv[1], 'w'); print('data');"
        "sys.stdout.flush(); os.write(1, b'noise'); sys.exit(file.fileno() < 3)"
    )
    path = tmp_path / "kept"
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" "$2" <&- >&-', sys.executable, program, str(path)],
        check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    assert done.returncode == 0
    assert path.read_text() == ""
