"""A hub on this machine for the downloads of the terminal UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.testing.hub.models import small_model

if TYPE_CHECKING:
    from gemmahub.testing.hub.server import HubServer

MODEL: Final = small_model() + bytes(range(256)) * 16_000
NAME: Final = "g-Q4_0.gguf"


@pytest.fixture
def server(hub_server: HubServer) -> HubServer:
    """A hub with one repository, and a cache of this test."""
    hub_server.add("user/gemma", {NAME: MODEL})
    return hub_server
