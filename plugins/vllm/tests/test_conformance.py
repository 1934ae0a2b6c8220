"""The backends keep the contract: with a program that speaks vLLM's API, and with real servers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.manager import load_plugins
from gemmahub.engines.servers import served_models
from gemmahub.testing.conformance import BackendConformance
from gemmahub_vllm.backend import VllmBackend
from gemmahub_vllm.joined import VllmServerBackend
from plugins.vllm.tests.conftest import folder_artifact, tiny

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.engines.contract import Artifact, ServedModel

URL = os.environ.get("GEMMAHUB_TEST_VLLM_URL", "")


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
class TestConformance(BackendConformance):
    """Started by gemmahub; the program answers with what it was asked."""

    plugin = "vllm"
    backend_name = VllmBackend.name
    thinks = False
    calls = False

    @pytest.fixture(autouse=True)
    def _program(self, fake: Path) -> None:
        """On the PATH."""

    def make_artifact(self, folder: Path) -> Artifact:
        return folder_artifact(tiny(folder / "tiny"))


@pytest.mark.skipif(not URL, reason="GEMMAHUB_TEST_VLLM_URL names no server with context 512")
class TestConformanceOfAJoinedServer(BackendConformance):
    """A real vLLM: ``vllm serve FOLDER --max-model-len 512 --enforce-eager``."""

    plugin = "vllm"
    backend_name = VllmServerBackend.name
    thinks = False
    calls = False

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "vllm-config.toml"
        path.write_text(f'[plugins.vllm.servers]\nlab = "{URL}"\n')
        monkeypatch.setenv("GEMMAHUB_CONFIG", str(path))

    def make_artifact(self, folder: Path) -> ServedModel:
        return served_models(load_plugins(only=["vllm"])).models[0]
