"""A hub on this machine, and a door to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.hub.source import Hub
from gemmahub.stores.identity import ContentSums
from gemmahub.testing.hub.server import HubServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub without repositories; HF_ENDPOINT points to it, and no login is set."""
    import huggingface_hub

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    huggingface_hub.close_session()
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
        yield server
        huggingface_hub.close_session()


@pytest.fixture
def waits() -> list[float]:
    """The seconds that the door of this test was told to wait, in place of waiting."""
    return []


@pytest.fixture
def said() -> list[str]:
    """The lines that the door of this test has said."""
    return []


@pytest.fixture
def hub(server: HubServer, tmp_path: Path, waits: list[float], said: list[str]) -> Hub:
    """A door to the hub on this machine, with a cache of its own."""
    return Hub(
        tmp_path / "cache",
        load_catalog(),
        folder=tmp_path / "hf",
        sums=ContentSums(tmp_path / "summaries.sqlite"),
        say=said.append,
        wait=waits.append,
        timeout=10.0,
    )


@pytest.fixture(scope="session")
def real(real_model: Path) -> Path:
    """Gemma 3 270M as Q4_K_M."""
    return real_model
