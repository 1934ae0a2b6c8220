"""A hub on this machine for the downloads of the terminal UI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.testing.hub.models import small_model
from gemmahub.testing.hub.server import HubServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL: Final = small_model() + bytes(range(256)) * 16_000
NAME: Final = "g-Q4_0.gguf"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub with one repository, and a cache of this test."""
    import huggingface_hub

    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    huggingface_hub.close_session()
    with HubServer() as server:
        for name, value in server.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GEMMAHUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("GEMMAHUB_STORES", "huggingface")
        monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
        monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
        server.add("user/gemma", {NAME: MODEL})
        yield server
        huggingface_hub.close_session()
