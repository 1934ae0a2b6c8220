"""The source and the store keep the contract: with kagglehub's real client and a Kaggle of the
tests, and with a cache as kagglehub writes it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.conformance import SourceConformance, StoreConformance
from gemmahub_kaggle.store import KaggleStore

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Store
    from gemmahub.engines.sources import Source
    from gemmahub_kaggle.source import KaggleSource
    from plugins.kaggle.tests.fake_kaggle import RunningKaggle


class TestSource(SourceConformance):
    plugin = "kaggle"
    reference = "kaggle://google/gemma-3/gguf/tiny-q4_0"
    unknown = "kaggle://google/gemma-3/gguf/nothing"
    content = b"GGUF" + os.urandom(150_000)
    running: RunningKaggle

    @pytest.fixture
    def source(self, kaggle: RunningKaggle, source: KaggleSource) -> Source:
        kaggle.add("google/gemma-3/GGUF/tiny-q4_0", {"tiny-Q4_0.gguf": self.content})
        type(self).running = kaggle
        return source

    def damage(self, source: Source) -> None:
        self.running.faults["damage"] = "yes"


class TestStore(StoreConformance):
    plugin = "kaggle"

    def make_store(self, folder: Path) -> Store:
        return KaggleStore(folder)

    def add_model(self, folder: Path, name: str) -> None:
        variation = folder / "google" / "gemma-3" / "gguf" / name
        (variation / "1").mkdir(parents=True)
        (variation / "1" / "model.gguf").write_bytes(b"GGUF" + name.encode() * 1000)
        (variation / "1.complete").touch()

    def break_model(self, folder: Path, name: str) -> None:
        (folder / "google" / "gemma-3" / "gguf" / name / "1" / "model.gguf").unlink()
