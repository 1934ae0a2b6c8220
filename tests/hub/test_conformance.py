"""Hugging Face as a source keeps the contract that sources of plugins keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.conformance import SourceConformance
from gemmahub.testing.hub.models import small_model

if TYPE_CHECKING:
    from gemmahub.engines.sources import Source
    from gemmahub.hub.source import Hub
    from gemmahub.testing.hub.server import HubServer


class TestSource(SourceConformance):
    plugin = None
    reference = "hf://user/gemma/g-Q4_0.gguf"
    unknown = "hf://user/nothing/g-Q4_0.gguf"
    content = small_model() + bytes(range(256)) * 2_000
    to_folder = False
    server: HubServer

    @pytest.fixture
    def source(self, hub: Hub, server: HubServer) -> Source:
        self.server = server
        server.add("user/gemma", {"g-Q4_0.gguf": self.content})
        return hub

    def damage(self, source: Source) -> None:
        self.server.fault("corrupt", "g-Q4_0.gguf", times=None)
