"""LoRA adapters: answers change as strongly as they are scaled, and others are refused."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Adapter, Artifact, Sampling, Settings
from gemmahub.errors import LoadFailed
from plugins.llamaserver.tests.test_adapters import PROMPT, write_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_llamacpp.backend import LlamaCppBackend


def answer(backend: LlamaCppBackend, artifact: Artifact, *adapters: Adapter) -> str:
    with backend.load(artifact, Settings(context=256, adapters=adapters)) as session:
        assert session.info.settings.adapters == adapters
        assert session.info.memory
        chunks = session.generate(PROMPT, Sampling(max_tokens=12, temperature=0))
        return "".join(chunk.text for chunk in chunks)


def test_an_adapter_changes_answers_as_strongly_as_it_is_scaled(
    backend: LlamaCppBackend, artifact: Artifact, tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "lora.gguf")
    plain = answer(backend, artifact)
    changed = answer(backend, artifact, Adapter(path))
    assert changed != plain
    assert answer(backend, artifact, Adapter(path, 0.0)) == plain
    half = Adapter(path, 0.5)
    assert answer(backend, artifact, half, half) == changed


def test_what_is_not_an_adapter_of_the_model_is_refused(
    backend: LlamaCppBackend, artifact: Artifact, tmp_path: Path
) -> None:
    path = write_adapter(tmp_path / "lora.gguf")
    other = write_adapter(tmp_path / "other.gguf", width=768)
    cases = [
        (Adapter(other), "has other sizes in the model"),
        (Adapter(artifact.path), "is not a LoRA adapter"),
        (Adapter(tmp_path / "none.gguf"), "there is no adapter"),
        (Adapter(path, inf), "is not a number"),
    ]
    for adapter, why in cases:
        with pytest.raises(LoadFailed, match=why):
            backend.load(artifact, Settings(context=256, adapters=(adapter,)))
    with pytest.raises(LoadFailed, match="a dry load cannot include adapters"):
        backend.dry_load(artifact, Settings(context=256, adapters=(Adapter(path),)))
