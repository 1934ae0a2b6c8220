"""A real Gemma behind a hub: what is said of it remotely is what is said of it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.asking import dry_load
from gemmahub.engines.contract import Artifact, Settings
from gemmahub.engines.manager import load_plugins
from gemmahub.formats.detect import open_model
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.testing.hub.content import Served
from tests.conftest import MODEL_BYTES
from tests.hub.ways import read, write_header

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.hub.source import Hub
    from gemmahub.testing.hub.server import HubServer


@pytest.fixture
def model(server: HubServer, hub: Hub, real: Path) -> str:
    """The model in a repository, with the sha256 that the catalogue knows."""
    known = hub.catalog.variant("gemma-3-270m", "q4_k_m")
    assert known is not None
    assert known.bytes == MODEL_BYTES
    server.add("user/gemma", {"g-Q4_K_M.gguf": Served.of("g-Q4_K_M.gguf", real, known.sha256)})
    return "user/gemma"


def test_the_same_is_said_of_it(server: HubServer, hub: Hub, real: Path, model: str) -> None:
    remote, local = read(hub, model), open_model(real)
    assert remote.tensors == local.tensors
    assert remote.metadata == local.metadata
    with LocalFile(real) as source:
        header = read_gguf(source).data_offset
    assert server.sent("g-Q4_K_M.gguf") <= header * 1.03
    assert len(server.requests("g-Q4_K_M.gguf")) <= 10
    assert hub.resolve(model).catalogued == "gemma-3-270m:q4_k_m"


def test_the_engine_says_the_same_of_its_header(
    hub: Hub, real: Path, model: str, tmp_path: Path
) -> None:
    offers = load_plugins(only=["llamacpp"]).backends()
    path = write_header(hub, model, tmp_path)
    settings = Settings(context=4096, gpu_layers=0)
    remote, local = (
        dry_load(offers[0], Artifact("gguf", place), settings) for place in (path, real)
    )
    assert remote == local
    assert path.stat().st_blocks * 512 < real.stat().st_size / 10
