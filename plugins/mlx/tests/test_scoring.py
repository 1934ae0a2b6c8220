"""Scores of texts: numbers are those of a plain log-softmax in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gemmahub.errors import ContextExceeded, GenerationFailed

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact
    from gemmahub_mlx.backend import MlxBackend
    from gemmahub_mlx.session import MlxSession

TEXT = "To be, or not to be, that is the question: whether it is nobler in the mind. " * 14


@pytest.mark.parametrize("window", [32, 33, 300])
def test_second_half_of_each_window_is_scored(session: MlxSession, window: int) -> None:
    tokens = session.tokenizer.tokenize(TEXT, special=False, start=True)
    found = list(session.score(TEXT, window))
    assert len(found) == len(tokens) // window
    start = tokens[0]
    for number, scored in enumerate(found):
        assert list(scored.tokens) == [start, *tokens[number * window + 1 : (number + 1) * window]]
        assert scored.unscored == window // 2 + 1
    core = session._library.core
    logits = session._model(core.array(list(found[-1].tokens))[None])[0].astype(core.float32)
    plain = np.array(logits.tolist(), dtype=np.float32)
    logs = plain - np.log(np.exp(plain).sum(1, keepdims=True))
    places = range(found[-1].unscored, window)
    expected = [logs[place - 1, found[-1].tokens[place]] for place in places]
    assert found[-1].log_probabilities == pytest.approx(expected, abs=2e-2)
    assert np.mean(found[-1].log_probabilities) == pytest.approx(np.mean(expected), abs=1e-3)


def test_best_and_named_tokens_are_of_the_same_softmax(session: MlxSession) -> None:
    words = list(range(session.tokenizer.words))
    (scored,) = session.score_at(TEXT, 1, [[words] * 32], 32, 7)
    for best, values, everything in zip(
        scored.top_tokens,
        scored.top_log_probabilities,
        scored.at_log_probabilities,
        strict=True,
    ):
        assert values == pytest.approx(sorted(everything, reverse=True)[:7], abs=1e-6)
        assert values == pytest.approx([everything[token] for token in best], abs=1e-6)


def test_answers_and_scores_take_turns(session: MlxSession) -> None:
    from gemmahub.engines.contract import Sampling

    before = list(session.score(TEXT, 64))
    assert list(session.generate("abc", Sampling(temperature=0.0, max_tokens=4)))
    assert list(session.score(TEXT, 64)) == before


def test_a_cancel_stops_a_text_and_the_next_one_is_scored(session: MlxSession) -> None:
    windows = session.score(TEXT, 32)
    next(windows)
    session.cancel()
    with pytest.raises(GenerationFailed, match="stopped"):
        next(windows)
    assert list(session.score(TEXT, 32))


def test_windows_of_no_use_are_refused(session: MlxSession) -> None:
    with pytest.raises(ContextExceeded, match="a window of 513 tokens does not fit"):
        session.score(TEXT, 513)
    with pytest.raises(GenerationFailed, match="has nothing to score"):
        session.score(TEXT, 3)


def test_a_closed_session_scores_nothing(backend: MlxBackend, artifact: Artifact) -> None:
    from gemmahub.engines.contract import Settings

    session = backend.load(artifact, Settings(context=256, ubatch=64))
    windows = session.score(TEXT, 32)
    next(windows)
    session.close()
    with pytest.raises(GenerationFailed, match="closed"):
        next(windows)
