"""Text from elsewhere is harmless, and figures read well."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.text import (
    StreamStripper,
    format_bytes,
    format_parameters,
    nearest,
    one_line,
    percent,
    strip_controls,
)

EVIL = "\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07 \x9b2J\x1bPq\x1b\\ back\x08\u202eabc\r"


def test_control_sequences_are_stripped() -> None:
    assert strip_controls(EVIL) == "red bell  backabc"


def test_plain_text_is_untouched() -> None:
    text = "Größe: 3\tGB\n日本語 👩‍👩‍👧"
    assert strip_controls(text) == text


@given(st.lists(st.sampled_from([*EVIL, "\x1b[", "31m", "x", "é", "\x1b]8;;", "\x07"])))
def test_pieces_give_what_the_whole_gives(pieces: list[str]) -> None:
    stripper = StreamStripper()
    streamed = "".join(stripper.feed(piece) for piece in pieces) + stripper.finish()
    assert streamed == strip_controls("".join(pieces))


def test_an_endless_sequence_does_not_hold_the_stream_back() -> None:
    stripper = StreamStripper()
    stripper.feed("\x1b]" + "x" * 10_000)
    assert stripper.feed("visible") == "visible"


def test_one_line_is_short_and_single() -> None:
    assert one_line("a\nb\x1b[2Jc   d") == "a bc d"
    assert len(one_line("x" * 1000)) == 200


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "?"),
        (0, "0 B"),
        (999, "999 B"),
        (253_113_024, "253 MB"),
        (3_155_051_328, "3.16 GB"),
        (17_229_630_496, "17.2 GB"),
        (999_700, "1.00 MB"),
        (9_996_000, "10.0 MB"),
    ],
)
def test_bytes(count: int | None, text: str) -> None:
    assert format_bytes(count) == text


def test_parameters() -> None:
    assert format_parameters(268_098_176) == "268M"
    assert format_parameters(27_009_002_240) == "27B"
    assert format_parameters(999_885_952) == "1B"


def test_percent_never_claims_all_or_nothing() -> None:
    assert percent(0.0001) == "<1%"
    assert percent(0.9999) == ">99%"
    assert percent(1.0) == "100%"
    assert percent(0.0) == "0%"


def test_nearest_ignores_case() -> None:
    assert nearest("Gemma-3-4b-It", ["gemma-3-4b-it", "gemma-3-12b-it"])[0] == "gemma-3-4b-it"
    assert nearest("zzzzzz", ["gemma"]) == []
