"""The Ollama backend keeps the contract, with the real server and the real Gemma 3 270M."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from gemmahub.engines.resident import resident_memory
from gemmahub.testing.conformance import BackendConformance

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RealServer
    from gemmahub.engines.contract import Artifact, Settings


class TestConformance(BackendConformance):
    plugin = "ollama"
    server: ClassVar[RealServer]

    @pytest.fixture(autouse=True)
    def _server(self, at_server: RealServer) -> None:
        type(self).server = at_server

    def make_artifact(self, folder: Path) -> Artifact:
        return self.server.artifact

    def unknown_artifact(self, model: Artifact) -> Artifact:
        from dataclasses import replace

        return replace(model, name="none:latest", reference="ollama://none:latest")

    def settings(self, **changes: object) -> Settings:
        """One thread: two wait for each other where other programs are at work."""
        return super().settings(**{"threads": 1} | changes)

    def memory_held(self) -> int | None:
        """Bytes of the server and of the runners that it started."""
        import subprocess

        listed = subprocess.run(
            ["pgrep", "-P", str(self.server.pid)], capture_output=True, text=True
        ).stdout.split()
        found = [resident_memory(pid) for pid in (self.server.pid, *map(int, listed))]
        return sum(each.anonymous_bytes or 0 for each in found if each is not None)
