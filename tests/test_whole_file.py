"""A file is written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gemmahub.records.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_an_old_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    path.write_text("old")
    path.chmod(0o640)
    write_whole(path, "new\r\n")
    assert path.read_bytes() == b"new\r\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_new_file_gets_its_mode_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "kept"
    write_whole(path, b"\0\xff", mode=0o600)
    assert path.read_bytes() == b"\0\xff"
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["kept"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow: a full disk."""
    path = tmp_path / "kept"
    path.write_text("old")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000));"
        "from pathlib import Path; from gemmahub.records.whole_file import write_whole;"
        "write_whole(Path(sys.argv[1]), b'x' * 2000)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert "OSError" in done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["kept"]


def test_a_name_as_long_as_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    write_whole(path, "whole")
    assert path.read_text() == "whole"


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "taken", "x")
    assert os.listdir(tmp_path) == ["taken"]
