"""Chat templates that mean harm, through the real command and real llama.cpp."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from gemmahub.testing.model_writer import write_model

if TYPE_CHECKING:
    from pathlib import Path

LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
COMPARED = (
    "{% set n = namespace(v=[], w=[]) %}{% for i in range(60) %}"
    "{% set n.v = [n.v, n.v] %}{% set n.w = [n.w, n.w] %}{% endfor %}{{ n.v == n.w }}"
)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% set gemmahub_tick = namespace %}" + LOOPS, "was stopped: it took more than"),
        (
            "{{ ('x' * 3000).join(['a'] * 1000000) | length }}",
            "was stopped: it needed more than 64 MB",
        ),
        ("{{ raise_exception('\\x1b]0;x\\x07\\x1b[2J') }}", "rejected the messages: "),
        ("{{ ''.__class__.__mro__ }}", "failed: SecurityError"),
    ],
)
def test_a_template_that_means_harm_is_an_error(
    command: Any, tmp_path: Path, template: str, said: str
) -> None:
    write_model(tmp_path / "evil.gguf", template=template)
    result = command("run", tmp_path / "evil.gguf", "hi", "-n", "1")
    assert result.code == 5
    assert f"error: the chat template {said}" in result.err
    assert "--raw" in result.err
    assert "\x1b" not in result.err
    assert command("run", tmp_path / "evil.gguf", "hi", "-n", "1", "--raw").code == 0


@pytest.mark.parametrize("template", [LOOPS, COMPARED])
def test_an_interrupt_ends_a_rendering_and_leaves_no_process(tmp_path: Path, template: str) -> None:
    write_model(tmp_path / "evil.gguf", template=template)
    command = [sys.executable, "-m", "gemmahub", "run", str(tmp_path / "evil.gguf"), "hi"]
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    renderer = rendering(program)
    os.kill(program.pid, signal.SIGINT)
    assert program.wait() == 130
    assert has_ended(renderer)


def rendering(program: subprocess.Popen[bytes]) -> psutil.Process:
    """The process in which the template is rendered, once it is at work."""
    while program.poll() is None:
        for child in psutil.Process(program.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                name = " ".join(child.cmdline())
                # Its start takes less.
                if "gemmahub.engines.template_worker" in name and child.cpu_times().user > 0.5:
                    return child
        time.sleep(0.05)
    raise AssertionError("it ended before it rendered anything")


def has_ended(process: psutil.Process) -> bool:
    """Whether it ends soon; who inherited it may leave its entry in the table."""
    for _ in range(600):
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False
