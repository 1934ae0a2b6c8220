"""What a process holds, as the system says it."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.resident import Resident, resident_memory

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


@linux
def test_anonymous_and_file_pages_are_distinguished(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 32 * MIB)
    before = resident_memory(os.getpid())
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert sum(mapped[at] for at in range(0, len(mapped), 4096)) > 0
        block = bytearray(os.urandom(1) * 64 * MIB)
        after = resident_memory(os.getpid())
        assert block
    assert before is not None
    assert after is not None
    assert before.anonymous_bytes is not None
    assert after.anonymous_bytes is not None
    assert before.file_bytes is not None
    assert after.file_bytes is not None
    assert after.anonymous_bytes - before.anonymous_bytes == pytest.approx(64 * MIB, rel=0.2)
    assert after.file_bytes - before.file_bytes == pytest.approx(32 * MIB, rel=0.2)
    assert after.total_bytes == after.anonymous_bytes + after.file_bytes
    assert "smaps_rollup" in after.source


def test_psutil_is_asked_if_there_is_no_exact_file(tmp_path: Path) -> None:
    found = resident_memory(os.getpid(), tmp_path)
    assert found is not None
    assert found.source == "psutil memory_info"
    assert found.total_bytes > 5 * MIB
    if sys.platform == "linux":
        assert found.file_bytes is not None
        assert found.anonymous_bytes is not None
        assert found.total_bytes == found.file_bytes + found.anonymous_bytes
    else:
        assert (found.file_bytes, found.anonymous_bytes) == (None, None)


def test_a_kernel_file_without_anonymous_pages_gives_the_total_alone(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    rollup = tmp_path / "7" / "smaps_rollup"
    rollup.write_text("00400000-7fff00000000 ---p 00000000 00:00 0    [rollup]\nRss:      300 kB\n")
    assert resident_memory(7, tmp_path) == Resident(300 * 1024, None, None, str(rollup))


def test_a_process_that_has_ended_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert resident_memory(process.pid) is None


@pytest.mark.skipif(sys.platform == "win32", reason="no such state there")
def test_a_process_that_nobody_has_waited_for_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert resident_memory(process.pid) is None
        assert resident_memory(process.pid, tmp_path) is None
