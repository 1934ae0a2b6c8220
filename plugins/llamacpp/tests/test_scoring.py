"""Scores of texts: the method of llama-perplexity, and what comes with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gemmahub.engines.contract import Artifact, Settings
from gemmahub.errors import ContextExceeded, GenerationFailed
from gemmahub.testing.model_writer import write_model
from gemmahub_llamacpp import scoring
from gemmahub_llamacpp.scoring import _best

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gemmahub_llamacpp.backend import LlamaCppBackend
    from gemmahub_llamacpp.session import LlamaCppSession

TEXT = "To be, or not to be, that is the question: <bos> Whether 'tis nobler in the mind. " * 12
START = 2


@pytest.fixture(scope="module")
def tiny(backend: LlamaCppBackend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = tmp_path_factory.mktemp("scoring") / "tiny.gguf"
    write_model(path)
    exact = Settings(context=1024, cache_type_k="f32", cache_type_v="f32", flash_attention=False)
    with backend.load(Artifact("gguf", path, (path,)), exact) as session:
        yield session


def plain_logits(session: LlamaCppSession, tokens: list[int]) -> Any:
    """The logits of each token, one computed after the other."""
    context, words = session.context, session.model.words
    context.clear()
    rows = []
    for token in tokens:
        context.advance(token)
        rows.append(np.array(context.logits(1, words)[0], dtype=np.float64))
    context.clear()
    return np.array(rows)


@pytest.mark.parametrize("window", [32, 33, 600])
def test_second_half_of_each_window_is_scored_after_the_start_token(
    tiny: LlamaCppSession, window: int
) -> None:
    tokens = tiny.model.tokenize(TEXT, special=False, start=True)
    found = list(tiny.score(TEXT, window))
    assert len(found) == len(tokens) // window
    for number, scored in enumerate(found):
        own = [START, *tokens[number * window + 1 : (number + 1) * window]]
        assert list(scored.tokens) == own
        assert scored.unscored == window // 2 + 1
        assert not scored.top_tokens
        assert not scored.at_log_probabilities
    logits = plain_logits(tiny, list(found[-1].tokens))
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    first = found[-1].unscored
    expected = [logs[place - 1, found[-1].tokens[place]] for place in range(first, window)]
    assert found[-1].log_probabilities == pytest.approx(expected, abs=1e-3)


def test_control_tokens_written_out_in_a_text_are_text(tiny: LlamaCppSession) -> None:
    (first, *_) = tiny.score("<bos>" * 40, 32)
    assert START not in first.tokens[1:]


def test_best_and_named_tokens_are_of_the_same_softmax(tiny: LlamaCppSession) -> None:
    words = list(range(tiny.model.words))
    (scored,) = tiny.score_at(TEXT, 2, [[words] * 32], 32, 7)
    for best, values, everything in zip(
        scored.top_tokens,
        scored.top_log_probabilities,
        scored.at_log_probabilities,
        strict=True,
    ):
        assert np.exp(everything).sum() == pytest.approx(1, abs=1e-5)
        order = np.argsort(-np.array(everything), kind="stable")[:7]
        assert list(best) == order.tolist()
        assert values == pytest.approx([everything[token] for token in order], abs=1e-6)


def test_best_of_many_are_found_also_if_a_sample_misleads() -> None:
    draw = np.random.default_rng(1)
    even = draw.normal(size=262_144).astype(np.float32)
    peak = np.zeros(262_144, dtype=np.float32)
    peak[scoring._SAMPLE // 2 :: scoring._SAMPLE] = 1.0  # none of them is in the sample
    equal = np.zeros(262_144, dtype=np.float32)
    for logits in (even, peak, equal, even[:50]):
        for count in (1, 40, 1024):
            expected = np.argsort(-logits, kind="stable")[:count]
            assert _best(logits, count).tolist() == expected.tolist()


def test_answers_and_scores_take_turns(tiny: LlamaCppSession) -> None:
    from gemmahub.engines.contract import Sampling

    before = list(tiny.score(TEXT, 64))
    assert list(tiny.generate("abc", Sampling(temperature=0.0, max_tokens=4)))
    assert list(tiny.score(TEXT, 64)) == before
    assert next(tiny.score(TEXT, 32)).tokens == before[0].tokens[:32]


def test_a_cancel_stops_a_text_and_the_next_one_is_scored(tiny: LlamaCppSession) -> None:
    windows = tiny.score(TEXT, 32)
    next(windows)
    tiny.cancel()
    with pytest.raises(GenerationFailed, match="stopped"):
        next(windows)
    assert list(tiny.score(TEXT, 32))


def test_windows_of_no_use_are_refused(tiny: LlamaCppSession) -> None:
    with pytest.raises(ContextExceeded, match="a window of 1,025 tokens does not fit"):
        tiny.score(TEXT, 1025)
    with pytest.raises(GenerationFailed, match="has nothing to score"):
        tiny.score(TEXT, 3)
    assert list(tiny.score("short", 512)) == []


def test_a_closed_session_scores_nothing(backend: LlamaCppBackend, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_model(path)
    session = backend.load(Artifact("gguf", path, (path,)), Settings(context=256))
    windows = session.score(TEXT, 32)
    next(windows)
    closing = threading.Thread(target=session.close)
    closing.start()
    closing.join()
    with pytest.raises(GenerationFailed, match="closed"):
        next(windows)
    with pytest.raises(GenerationFailed, match="closed"):
        session.score(TEXT, 32)


def test_the_real_model_scores_as_llama_perplexity_printed(
    backend: LlamaCppBackend, artifact: Artifact
) -> None:
    """``llama-perplexity --chunks 1`` of the same build printed 31.8287 for this text."""
    from importlib.resources import files

    text = (files("gemmahub.measurements") / "texts" / "prose.txt").read_text("utf-8")
    with backend.load(artifact, Settings(context=512)) as session:
        (scored,) = session.score_at(text, 0, [[()] * 512])
    assert np.exp(-np.mean(scored.log_probabilities)) == pytest.approx(31.8287, rel=1e-3)
