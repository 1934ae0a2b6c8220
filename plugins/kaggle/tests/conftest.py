"""No test reads this user's settings, login or stores, and none asks the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub_kaggle.endpoint import VARIABLE
from gemmahub_kaggle.source import KaggleSource
from plugins.kaggle.tests.fake_kaggle import RunningKaggle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOGIN = ("KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_ENVIRONMENT")


@pytest.fixture(autouse=True)
def own_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    monkeypatch.setenv("GEMMAHUB_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GEMMAHUB_STORES", "kaggle")
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kagglehub"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(home / ".kaggle"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:1")
    for name in ("GEMMAHUB_PLUGINS", "GEMMAHUB_FOLDERS", *_LOGIN):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningKaggle]:
    """A Kaggle of the test's own, which the source asks."""
    with RunningKaggle() as running:
        monkeypatch.setenv(VARIABLE, running.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield running


@pytest.fixture
def source() -> Iterator[KaggleSource]:
    source = KaggleSource()
    source.api.wait = lambda seconds: None
    yield source
    source.api.close()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The folder of the models in kagglehub's cache."""
    return tmp_path / "kagglehub" / "models"
