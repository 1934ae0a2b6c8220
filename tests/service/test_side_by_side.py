"""Answers of several variants to the same prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import NotFound, UsageError
from gemmahub.service.scoring import side_by_side as module
from gemmahub.service.scoring.side_by_side import (
    GivenAnswer,
    VariantAnswers,
    first_difference,
    read_prompts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def given(*texts: str) -> VariantAnswers:
    found = tuple(GivenAnswer(text, len(text), 0.5) for text in texts)
    return VariantAnswers("model", "Q4_0", "engine", found)


def test_prompts_are_lines_or_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text('What is 2+2?\n\n  {"prompt": "two\\nlines"}\n', encoding="utf-8")
    assert read_prompts(str(path)) == ["What is 2+2?", "two\nlines"]
    for wrong in ('{"other": 1}\n', "{not json\n", '{"prompt": 3}\n', '{"prompt": " "}'):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(UsageError, match=r'line 1 of .* has no "prompt"'):
            read_prompts(str(path))
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(UsageError, match="has no prompts"):
        read_prompts(str(path))
    path.write_bytes(b"\xff\xff")
    with pytest.raises(NotFound, match="not UTF-8 text"):
        read_prompts(str(path))
    with pytest.raises(NotFound, match="cannot be read"):
        read_prompts(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("one", "two", "place"),
    [("abc", "abc", None), ("abc", "abd", 2), ("ab", "abc", 2), ("", "x", 0), ("", "", None)],
)
def test_where_answers_first_differ(one: str, two: str, place: int | None) -> None:
    assert first_difference(one, two) == place


def test_shares_lengths_and_speeds() -> None:
    first = given("same words", "one way", "abcd")
    other = module.held_against(
        first, given("same words", "one day", "ab"), ["a", "b", "c"], [""] * 3
    )
    assert [each.differs_at for each in other.differences] == [None, 4, 2]
    assert other.differences[1].first == "way"
    assert other.differences[1].other == "day"
    assert other.same == pytest.approx(1 / 3)
    assert other.common == pytest.approx((1 + 4 / 7 + 1) / 3)
    assert other.mean_tokens == pytest.approx(19 / 3)
    assert other.tokens_per_second == pytest.approx(16 / 1.5)
    assert first.same == first.common == 1


def test_a_judge_is_asked_both_ways_and_has_to_stay_with_it() -> None:
    first = given("a", "b", "c", "d")
    other = given("x", "b", "y", "z")
    asked: list[str] = []

    def judge(questions: Sequence[str]) -> VariantAnswers:
        asked.extend(questions)
        return given("1", "2", "2", "1.", "1", "1")

    verdicts = module.judged([first, other], ["p", "q", "r", "s"], judge)
    assert verdicts[1] == ["first", "same", "other", "same"]
    assert len(asked) == 6
    assert asked[0].index("\na\n") < asked[0].index("\nx\n")
    assert asked[1].index("\nx\n") < asked[1].index("\na\n")
    assert module.judged([first, first], ["p"] * 4, judge)[1] == ["same"] * 4
    assert len(asked) == 6, "same answers need no judge"
