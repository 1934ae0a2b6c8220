"""The conformance tests of every backend, on a tiny random Gemma 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from gemmahub.engines.contract import Artifact
from gemmahub.testing.conformance import BackendConformance
from gemmahub_transformers.backend import TransformersBackend

if TYPE_CHECKING:
    from pathlib import Path

found = TransformersBackend().availability()
pytestmark = pytest.mark.skipif(not found.ok, reason=f"PyTorch: {found.reason}; {found.hint}")


class TestConformance(BackendConformance):
    plugin: ClassVar[str] = "transformers"
    thinks: ClassVar[bool] = False
    calls: ClassVar[bool] = False

    def make_artifact(self, folder: Path) -> Artifact:
        from gemmahub.testing.folder_writer import write_model_folder

        path = write_model_folder(folder / "tiny")
        return Artifact("safetensors", path, (path / "model.safetensors",), name="tiny")
