"""The Ollama backend keeps the contract, with the real server and the real Gemma 3 270M; the store
and the source do, with a folder and a registry of the tests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

import pytest

from gemmahub.engines.resident import resident_memory
from gemmahub.testing.conformance import BackendConformance, SourceConformance, StoreConformance
from gemmahub_ollama.place import MIRROR
from gemmahub_ollama.source import OllamaSource
from gemmahub_ollama.store import OllamaStore
from plugins.ollama.tests.conftest import Ollama
from plugins.ollama.tests.fake_registry import RunningRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import RealServer
    from gemmahub.engines.contract import Artifact, Settings, Store
    from gemmahub.engines.sources import Source


class TestConformance(BackendConformance):
    plugin = "ollama"
    thinks = False
    calls = False
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


class TestStore(StoreConformance):
    plugin = "ollama"

    def make_store(self, folder: Path) -> Store:
        return OllamaStore(folder)

    def add_model(self, folder: Path, name: str) -> None:
        Ollama(folder).add(f"{name}:4b", {"model": b"GGUF" + name.encode() * 1000})

    def break_model(self, folder: Path, name: str) -> None:
        Ollama(folder).path(f"{name}:4b").write_text("{")


class TestSource(SourceConformance):
    plugin = "ollama"
    reference = "ollama://tiny:q4"
    unknown = "ollama://nothing:q4"
    content = b"GGUF" + os.urandom(150_000)
    registry: RunningRegistry

    @pytest.fixture
    def source(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
        with RunningRegistry() as self.registry:
            monkeypatch.setenv(MIRROR, self.registry.url)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
            monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
            layer = self.registry.layer("model", self.content)
            self.registry.add("library/tiny:q4", self.registry.manifest([layer]))
            source = OllamaSource()
            yield source
            source.client.close()

    def damage(self, source: Source) -> None:
        for digest, content in self.registry.blobs.items():
            assert isinstance(content, bytes)
            self.registry.blobs[digest] = content[:-1] + b"?"
