"""Tests of gemma.cpp's plugin: none reads this user's settings or programs."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def own_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, data and temporary files of this test alone: others run beside it."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    for name in ("GEMMAHUB_PLUGINS", "GEMMAHUB_DEBUG", "GEMMA_CPP_PATH"):
        monkeypatch.delenv(name, raising=False)


FAKE = Path(__file__).with_name("fake_gemma.py")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a program of the tests that behaves in a certain way, and makes it the one in use."""

    def make(mode: str = "", folder: str = "own", name: str = "gemma") -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nFAKE_MODE='{mode}' exec '{sys.executable}' '{FAKE}' \"$@\"\n")
        path.chmod(0o755)
        monkeypatch.setenv("GEMMA_CPP_PATH", str(path))
        return path

    return make


@pytest.fixture
def no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gemma on the PATH."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", f"{empty}{os.pathsep}/usr/bin{os.pathsep}/bin")
