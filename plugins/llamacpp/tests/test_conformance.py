"""The llama.cpp backend keeps the contract, with the real Gemma 3 270M."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gemmahub.testing.conformance import BackendConformance
from gemmahub.testing.projector_writer import write_projector
from gemmahub_wheels.store import WheelStore

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Artifact


class TestConformance(BackendConformance):
    plugin = "llamacpp"
    thinks = False
    calls = False

    def make_artifact(self, folder: Path) -> Artifact:
        (artifact,) = WheelStore().inventory().artifacts
        projector = folder / "mmproj-tiny.gguf"
        write_projector(projector, 640)
        return replace(artifact, projector=projector)
