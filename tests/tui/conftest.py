"""Of the terminal UI: a hub on this machine for downloads, and where snapshots are reported."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.config import Config
from gemmahub.service import Library
from gemmahub.testing.hub.models import small_model
from tests.tui.library_support import HERE, SteadyHub, install, steady_hub

if TYPE_CHECKING:
    from gemmahub.testing.hub.server import HubServer

MODEL: Final = small_model() + bytes(range(256)) * 16_000
NAME: Final = "g-Q4_0.gguf"


def pytest_configure(config: pytest.Config) -> None:
    """The report of snapshots that differ is no part of the checkout."""
    if getattr(config.option, "snapshot_report", None) == "snapshot_report.html":
        config.option.snapshot_report = str(Path(tempfile.gettempdir(), "gemmahub-snapshots.html"))
    # The plugin that writes it asks for the time in a way that Python 3.12 deprecates.
    config.addinivalue_line("filterwarnings", "ignore:datetime.datetime.utcnow:DeprecationWarning")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    """One installed model, and the catalogue."""
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    install(tmp_path, HERE)
    return steady_hub(tmp_path)


@pytest.fixture
def echo_hub(tmp_path: Path) -> Library:
    """Nothing is installed, and the echo engine runs what a test names."""
    return Library(config=Config(tmp_path / "cache", tmp_path / "data", backend="echo"))


@pytest.fixture
def model(tiny_model: Path) -> str:
    """The reference of a small model."""
    return str(tiny_model)


@pytest.fixture
def server(hub_server: HubServer) -> HubServer:
    """A hub with one repository, and a cache of this test."""
    hub_server.add("user/gemma", {NAME: MODEL})
    return hub_server
