"""Of the terminal UI: a hub on this machine for downloads, and where snapshots are reported."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.testing.hub.models import small_model

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
def server(hub_server: HubServer) -> HubServer:
    """A hub with one repository, and a cache of this test."""
    hub_server.add("user/gemma", {NAME: MODEL})
    return hub_server
