"""What a Modelfile made of the weights: kept apart, named, and used or said to be left out."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import IntegrityError, LoadFailed
from gemmahub.service import Library
from gemmahub.service.tag_parts import with_tag_parts
from gemmahub.testing.model_writer import write_model
from gemmahub_llamacpp.backend import LlamaCppBackend

if TYPE_CHECKING:
    from pathlib import Path

TYPE = "application/vnd.ollama.image."
HOST = "registry.ollama.ai/library/"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """One file of weights under four names, and one name whose weights are gone."""
    root = tmp_path / "ollama"
    (root / "blobs").mkdir(parents=True)

    def layer(kind: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (root / "blobs" / f"sha256-{digest}").write_bytes(content)
        return {"mediaType": TYPE + kind, "digest": f"sha256:{digest}", "size": len(content)}

    write_model(tmp_path / "tiny.gguf")
    weights = layer("model", (tmp_path / "tiny.gguf").read_bytes())
    template, system = layer("template", b"{{ .Prompt }}"), layer("system", b"You are a pirate.")
    gone = weights | {"digest": f"sha256:{'ab' * 32}"}
    for name, layers in {
        HOST + "gemma3/270m": [weights, template],
        HOST + "pirate/latest": [weights, template, system],
        HOST + "tuned/latest": [weights, template, layer("adapter", b"GGUF, a small one")],
        "hf.co/unsloth/gemma-3-270m-it-GGUF/Q4_K_M": [weights, template],
        "hf.co/user/gemma/latest": [weights, template],
        HOST + "gone/latest": [gone, template],
    }.items():
        path = root / "manifests" / name
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return root


@pytest.fixture
def library(store: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """What sees that store alone."""
    monkeypatch.setenv("OLLAMA_MODELS", str(store))
    monkeypatch.setenv("GEMMAHUB_STORES", "ollama")
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "ollama,llamaserver,llamacpp")
    return Library(say=said.append)


said: list[str] = []


def artifact(library: Library, reference: str) -> Artifact:
    return library.registry.resolve(reference).artifacts[0]


def parts(library: Library, reference: str) -> list[str]:
    return [name for name, _ in artifact(library, reference).parts]


def test_names_of_other_systems_and_adapters_are_other_models(library: Library) -> None:
    found = {len(variant.artifacts) for variant in library.registry.installed().variants}
    assert len(library.registry.installed().variants) == 3
    assert found == {1, 3}
    assert parts(library, "ollama://pirate") == ["TEMPLATE", "SYSTEM"]
    assert parts(library, "ollama://tuned") == ["TEMPLATE", "ADAPTER"]
    assert parts(library, "ollama://gemma3:270m") == ["TEMPLATE"]


def test_a_repository_that_ollama_holds_is_found_by_its_name(library: Library) -> None:
    for reference in ("hf.co/unsloth/gemma-3-270m-it-GGUF:Q4_K_M", "hf.co/user/gemma:latest",
                      "ollama://hf.co/unsloth/gemma-3-270m-it-GGUF:Q4_K_M"):  # fmt: skip
        assert artifact(library, reference).store == "ollama"


def test_a_name_whose_weights_are_gone_says_so(library: Library) -> None:
    with pytest.raises(IntegrityError, match="gone:latest: its weights are missing"):
        library.registry.resolve("ollama://gone")


def settings(library: Library, reference: str, backend: str) -> Settings:
    offer = library.plugins_manager.backend(backend)
    said.clear()
    return with_tag_parts(library, offer, artifact(library, reference), Settings())


def test_an_adapter_is_used_and_what_is_left_out_is_said(library: Library) -> None:
    (adapter,) = settings(library, "ollama://tuned", "llama-server").adapters
    assert adapter.path.read_bytes() == b"GGUF, a small one"
    assert said == ["llama-server runs the weights of ollama://tuned:latest; left out of its tag: "
                    "TEMPLATE"]  # fmt: skip
    assert settings(library, "ollama://pirate", "llama-server") == Settings()
    assert said[0].endswith("left out of its tag: TEMPLATE, SYSTEM")


def test_ollama_itself_uses_all_of_a_tag(library: Library) -> None:
    assert settings(library, "ollama://tuned", "ollama") == Settings()
    assert said == []


def test_an_engine_without_adapters_refuses_a_tag_with_one(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = LlamaCppBackend.capabilities - {"adapters"}
    monkeypatch.setattr(LlamaCppBackend, "capabilities", kept)
    with pytest.raises(LoadFailed, match=r"has an ADAPTER, which llama\.cpp cannot use"):
        settings(library, "ollama://tuned", "llama.cpp")
