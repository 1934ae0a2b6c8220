"""The llama-server backend keeps the contract, with the real program."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.engines.contract import Artifact
from gemmahub.testing.conformance import BackendConformance
from gemmahub.testing.model_writer import WIDTH, write_model
from gemmahub.testing.projector_writer import write_projector
from gemmahub_wheels.store import WheelStore

if TYPE_CHECKING:
    from pathlib import Path


class TestConformance(BackendConformance):
    """With the real Gemma 3 270M, a base model."""

    plugin = "llamaserver"
    thinks = False
    calls = False

    def make_artifact(self, folder: Path) -> Artifact:
        (artifact,) = WheelStore().inventory().artifacts
        projector = folder / "mmproj-tiny.gguf"
        write_projector(projector, 640)
        return replace(artifact, projector=projector)


class TestConformanceOfAChatModel(BackendConformance):
    """With a model of random weights that has a chat template."""

    plugin = "llamaserver"
    thinks = False
    calls = False

    def make_artifact(self, folder: Path) -> Artifact:
        model, projector = folder / "tiny-F32.gguf", folder / "mmproj-tiny.gguf"
        write_model(model, letters="éüжд日本中京😀👍")
        write_projector(projector, WIDTH)
        return Artifact("gguf", model, (model,), name="tiny", projector=projector)
