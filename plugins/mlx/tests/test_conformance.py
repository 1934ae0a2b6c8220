"""The conformance tests of every backend, on a tiny random Gemma 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from gemmahub.engines.contract import Artifact
from gemmahub.testing.conformance import BackendConformance
from gemmahub_mlx.backend import MlxBackend

if TYPE_CHECKING:
    from pathlib import Path

found = MlxBackend().availability()
pytestmark = pytest.mark.skipif(not found.ok, reason=f"MLX: {found.reason}; {found.hint}")


class TestConformance(BackendConformance):
    plugin: ClassVar[str] = "mlx"
    thinks: ClassVar[bool] = False
    calls: ClassVar[bool] = False
    quantize_label: ClassVar[str] = "8bit"

    def make_artifact(self, folder: Path) -> Artifact:
        from gemmahub.testing.folder_writer import write_model_folder

        path = write_model_folder(folder / "tiny")
        return Artifact("mlx", path, (path / "model.safetensors",), name="tiny")
