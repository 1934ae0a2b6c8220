"""Parts of the chat that need no screen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from gemmahub.conversations import AnswerDelta, AnswerFinished, AnswerStarted
from gemmahub.errors import GemmahubError
from gemmahub.tui.answer_feed import FARTHEST_BEHIND, AnswerFeed, share_for
from gemmahub.tui.widgets.chat_lines import Figures, Names, bar_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.conversations import ChatEvent

NAMES = Names(
    "Gemma 3 4B", "Q4_0 · int4 · QAT · 5.10 bits/weight", "Q4_0", "5.10 bits/weight",
    "llama.cpp 0.3.36", "CUDA0",
)  # fmt: skip


@given(st.integers(1, 200))
def test_a_title_fits_and_never_loses_the_precision(width: int) -> None:
    text = NAMES.fitted(width)
    assert "Q4_0" in text
    assert Content(text).cell_length <= max(width, 4)
    if width >= 17:
        assert text.startswith("Gemma 3")
    if width >= 80:
        assert text.startswith("Gemma 3 4B · Q4_0 · int4 · QAT · 5.10 bits/weight · llama.cpp")


def test_the_context_in_words() -> None:
    assert Figures(context_used=100, context=1000).context_text() == "context 100 of 1,000 (10%)"
    about = Figures(context_used=900, context=1000, about=True)
    assert about.context_text() == "context 90% full: ~100 of 1,000 left"
    assert about.nearly_full
    assert Figures().context_text() == ""


@given(st.floats(-1, 2), st.integers(5, 40))
def test_a_bar_is_as_wide_as_it_should_be(share: float, cells: int) -> None:
    assert len(bar_text(share, cells)) == cells + 2
    assert ("█" in bar_text(share, cells)) == (share * cells * 8 >= 7.5)


def events(*texts: str) -> Iterator[ChatEvent]:
    yield AnswerStarted(0, "q", (), 1, "who")
    for number, text in enumerate(texts):
        yield AnswerDelta(1, text, number + 1, 1.0, 0.5)
    yield AnswerFinished(1, "end", "stop")


def test_a_feed_hands_on_everything_in_portions() -> None:
    feed = AnswerFeed()
    feed.read(events("a" * 30, "b" * 5))
    first = feed.take(10)
    assert first is not None
    assert first.asked is not None
    text, ended = "", None
    while (batch := feed.take(10)) is not None:
        assert len(batch.text) <= 10
        assert ended is None
        text, ended = text + batch.text, batch.ended
    assert text == "a" * 30 + "b" * 5 + "end"
    assert ended is not None
    assert feed.over


def test_a_model_waits_for_a_screen_that_is_far_behind() -> None:
    feed = AnswerFeed()
    read: list[int] = []

    def endless() -> Iterator[ChatEvent]:
        while len(read) < 1000:
            read.append(1)
            yield AnswerDelta(1, "x" * 1000, 1, 1.0, 0.5)

    reader = threading.Thread(target=feed.read, args=(endless(),))
    reader.start()
    while len(read) * 1000 <= FARTHEST_BEHIND:
        reader.join(0.001)
    assert feed.take(1000) is not None
    assert not feed.over
    assert len(read) < 1000
    feed.abandon()
    reader.join(30)
    assert not reader.is_alive()


def test_what_cannot_be_asked_is_kept_as_an_error() -> None:
    def broken() -> Iterator[ChatEvent]:
        raise GemmahubError("no", "yes")
        yield

    feed = AnswerFeed()
    feed.read(broken())
    assert feed.over
    assert feed.error is not None


@pytest.mark.parametrize(
    ("threads", "processors", "on_host", "scarce"),
    [(2, 2, True, True), (4, 8, True, False), (2, 2, False, False), (None, 4, True, True)],
)
def test_drawing_gives_way_where_the_engine_needs_every_processor(
    threads: int | None, processors: int, on_host: bool, scarce: bool
) -> None:
    assert (share_for(threads, processors, on_host=on_host) < 0.1) is scarce
