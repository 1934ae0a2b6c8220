"""Text from elsewhere is harmless, and figures read well."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.text import (
    StreamStripper,
    escape_unshown,
    format_bytes,
    format_parameters,
    nearest,
    one_line,
    percent,
    strip_controls,
    strip_escapes,
)
from tests.hostile_text import BROKEN_TEXT, UNSHOWN, raw

EVIL = "\x1b[31mred\x1b[0m \x1b]0;title\x07bell\x07 \x9b2J\x1bPq\x1b\\ back\x08\u202eabc\r"


def test_control_sequences_are_stripped() -> None:
    assert strip_controls(EVIL) == "red bell  backabc"


def test_plain_text_is_untouched() -> None:
    text = "Größe: 3\tGB\n日本語 👩‍👩‍👧"
    assert strip_controls(text) == text


def test_no_character_that_cannot_be_seen_passes() -> None:
    assert {unicodedata.category(char) for char in UNSHOWN} == {
        "Cc", "Cf", "Zl", "Zp", "Cs", "Co",
    }  # fmt: skip
    assert len(UNSHOWN) > 139_000  # most of them for private use
    for char in UNSHOWN:
        assert strip_controls(char) in ("", " "), f"U+{ord(char):04X}"
    assert not raw(strip_controls("x".join(UNSHOWN)))
    assert not raw(one_line("x".join(UNSHOWN), 1_000_000))


def test_all_other_characters_pass() -> None:
    every = map(chr, range(sys.maxunicode + 1))
    text = "".join(c for c in every if c.isprintable() or unicodedata.category(c) == "Zs")
    assert len(text) > 140_000
    assert strip_controls(text + "\n\t") == text + "\n\t"


@pytest.mark.parametrize(
    ("code", "stays"),
    [
        (0xFFFE, False), (0xFDD0, False), (0x1FFFF, False), (0x10FFFE, False), (0xE0002, False),
        (0x2065, False), (0xFFF0, False), (0x1343F, False), (0x0378, True), (0x1FAFF, True),
        (0x3FFFD, True),
    ],
)  # fmt: skip
def test_what_is_unassigned_passes_unless_it_is_invisible(code: int, stays: bool) -> None:
    assert strip_controls(f"a{chr(code)}b") == (f"a{chr(code)}b" if stays else "ab")


def test_other_line_breaks_keep_words_apart() -> None:
    assert strip_controls("one\u2028two\u2029three\x85four\x0bfive\x0csix") == (
        "one two three four five six"
    )


JOINED = (
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: a letter ends, the word goes on
    "\u0647\u200d\u0640",  # Arabic: a letter is joined
    "\u0d1a\u0d4d\u200c\u0d1b",  # Malayalam: a virama that is shown
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala: a conjunct
    "\u0d28\u0d4d\u200d",  # Malayalam: a letter without its vowel, at the end of a word
    "\u09b0\u200d\u09cd\u09af",  # Bengali: ya-phalaa after ra
    "\U0001f469\u200d\U0001f4bb",  # a woman and a computer
    "\U0001f469\U0001f3fd\u200d\U0001f680",  # with a skin tone
    "\U0001f3f3\ufe0f\u200d\U0001f308",  # a flag with a variation selector
    "\U0001f9d4\u200d\u2642\ufe0f",
    "\u26d3\ufe0f\u200d\U0001f4a5",
)
NOT_JOINED = (
    "a\u200db", "a\u200cb", "\u200d", "\u200ca", "a\u200d", "1\u200d2", "\u4e00\u200d\u4e8c",
    "a\u200d\U0001f469", "\U0001f469\u200da", "\U0001f469\u200c\U0001f469", "\U0001f469\u200d",
    "\u0645\u200c", "\u200c\u0645", "\u0645\u200ca", "\u0661\u200c\u0662", "\u0915\u200d\u0937",
    "\u094d\u200d", "\U0001f469\u200d\u200d\U0001f469", "\U0001f469\u200b\u200d\U0001f469",
    "\ufe0f\u200d\U0001f469", "a\ufe0f\u200d\U0001f469", "\U0001f469\u200d\ufe0f",
)  # fmt: skip


@pytest.mark.parametrize("text", JOINED)
def test_a_joiner_stays_where_it_has_a_meaning(text: str) -> None:
    assert strip_controls(text) == text
    assert strip_controls(f"x{text} y\n") == f"x{text} y\n"
    assert all(strip_controls(f"{text}{char}") == text for char in "\u200b\u202e\x9b")


@pytest.mark.parametrize("text", NOT_JOINED)
def test_a_joiner_goes_where_it_has_none(text: str) -> None:
    assert not {"\u200c", "\u200d"} & set(strip_controls(text))


def test_an_unfinished_sequence_hides_nothing() -> None:
    assert strip_controls("a\x1b]0;title and more") == "a0;title and more"
    assert strip_controls("a\x9db: c\x9fd") == "ab: cd"
    assert strip_controls("a\x1b]0;b\nc\x07d") == "a0;b\ncd"
    assert strip_controls("a\x9b") == "a"


PIECES = st.lists(
    st.sampled_from(
        [*EVIL, *JOINED, *"".join(JOINED), "\x1b[", "31m", "x", "é", "\x1b]8;;", "\x07", "\n", " "]
    )
)


@given(PIECES)
def test_pieces_give_what_the_whole_gives(pieces: list[str]) -> None:
    stripper = StreamStripper()
    streamed = "".join(stripper.feed(piece) for piece in pieces) + stripper.finish()
    assert streamed == strip_controls("".join(pieces))


@given(PIECES)
def test_stripping_twice_changes_nothing(pieces: list[str]) -> None:
    once = strip_controls("".join(pieces))
    assert strip_controls(once) == once
    assert one_line(one_line(once)) == one_line(once)


@given(st.text(st.characters(codec=None)))
def test_any_text_is_harmless_afterwards(text: str) -> None:
    kept = raw(strip_controls(text))
    assert set(kept) <= {"U+200C", "U+200D"}


def test_an_endless_sequence_does_not_hold_the_stream_back() -> None:
    stripper = StreamStripper()
    stripper.feed("\x1b]" + "x" * 10_000)
    assert stripper.feed("visible") == "visible"


def test_a_text_of_all_characters_leaves_little_behind() -> None:
    strip_controls("".join(UNSHOWN))
    from gemmahub import text

    assert all(len(table) <= 4096 for table in (text._SHOWN, text._ESCAPED, text._OBEYED))


def test_json_is_the_same_with_escapes() -> None:
    value = {BROKEN_TEXT: ["x".join(UNSHOWN), *JOINED, '\n\t"\\', "Größe 日本 👩‍👩‍👧"]}
    text = json.dumps(value, ensure_ascii=False, indent=1)
    escaped = escape_unshown(text)
    assert not raw(escaped)
    read = json.loads(escaped)
    # A pair of halves is one character once it is read.
    assert json.dumps(read) == json.dumps(json.loads(json.dumps(value)))
    assert "Größe 日本" in escaped
    assert "👩\\u200d👩\\u200d👧" in escaped


def test_a_file_keeps_characters_that_terminals_ignore() -> None:
    assert strip_escapes("a\x1b[31mb\x9b2Jc\x07d\ud800e\u200b\u202ef\ue000\n\t") == (
        "abcde\u200b\u202ef\ue000\n\t"
    )


def test_one_line_is_short_and_single() -> None:
    assert one_line("a\nb\x1b[2Jc   d") == "a bc d"
    assert len(one_line("x" * 1000)) == 200


def test_no_address_is_cut_inside() -> None:
    address = "https://mirror.example.org/api/huggingfaceml/hf/user/repo"
    text = f"nothing came from {address} (see {address}/tree), which says: not found; hf://user/r"
    whole = set(text.split())
    for limit in range(20, len(text) + 1):
        shown = one_line(text, limit)
        assert len(shown) <= limit
        assert {word for word in shown.split() if "://" in word} <= whole
        assert text.startswith(shown.removesuffix("…"))
    assert one_line(text, 100) == f"nothing came from {address} (see …"
    assert one_line(f"{address} is gone", 40) == f"{address} …"
    assert one_line(address, 40) == address
    assert one_line(address + "/x" * 50, 40) == "https://mirror.example.org/…"
    assert len(one_line("x" * 300 + "://", 40)) == 40


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
