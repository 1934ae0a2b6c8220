"""A thought in the chat: folded, opened by a key, switched on by a key and in the options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, Select, Static

from gemmahub.tui.answer_feed import AnswerFeed
from gemmahub.tui.screens.chat_options import ChatOptionsScreen
from gemmahub.tui.widgets.thought import Thought
from gemmahub.tui.widgets.turns import Answer
from tests.tui.chat_support import answers, ask, chat, run, until

if TYPE_CHECKING:
    from gemmahub.service import Library
    from gemmahub.tui.screens.chat import ChatScreen


def text_of(thought: Thought) -> Static:
    return thought.query_one(".thought--text", Static)


def line_of(thought: Thought) -> str:
    return str(thought.query_one(".thought--line", Static).render())


def thinking(screen: ChatScreen) -> object:
    return screen.view.journal.saved().described.sampling.thinking


def test_a_thought_is_folded_until_it_is_opened(echo_hub: Library, model: str) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "one two")
            assert not screen.query_one(Thought).display
            await pilot.press("ctrl+l")  # there is none, which is no failure
            await pilot.press("ctrl+t")
            assert thinking(screen) is True
            assert "--think" in screen.command
            await ask(screen, pilot, "three four")
            thought = list(screen.query(Thought))[-1]
            assert thought.display
            assert thought.source.strip()
            assert not text_of(thought).display
            assert "thought for 0." in line_of(thought)
            assert answers(screen) == ["one two", "three four"]  # without it, also when copied
            await pilot.press("ctrl+l")
            await pilot.pause()
            assert text_of(thought).display
            assert str(text_of(thought).render()) == thought.source.strip()
            await pilot.click(thought)
            assert not text_of(thought).display
            await pilot.press("ctrl+t")
            assert not thinking(screen)
            assert "--think" not in screen.command

    run(scenario())


def test_a_kept_thought_is_there_when_the_conversation_goes_on(
    echo_hub: Library, model: str
) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await pilot.press("ctrl+t")
            await ask(screen, pilot, "one two")
            said = screen.query_one(Answer).thought
            id_ = screen.view.journal.id
            screen.view.open(None)
            screen.view.open(id_)
            await until(lambda: len(screen.query(Answer)) == 1, "shown again", pilot)
            assert screen.query_one(Answer).thought == said
            assert "thought for 0." in line_of(screen.query_one(Thought))

    run(scenario())


@pytest.mark.parametrize(("budget", "wanted"), [("", True), ("3", 3)])
def test_the_options_switch_thoughts_on_and_limit_them(
    echo_hub: Library, model: str, budget: str, wanted: object
) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await pilot.press("ctrl+s")
            await until(lambda: isinstance(pilot.app.screen, ChatOptionsScreen), "form", pilot)
            form = pilot.app.screen
            form.query_one("#thinking", Select).value = True
            form.query_one("#budget", Input).value = budget
            await pilot.press("ctrl+s")
            await until(lambda: thinking(screen) is not None, "accepted", pilot)
            assert thinking(screen) == wanted
            assert type(thinking(screen)) is type(wanted)

    run(scenario())


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_thoughts_are_drawn_in_pieces_before_the_text(limit: int) -> None:
    from gemmahub.conversations import AnswerDelta, AnswerFinished

    feed = AnswerFeed()
    delta = AnswerDelta(1, "so be it", 2, 1.0, 0.5, "hm, well")
    feed.read([delta, AnswerFinished(1, "!", "stop", thought="?")])
    text = thought = ""
    while (batch := feed.take(limit)) is not None:
        assert len(batch.text) + len(batch.thought) <= limit
        text, thought = text + batch.text, thought + batch.thought
    assert (thought, text) == ("hm, well?", "so be it!")
    assert feed.over
