"""Vectors of texts from the real program, with a small model of EmbeddingGemma's architecture."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import ContextExceeded, GenerationFailed
from gemmahub.testing.model_writer import WIDTH, write_embedding_model
from plugins.llamaserver.tests.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub_llamaserver.backend import LlamaServerBackend
    from gemmahub_llamaserver.session import LlamaServerSession


@pytest.fixture(scope="module")
def embedder(
    backend: LlamaServerBackend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LlamaServerSession]:
    """A session with a small model that makes vectors."""
    path = tmp_path_factory.mktemp("embeds") / "embeds-F32.gguf"
    write_embedding_model(path)
    with backend.load(Artifact("gguf", path), Settings(context=512)) as session:
        yield session


def test_a_vector_is_of_the_whole_text_and_length_one(embedder: LlamaServerSession) -> None:
    start = "abc " * 60
    first, other, again = embedder.embed([start + "x", start + "y", start + "x"])
    assert first == again != other
    assert len(first) == WIDTH
    assert math.isclose(sum(number * number for number in first), 1, rel_tol=1e-4)


def test_a_control_token_in_a_text_is_text(
    embedder: LlamaServerSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    fetch = embedder._web.fetch

    def hear(*words: Any, content: bytes, **more: Any) -> Any:
        sent.append(content)
        return fetch(*words, content=content, **more)

    monkeypatch.setattr(embedder._web, "fetch", hear)
    embedder.embed(["<eos>"])
    tokens = json.loads(sent[-1])["input"]
    assert (tokens[0], tokens[-1]) == (2, 1)  # <bos>, <eos>
    assert len(tokens) == 2 + len("<eos>")


def test_a_text_that_is_too_long_leaves_the_session_usable(embedder: LlamaServerSession) -> None:
    with pytest.raises(ContextExceeded, match="513 tokens, but the context holds 512"):
        embedder.embed(["x" * 511])
    assert len(embedder.embed(["x" * 510])[0]) == WIDTH


def test_a_model_that_embeds_answers_nothing(embedder: LlamaServerSession) -> None:
    with pytest.raises(GenerationFailed, match="refuses"):
        ask(embedder, "hello")
    assert embedder.embed(["still there"])
