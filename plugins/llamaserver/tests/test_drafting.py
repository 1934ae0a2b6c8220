"""Drafts: a head of Gemma 4 and a small model draft, and others are refused before loading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import LoadFailed
from gemmahub.testing.model_writer import write_model
from gemmahub_llamaserver import servers
from plugins.llamaserver.tests.conftest import ask, programs
from plugins.llamaserver.tests.draft_models import write_gemma4, write_head

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub.engines.contract import DeviceUse
    from gemmahub_llamaserver.backend import LlamaServerBackend
    from gemmahub_llamaserver.session import LlamaServerSession


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(programs())
    yield
    assert set(programs()) <= before


def load(backend: LlamaServerBackend, model: Path, drafter: Path | None) -> LlamaServerSession:
    settings = Settings(context=1024, threads=1, drafter=drafter)
    return backend.load(Artifact("gguf", model, (model,)), settings)


def drafts(session: LlamaServerSession) -> tuple[int, int]:
    """Tokens that were accepted, and that were drafted, of an answer."""
    body = {"prompt": "The capital of France is", "n_predict": 24, "temperature": 0}
    with session._server.client() as web:
        timings = servers.ask(web, "/completion", body)["timings"]
    return timings["draft_n_accepted"], timings["draft_n"]


def used(session: LlamaServerSession) -> DeviceUse:
    assert session.info.memory is not None
    (use,) = session.info.memory
    return use


def test_a_head_of_gemma_4_drafts_and_changes_no_word(
    backend: LlamaServerBackend, tmp_path: Path
) -> None:
    model = write_gemma4(tmp_path / "model.gguf")
    head = write_head(tmp_path / "mtp-model.gguf")
    with load(backend, model, None) as session:
        plain, alone = ask(session, "w1w2w3")[0], used(session)
    with load(backend, model, head) as session:
        assert ask(session, "w1w2w3")[0] == plain
        assert drafts(session)[1] > 0
        together = used(session)
    assert together.kv_cache_bytes == alone.kv_cache_bytes  # the head reads those of the model
    assert together.compute_bytes < 2 * alone.compute_bytes


def test_a_small_model_drafts_for_the_real_one(
    backend: LlamaServerBackend, artifact: Artifact, tmp_path: Path
) -> None:
    drafter = tmp_path / "copy.gguf"
    drafter.symlink_to(artifact.path)  # the best drafter there can be
    with load(backend, artifact.path, drafter) as session:
        assert ask(session, "The capital of France is")[1].tokens == 24
        accepted, drafted = drafts(session)
    assert accepted > drafted // 2 > 0


@pytest.mark.parametrize(
    ("width", "words", "why"),
    [(256, 512, "it is the draft head of another model"), (128, 640, "its vocabulary differs")],
)
def test_a_head_of_another_model_is_refused(
    backend: LlamaServerBackend, tmp_path: Path, width: int, words: int, why: str
) -> None:
    model = write_gemma4(tmp_path / "model.gguf")
    head = write_head(tmp_path / "mtp-other.gguf", words, width)
    with pytest.raises(LoadFailed, match=f"mtp-other.gguf cannot draft for this model: {why}"):
        load(backend, model, head)


def test_a_small_model_with_other_words_is_refused(
    backend: LlamaServerBackend, artifact: Artifact, tmp_path: Path
) -> None:
    write_model(tmp_path / "small.gguf")
    with pytest.raises(LoadFailed, match="its vocabulary differs"):
        load(backend, artifact.path, tmp_path / "small.gguf")


def test_a_file_that_is_not_a_model_is_refused(
    backend: LlamaServerBackend, artifact: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(LoadFailed, match=r"text\.gguf cannot draft: "):
        load(backend, artifact.path, tmp_path / "text.gguf")
