"""How child processes of ours start and end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gemmahub.engines.process import clean_environment, start_python
from gemmahub.engines.worker_process import WorkerProcess

# A module that a test writes, and a program that starts it.
BUSY = """
import signal, sys
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("ready", flush=True)
while True:
    pass
"""
PROGRAM = """
import os, sys
from gemmahub.engines.process import start_python
{before}
child = start_python("busy")
child.stdout.readline()
print(child.pid, flush=True)
{after}
sys.stdin.read()
"""


def is_running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(pid)


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module that computes for ever and ignores signals."""
    (tmp_path / "busy.py").write_text(BUSY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("", "start_python('busy')"),  # a second child does not keep the first one's lifeline open
        ("", "if not os.fork(): import time; time.sleep(60); os._exit(0)"),
        (
            "os.close(0); os.open(os.devnull, os.O_RDONLY); os.close(0)",
            "import time; time.sleep(60)",
        ),
    ],
    ids=["alone", "with a second child", "with a fork", "without standard input"],
)
def test_a_busy_child_ends_when_its_program_is_killed(before: str, after: str, busy: Path) -> None:
    program = PROGRAM.format(before=before, after=after)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert is_running(child)
        process.kill()
        process.wait()
        until_gone(child)
        process.stdout.close()  # a fork of the program may still hold it


def test_a_child_ends_with_a_child(busy: Path, tmp_path: Path) -> None:
    (tmp_path / "middle.py").write_text(
        "from gemmahub.engines.process import start_python\n"
        "child = start_python('busy')\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with start_python("middle") as middle:
        assert middle.stdout is not None
        grandchild = int(middle.stdout.readline())
        assert is_running(grandchild)
        middle.kill()
        middle.wait()
        until_gone(grandchild)


def test_a_child_inherits_no_open_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "files.py").write_text(
        "import os\nprint(*(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')"
        " if os.path.lexists(f'/proc/self/fd/{n}')))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        with start_python("files") as child:
            out, _ = child.communicate()
    assert b"pipe:" in out
    assert b"secret" not in out


def test_no_module_of_the_current_folder_runs_in_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    for name in ("gemmahub", "runpy", "threading", "numpy", "llama_cpp", "pluggy", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("", ".", "sub")))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "numpy.py"))
    worker = WorkerProcess("echo")
    worker.send("not a request")
    assert worker._process.wait(30) == 0
    worker.close()
    assert not marker.exists()


def test_variables_that_change_how_python_behaves_are_not_handed_down(tmp_path: Path) -> None:
    given = {
        "PATH": "/bin",
        "PYTHONPATH": os.pathsep.join(("", ".", "relative", str(tmp_path))),
        "PYTHONSTARTUP": "x",
        "PYTHONINSPECT": "1",
        "PYTHONBREAKPOINT": "os.system",
        "PYTHONWARNINGS": "error",
        "PYTHONIOENCODING": "utf-16",
        "PYTHONUSERBASE": "/home/me/.local",
        "PythonStartup": "x",
    }
    assert clean_environment(given) == {
        "PATH": "/bin",
        "PYTHONPATH": str(tmp_path),
        "PYTHONUSERBASE": "/home/me/.local",
    }
    assert clean_environment({"PYTHONPATH": "."}) == {}
