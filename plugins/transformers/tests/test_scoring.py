"""Scores of texts: numbers are those of a plain log-softmax of the whole window at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.engines.contract import Sampling
from gemmahub.errors import ContextExceeded, GenerationFailed

if TYPE_CHECKING:
    from gemmahub_transformers.session import TransformersSession

TEXT = "To be, or not to be, that is the question: whether it is nobler in the mind. " * 14


@pytest.mark.parametrize("window", [32, 33, 300])
def test_second_half_of_each_window_is_scored(session: TransformersSession, window: int) -> None:
    import torch

    tokens = session.tokenizer.tokenize(TEXT, special=False, start=True)
    found = list(session.score(TEXT, window))
    assert len(found) == len(tokens) // window
    start = tokens[0]
    for number, scored in enumerate(found):
        assert list(scored.tokens) == [start, *tokens[number * window + 1 : (number + 1) * window]]
        assert scored.unscored == window // 2 + 1
    last = found[-1]
    with torch.inference_mode():
        ids = torch.tensor([list(last.tokens)])
        logs = session._forward._model(input_ids=ids).logits[0].double().log_softmax(-1)
    places = range(last.unscored, window)
    expected = [float(logs[place - 1, last.tokens[place]]) for place in places]
    assert last.log_probabilities == pytest.approx(expected, abs=1e-4)


def test_best_and_named_tokens_are_of_the_same_softmax(session: TransformersSession) -> None:
    words = list(range(session.tokenizer.words))
    (scored,) = session.score_at(TEXT, 1, [[words] * 32], 32, 7)
    for best, values, everything in zip(
        scored.top_tokens, scored.top_log_probabilities, scored.at_log_probabilities, strict=True
    ):
        assert values == pytest.approx(sorted(everything, reverse=True)[:7], abs=1e-6)
        assert values == pytest.approx([everything[token] for token in best], abs=1e-6)


def test_answers_and_scores_take_turns(session: TransformersSession) -> None:
    before = list(session.score(TEXT, 64))
    assert list(session.generate("abc", Sampling(temperature=0.0, max_tokens=4)))
    assert list(session.score(TEXT, 64)) == before


def test_a_cancel_stops_a_text_and_the_next_one_is_scored(session: TransformersSession) -> None:
    windows = session.score(TEXT, 32)
    next(windows)
    session.cancel()
    with pytest.raises(GenerationFailed, match="stopped"):
        next(windows)
    assert list(session.score(TEXT, 32))


def test_windows_of_no_use_are_refused(session: TransformersSession) -> None:
    with pytest.raises(ContextExceeded, match="a window of 513 tokens does not fit"):
        session.score(TEXT, 513)
    with pytest.raises(GenerationFailed, match="has nothing to score"):
        session.score(TEXT, 3)
