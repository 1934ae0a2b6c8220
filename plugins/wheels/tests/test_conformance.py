"""The store of models in packages keeps the contract."""

from __future__ import annotations

import hashlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from gemmahub.testing.conformance import StoreConformance
from gemmahub_wheels.store import WheelModel, WheelStore

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Store


class TestStore(StoreConformance):
    plugin = "wheels"

    @pytest.fixture(autouse=True)
    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.packages: list[ModuleType] = []
        self.monkeypatch = monkeypatch

    def make_store(self, folder: Path) -> Store:
        models = tuple(WheelModel(package.__name__, "user/repo") for package in self.packages)
        return WheelStore(folder / "joined", models)

    def add_model(self, folder: Path, name: str) -> None:
        content = b"GGUF" + name.encode() * 1000
        part = folder / f"{name}.part0"
        folder.mkdir(exist_ok=True)
        part.write_bytes(content)
        package = ModuleType(f"{name}_model_package")
        package.EXPECTED_SHA256 = hashlib.sha256(content).hexdigest()  # type: ignore[attr-defined]
        package.MODEL_NAME = f"{name}.gguf"  # type: ignore[attr-defined]
        package.chunk_paths = lambda: [part]  # type: ignore[attr-defined]
        package.__spec__ = sys.__spec__
        self.monkeypatch.setitem(sys.modules, package.__name__, package)
        self.packages.append(package)

    def break_model(self, folder: Path, name: str) -> None:
        (folder / f"{name}.part0").write_bytes(b"GGUF")
