"""Which stores gemmahub looks into, and that listing them imports no network library."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gemmahub.config import load_config
from gemmahub.engines.contract import ManagedStore
from gemmahub.service import Library
from gemmahub.stores.defaults import default_stores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.stores.conftest import Hub


def test_all_that_are_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GEMMAHUB_STORES")
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(tmp_path))
    stores = default_stores(load_config(), {})
    assert [store.name for store in stores] == [
        "huggingface",
        "llama.cpp",
        str(tmp_path),
    ]
    assert all(isinstance(store, ManagedStore) for store in stores)
    names = [store.name for store in Library().stores]
    assert names[:3] == [store.name for store in stores]
    assert {"lmstudio", "ollama"} <= set(names)


def test_only_those_that_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GEMMAHUB_STORES", " lmstudio , ollama")
    names = [store.name for store in Library(folders=[tmp_path]).stores]
    assert names == [str(tmp_path), "orbax", "lmstudio", "ollama", "wheels"]
    monkeypatch.delenv("GEMMAHUB_STORES")
    (tmp_path / "config.toml").write_text('[stores]\nonly = ["huggingface"]\n')
    assert "lmstudio" not in [store.name for store in Library().stores]


def test_listing_imports_no_network_library(hub: Hub, tmp_path: Path) -> None:
    hub.add("user/repo", {"x.gguf": b"GGUF"})
    environment = {
        **os.environ,
        "HF_HUB_CACHE": str(hub.root),
        "GEMMAHUB_STORES": "huggingface,llama.cpp,lmstudio,ollama",
        "GEMMAHUB_PLUGINS": "lmstudio,ollama,openai",
        "GEMMAHUB_CACHE": str(tmp_path / "cache"),
        "LLAMA_CACHE": str(tmp_path),
        "OLLAMA_MODELS": str(tmp_path),
        "HOME": str(tmp_path),
    }
    program = (
        "from gemmahub.service import Library\n"
        "models = Library().models()\n"
        "assert [b.store for b in models.broken] == ['huggingface'], models\n"
        "import sys; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    modules = set(done.stdout.split())
    heavy = {"huggingface_hub", "httpx", "httpx2", "requests", "urllib3", "ssl", "numpy"}
    assert not heavy & modules


@pytest.mark.parametrize("name", ["gemma \udcff.gguf", "x\x1b[31m.gguf"])
def test_odd_names_are_listed_and_remembered(tmp_path: Path, name: str) -> None:
    from gemmahub.testing.gguf_writer import write_gguf

    folder = tmp_path / "models"
    folder.mkdir()
    tensors = [("token_embd.weight", (256, 64), "Q8_0")]
    write_gguf(folder / name, {"general.architecture": "gemma3"}, tensors)
    for _ in range(2):
        config = load_config()
        service = Library(config=type(config)(tmp_path / "cache", tmp_path), folders=[folder])
        found = [a.path.name for v in service.models().variants for a in v.artifacts]
        assert name in found
        service.sums.compute(folder / name)
    assert service.sums.known(folder / name) is not None
