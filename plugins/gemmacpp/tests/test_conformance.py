"""The backend keeps the contract, with a program that behaves as gemma.cpp's is documented to.

gemma.cpp itself could not be had for this: no package has it (see the plugin's README).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact
from gemmahub.testing.conformance import BackendConformance
from plugins.gemmacpp.tests.conftest import FAKE
from plugins.gemmacpp.tests.sbs_writer import write_sbs

if TYPE_CHECKING:
    from pathlib import Path


class TestConformance(BackendConformance):
    plugin = "gemmacpp"
    completes = False

    @pytest.fixture(autouse=True)
    def stand_in(
        self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The program of the tests is the one in use."""
        path = tmp_path_factory.mktemp("program") / "gemma"
        path.write_text(f"#!/bin/sh\nFAKE_MODE=pace exec '{sys.executable}' '{FAKE}' \"$@\"\n")
        path.chmod(0o755)
        monkeypatch.setenv("GEMMA_CPP_PATH", str(path))

    def make_artifact(self, folder: Path) -> Artifact:
        path = write_sbs(folder / "tiny-sfp.sbs")
        return Artifact("sbs", path, (path,), name="tiny")
