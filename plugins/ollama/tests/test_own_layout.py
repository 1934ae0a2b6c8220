"""Files that only Ollama loads: its own backend is taken, or the message says what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmahub.engines.choice import choose
from gemmahub.engines.contract import Artifact, Availability
from gemmahub.engines.judging import problems_of
from gemmahub.engines.manager import PluginManager, load_plugins
from gemmahub.errors import BackendMissing
from gemmahub.formats.reader import ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub_ollama.backend import OllamaBackend

KEYS = {
    "general.architecture": "gemma3",
    "tokenizer.ggml.model": "no_vocab",
    "gemma3.context_length": 8192,
    "gemma3.embedding_length": 2560,
    "gemma3.block_count": 34,
    "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
}
BLOB = Path("blobs/sha256-0123")
TAG = Artifact("gguf", BLOB, (BLOB,), "gemma3:4b", "ollama", reference="ollama://gemma3:4b")
COPY = Artifact("gguf", BLOB, (BLOB,))


def header(*names: str, **left_out: bool) -> ModelFile:
    keys = {key: value for key, value in KEYS.items() if key.rpartition(".")[2] not in left_out}
    tensors = tuple(Tensor(name, "F16", (), 1, 2) for name in ("token_embd.weight", *names))
    return ModelFile("gguf", (BLOB,), 1, tensors, keys)


OWN = (
    header("v.blk.0.attn_q.weight", "mm.mm_input_projection.weight"),
    header(layer_norm_rms_epsilon=True),
)


@pytest.fixture
def manager() -> PluginManager:
    """Ollama's plugin and llama.cpp's."""
    return load_plugins(only=["ollama", "llamaserver"])


def answers(monkeypatch: pytest.MonkeyPatch, ok: bool) -> None:
    said = Availability(ok, reason="" if ok else "no Ollama server answers", hint="ollama serve")
    monkeypatch.setattr(OllamaBackend, "availability", lambda _: said)


@pytest.mark.parametrize("own", OWN)
def test_ollama_runs_its_own_files_where_it_answers(
    manager: PluginManager, monkeypatch: pytest.MonkeyPatch, own: ModelFile
) -> None:
    answers(monkeypatch, ok=True)
    assert choose(manager, TAG, header=own).offer.backend.name == "ollama"
    assert problems_of(manager, [(own, [TAG])])[0].ok


@pytest.mark.parametrize("own", OWN)
def test_without_its_server_the_tag_is_named_and_what_to_start(
    manager: PluginManager, monkeypatch: pytest.MonkeyPatch, own: ModelFile
) -> None:
    answers(monkeypatch, ok=False)
    with pytest.raises(BackendMissing) as caught:
        choose(manager, TAG, header=own)
    assert "ollama://gemma3:4b" in caught.value.message
    assert "sha256-0123" not in caught.value.message
    assert "ollama serve" in caught.value.hint
    (problem,) = problems_of(manager, [(own, [TAG])])
    assert "llama-server here cannot load it" in problem.reason
    assert "ollama could, and does not work here: no Ollama server answers" in problem.reason
    assert "--backend ollama" in problem.hint


def test_a_copy_out_of_its_store_is_no_other_engine_s(
    manager: PluginManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, ok=True)
    (problem,) = problems_of(manager, [(OWN[0], [COPY])])
    assert not problem.ok
    assert "ollama could" not in problem.reason
    with pytest.raises(BackendMissing, match="llama-server here cannot load it"):
        choose(manager, COPY, "llama-server", header=OWN[0])


def test_a_file_that_all_can_load_has_no_problem(manager: PluginManager) -> None:
    assert problems_of(manager, [(header(), [COPY]), (OWN[0], [COPY])])[0].ok
