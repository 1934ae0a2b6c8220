"""Who has a file open: by the kernel's files on Linux, by psutil's names elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from gemmahub.stores import open_files
from gemmahub.stores.open_files import users_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPENED = "file = open(sys.argv[1], 'rb')"
MAPPED = (
    "import mmap\n"
    "with open(sys.argv[1], 'rb') as f: m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)"
)


@contextmanager
def process_with(path: Path, how: str) -> Iterator[int]:
    """A process that has the file open or mapped, until the end of the block."""
    program = f"import sys\n{how}\nprint('here', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"here"
        yield process.pid
        process.communicate(b"")


@pytest.fixture(params=["as this system tells it", "by names"])
def way(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to find out; macOS and Windows know the second alone."""
    if request.param == "by names":
        monkeypatch.setattr(open_files, "_PROC", tmp_path / "no proc here")
    return str(request.param)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "a model.gguf"
    path.write_bytes(b"GGUF" * 4096)
    return path


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    "how",
    [
        OPENED,
        pytest.param(
            MAPPED,
            marks=[pytest.mark.skipif(sys.platform == "darwin", reason="macOS does not report it")],
        ),
    ],
)
def test_a_file_in_use_names_its_program(model: Path, how: str) -> None:
    with process_with(model, how) as pid:
        (user,) = users_of([model, model.with_name("not there")]).values()
    assert user.endswith(f"(process {pid})")
    assert "python" in user
    assert users_of([model]) == {}


@pytest.mark.usefixtures("way")
def test_all_names_of_an_open_file_are_in_use(model: Path) -> None:
    other, link = model.with_name("hard link"), model.with_name("link")
    os.link(model, other)
    link.symlink_to(model)
    unused = model.with_name("unused")
    unused.write_bytes(model.read_bytes())
    with other.open("rb"):
        assert users_of([model, other, link, unused]).keys() == {model, other, link}


@pytest.mark.usefixtures("way")
def test_without_paths_no_process_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.pids", lambda: pytest.fail("processes were looked at"))
    assert users_of([]) == {}
    assert users_of([tmp_path / "not there"]) == {}


@pytest.mark.usefixtures("way")
def test_processes_that_end_or_refuse_meanwhile_are_passed_over(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    real = psutil.pids
    gone = max(real()) + 100_000
    monkeypatch.setattr("psutil.pids", lambda: [gone, *real()])
    with model.open("rb"):
        assert users_of([model])[model].endswith(f"(process {os.getpid()})")
