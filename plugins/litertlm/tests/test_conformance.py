"""The backend keeps the contract, with the real engine and a bundle that the tests write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.engines.contract import Artifact
from gemmahub.testing.conformance import BackendConformance
from plugins.litertlm.tests.bundle_writer import write_bundle

if TYPE_CHECKING:
    from pathlib import Path


class TestConformance(BackendConformance):
    plugin = "litertlm"

    def make_artifact(self, folder: Path) -> Artifact:
        path = write_bundle(folder / "tiny-f32.litertlm")
        return Artifact("litertlm", path, (path,), name="tiny")
