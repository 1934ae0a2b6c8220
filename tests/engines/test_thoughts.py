"""Thoughts are told from answers, however their text is cut, and no marker comes through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, ToolCall, Usage
from gemmahub.engines.thoughts import (
    CLOSES,
    MARKERS,
    OPENS,
    ThoughtLimit,
    ThoughtStream,
    told_apart,
)

if TYPE_CHECKING:
    from collections.abc import Generator

USAGE = Usage(FinishReason.STOP)
WORDS = st.lists(st.sampled_from([*MARKERS, "thought\n", "thought", "<", "|", "a", "\n", "é"]))


def split(*pieces: str) -> tuple[str, str]:
    """Thought and answer."""
    stream = ThoughtStream()
    chunks = [chunk for piece in pieces for chunk in stream.feed(piece)] + stream.finish()
    said = {kind: "".join(c.text for c in chunks if c.kind is kind) for kind in ChunkKind}
    return said[ChunkKind.REASONING], said[ChunkKind.ANSWER]


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("8", "", "8"),
        (f"{OPENS}thought\nfour and four{CLOSES}8", "four and four", "8"),
        (f"{OPENS}thought\n{CLOSES}8", "", "8"),
        (f"{OPENS}{CLOSES}8", "", "8"),
        (f"{OPENS}four and four{CLOSES}8", "four and four", "8"),
        (f"{OPENS}thoughts of four{CLOSES}8", "thoughts of four", "8"),
        (f"{OPENS}thought\nnever ends", "never ends", ""),
        (f"{OPENS}thought", "", ""),
        (f"{OPENS}thought{CLOSES}8", "", "8"),
        (f"so{CLOSES} 8", "", "so 8"),
        (f"8{OPENS}thought\nor 9{CLOSES}?", "or 9", "8?"),
        (f"{OPENS}{OPENS}thought\nx{CLOSES}{CLOSES}8", "x", "8"),
        ("a <|chan is not a marker <", "", "a <|chan is not a marker <"),
    ],
)
def test_thinking_is_separated_from_the_answer(text: str, thought: str, answer: str) -> None:
    assert split(text) == (thought, answer)
    assert split(*text) == (thought, answer)


@given(WORDS, st.integers(1, 9))
def test_how_the_text_is_cut_changes_nothing(words: list[str], size: int) -> None:
    text = "".join(words)
    whole = split(text)
    assert split(*(text[at : at + size] for at in range(0, len(text), size))) == whole


@given(WORDS)
def test_no_marker_comes_through_and_all_other_text_does(words: list[str]) -> None:
    stream = ThoughtStream()
    chunks = [chunk for word in words for chunk in stream.feed(word)] + stream.finish()
    assert all(chunk.text for chunk in chunks)
    assert not any(marker in chunk.text for chunk in chunks for marker in MARKERS)
    markers = r"<\|channel>(thought(\n|(?=<\|channel>|<channel\|>|\Z)))?|<channel\|>"
    assert "".join(chunk.text for chunk in chunks) == re.sub(markers, "", "".join(words))


def test_tokens_of_thoughts_are_counted_without_markers_and_name() -> None:
    stream = ThoughtStream()
    for piece in (OPENS, "thought", "\n", "one", " two", "", CLOSES, "three"):
        stream.feed(piece)
    assert stream.tokens == 2


def test_text_without_markers_is_given_at_once() -> None:
    assert ThoughtStream().feed("so") == [Chunk("so")]
    assert ThoughtStream().feed("a < b") == [Chunk("a < b")]


def test_any_engines_chunks_are_distinguished_and_the_last_one_has_the_usage() -> None:
    call = Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=ToolCall("1", "look_up", "{}"))
    own = Chunk("mine", kind=ChunkKind.REASONING)
    given_ = [own, Chunk(f"{OPENS}thou"), Chunk(f"ght\nhm{CLOSES}8"), call, Chunk(" <|ch", USAGE)]
    assert list(told_apart(chunk for chunk in given_)) == [
        own,
        Chunk("hm", kind=ChunkKind.REASONING),
        Chunk("8"),
        call,
        Chunk(" ", None),
        Chunk("<|ch", USAGE),
    ]


def test_a_thought_at_the_very_end_leaves_the_last_chunk_empty() -> None:
    found = list(told_apart(chunk for chunk in [Chunk(f"{OPENS}hm", USAGE)]))
    assert found == [Chunk("hm", kind=ChunkKind.REASONING), Chunk("", USAGE)]


def test_leaving_an_answer_closes_the_engines() -> None:
    closed = []

    def engine() -> Generator[Chunk, None, None]:
        try:
            yield Chunk("a")
            yield Chunk("b")
        finally:
            closed.append(True)

    chunks = told_apart(engine())
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert closed == [True]


def test_a_limit_ends_a_thought_and_leaves_the_answer_alone() -> None:
    limit = ThoughtLimit(2, [7, 8])
    for piece in (OPENS, "thought", "\n", "one"):
        limit.saw(piece.encode())
        assert limit.forced() is None
    limit.saw(b" two")
    assert limit.forced() == 7
    limit.saw(b"\n")
    assert limit.forced() == 8
    limit.saw(CLOSES.encode())
    for _ in range(5):
        limit.saw(b" word")
        assert limit.forced() is None


@pytest.mark.parametrize("thinking", [True, False, None])
def test_without_a_number_nothing_is_limited(thinking: bool | None) -> None:
    limit = ThoughtLimit(thinking, [7])
    limit.saw(OPENS.encode())
    for _ in range(9):
        limit.saw(b"word")
    assert limit.forced() is None
