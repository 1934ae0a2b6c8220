"""Tests of LiteRT-LM's plugin: none reads this user's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and data of this test alone."""
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_STORES", "")
    for name in ("GEMMAHUB_PLUGINS", "GEMMAHUB_DEBUG"):
        monkeypatch.delenv(name, raising=False)
