"""The chat screen as a person uses it. The echo backend answers, through its worker process."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Button, Input, Markdown, TextArea

from gemmahub.conversations import ConversationStore
from gemmahub.service import Library
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.chat_options import ChatOptionsScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.widgets.chat_lines import ChatFigures, ChatTitle
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import Answer, Question, Turn
from tests.tui.chat_support import (
    SIZE,
    answers,
    ask,
    chat,
    run,
    shown,
    the_list,
    titles,
    told,
    until,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_question_is_answered_and_kept(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await pilot.press(*"hi", "ctrl+j", *"you", "enter")
            await until(lambda: answers(screen) == ["hi you"], "answer", pilot)
            await until(lambda: not screen.view.answering, "over", pilot)
            assert shown(screen, ChatTitle).startswith("Tiny · Q4_0 · ")
            assert "echo 1" in shown(screen, ChatTitle)
            figures = shown(screen, ChatFigures)
            assert "tokens/s" in figures
            assert "first token" in figures
            assert "context 4 of 4,096 (0%)" in figures
            assert screen.query_one(PromptEditor).text == ""
            assert screen.query_one(Question).source == "hi\nyou"
        (match,) = ConversationStore(echo_hub.config.data).search("")
        assert match.summary.title == "hi you"

    run(body())


def test_markdown_is_drawn_and_tags_stay(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "**bold** <b>tag</b> [link](http://x) [red]no markup[/red]")
            text = str(screen.query_one(Markdown).children[0].render())
            assert text == "bold <b>tag</b> link [red]no markup[/red]"

    run(body())


def test_escape_stops_and_twice_leaves(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, delay=0.02) as (screen, pilot):
            screen.query_one(PromptEditor).text = "word " * 2000
            await pilot.press("enter")
            await until(lambda: answers(screen) and answers(screen)[0], "text", pilot)
            await pilot.press("escape")
            await until(lambda: not screen.view.answering, "stopped", pilot)
            assert "stopped" in screen.query_one(Answer).note
            await pilot.press("escape")
            assert pilot.app.screen is screen
            await pilot.press("escape")
            await until(lambda: pilot.app.screen is not screen, "left", pilot)
        echo_hub.conversations.open(screen.view.journal.id).close()  # nobody holds it any more

    run(body())


def test_again_and_edit_replace_what_followed(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "one")
            await ask(screen, pilot, "two")
            await pilot.press("ctrl+r")
            await until(lambda: not screen.view.answering, "again", pilot)
            assert answers(screen) == ["one", "two"]
            await pilot.press("ctrl+up", "ctrl+up", "ctrl+up", "ctrl+g")
            await until(lambda: pilot.app.screen is not screen, "dialog", pilot)
            area = pilot.app.screen.query_one(TextArea)
            assert area.text == "one"
            area.text = "eins"
            await pilot.press("enter")
            await until(lambda: answers(screen) == ["eins"], "edited", pilot)
            await until(lambda: not screen.view.answering, "over", pilot)
            assert [turn.number for turn in screen.query(Turn)] == [0, 1]
            kept = echo_hub.conversations.load(screen.view.journal.id)
            assert [message.text for message in kept.messages] == ["eins", "eins"]

    run(body())


def test_history_of_questions(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "first")
            await ask(screen, pilot, "second")
            editor = screen.query_one(PromptEditor)
            await pilot.press(*"draft", "up")
            assert editor.text == "second"
            await pilot.press("up", "up", "up")
            assert editor.text == "first"
            await pilot.press("down", "down")
            assert editor.text == "draft"
        async with chat(echo_hub, model) as (screen, pilot):
            editor = screen.query_one(PromptEditor)
            await until(lambda: editor._history, "history", pilot)
            await pilot.press("up")
            assert editor.text == "second"

    run(body())


def test_copy_takes_the_last_answer(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await pilot.press("f4")
            assert pilot.app.clipboard == ""
            await ask(screen, pilot, "`copy` me")
            await pilot.press("f4")
            assert pilot.app.clipboard == "`copy` me"

    run(body())


def test_conversations_are_found_opened_renamed_deleted(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, size=(120, 40)) as (screen, pilot):
            await ask(screen, pilot, "about cats")
            first = screen.view.journal.id
            await pilot.press("ctrl+n")
            assert not screen.query(Turn)
            await ask(screen, pilot, "about dogs")
            await pilot.press("ctrl+o")
            await until(lambda: isinstance(pilot.app.screen, ConversationList), "list", pilot)
            listing = the_list(pilot)
            await until(lambda: len(listing._found) == 2, "both", pilot)
            listing.query_one(Input).value = "cats"
            await until(lambda: len(listing._found) == 1, "one", pilot)
            await pilot.press("f2")
            await until(lambda: pilot.app.screen is not listing, "title", pilot)
            pilot.app.screen.query_one(Input).value = "Felines"
            await pilot.press("enter")
            await until(lambda: titles(listing) == ["Felines"], "named", pilot)
            await pilot.press("enter")
            await until(lambda: pilot.app.screen is screen, "opened", pilot)
            assert screen.view.journal.id == first
            assert answers(screen) == ["about cats"]
            await ask(screen, pilot, "and more")
            assert answers(screen) == ["about cats", "and more"]
            await pilot.press("ctrl+n", "ctrl+o")
            await until(lambda: isinstance(pilot.app.screen, ConversationList), "list", pilot)
            listing = the_list(pilot)
            await until(lambda: len(listing._found) == 2, "both", pilot)
            await pilot.press("f8")
            await until(lambda: pilot.app.screen is not listing, "question", pilot)
            await pilot.press("y")
            await until(lambda: len(listing._found) == 1, "deleted", pilot)
        assert len(echo_hub.conversations.rows()) == 1

    run(body())


def test_options_count_and_what_makes_no_sense_is_said(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, size=(100, 40)) as (screen, pilot):
            await pilot.press("ctrl+s")
            await until(lambda: isinstance(pilot.app.screen, ChatOptionsScreen), "form", pilot)
            form = pilot.app.screen
            for entry in form.query(Input):  # each shows what it holds, also while one writes
                entry.focus()
                await pilot.pause()
                assert entry.content_size.height == 1
            form.query_one("#max_tokens", Input).value = "-3"
            await pilot.press("ctrl+s")
            assert pilot.app.screen is form
            assert "a whole number from 1" in str(form.query_one(".dialog--error").render())
            form.query_one("#max_tokens", Input).value = "2"
            form.query_one("#system", TextArea).text = "Be brief."
            form.query_one("#context", Input).value = "64"
            before = screen.view.chat
            await pilot.press("ctrl+s")
            # Between the two there is none, perhaps for too short a time to be seen.
            await until(lambda: screen.view.chat not in (None, before), "loaded again", pilot)
            await ask(screen, pilot, "a b c d")
            assert answers(screen) == ["a b"]
            assert "largest number of tokens" in screen.query_one(Answer).note
            assert "of 64" in shown(screen, ChatFigures)
            described = echo_hub.conversations.load(screen.view.journal.id).described
            assert (described.system, described.sampling.max_tokens) == ("Be brief.", 2)
            assert "--ctx-size 64" in screen.command

    run(body())


def test_a_context_that_fills_up_is_told_in_words(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, context=10) as (screen, pilot):
            await ask(screen, pilot, "a b c d")
            assert "context 80% full: 2 of 10 left" in shown(screen, ChatFigures)
            await ask(screen, pilot, "far more words than there is room for in here at all")
            assert "the context holds 10" in screen.query(Answer).last().note

    run(body())


def test_export_writes_markdown_and_json(echo_hub: Library, model: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "export me")
            for name in ("out.md", "out.json"):
                await pilot.press("f3")
                await until(lambda: pilot.app.screen is not screen, "dialog", pilot)
                pilot.app.screen.query_one(Input).value = str(tmp_path / name)
                await pilot.press("enter")
                await until(lambda: pilot.app.screen is screen, "written", pilot)
                await until((tmp_path / name).exists, "file", pilot)

    run(body())
    assert "## You\n\nexport me" in (tmp_path / "out.md").read_text()
    assert '"title": "export me"' in (tmp_path / "out.json").read_text()


class Held(Library):
    """Loads nothing before ``go`` is set."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.go = threading.Event()

    def load(self, *arguments: Any, **keywords: Any) -> Any:
        self.go.wait()
        return super().load(*arguments, **keywords)


def test_a_question_waits_for_the_model(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        held = Held(config=echo_hub.config)
        try:
            async with chat(held, model, loaded=False) as (screen, pilot):
                assert screen.query_one(LoadBox).has_class("-shown")
                await pilot.press(*"early", "enter")
                assert answers(screen) == []
                held.go.set()
                await until(lambda: answers(screen) == ["early"], "answered", pilot)
        finally:
            held.go.set()

    run(body())


class Slow(Library):
    """Its first load takes until it is cancelled."""

    cancels = 0

    def load(self, *arguments: Any, **keywords: Any) -> Any:
        keywords["on_stage"]("reading for a long time")
        while not self.cancels and not keywords["cancelled"]():
            time.sleep(0.01)
        self.cancels += 1
        return super().load(*arguments, **keywords)


def test_loading_is_cancelled_and_begun_again(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(Slow(config=echo_hub.config), model, loaded=False) as (screen, pilot):
            await until(lambda: "long time" in told(screen), "stage", pilot)
            await pilot.press(*"kept", "enter")
            assert screen.query_one(PromptEditor).text == ""
            await pilot.press("escape")
            assert not screen.view.model.is_loading
            assert screen.query_one(LoadBox).has_class("-failed")
            assert screen.query_one(PromptEditor).text == "kept"
            screen.query_one("#load-again", Button).press()
            await until(lambda: screen.view.chat, "loaded", pilot)
            assert not screen.query_one(LoadBox).has_class("-shown")

    run(body())


def test_a_model_that_is_not_there_is_said(echo_hub: Library, tmp_path: Path) -> None:
    async def body() -> None:
        async with chat(echo_hub, str(tmp_path / "none.gguf"), loaded=False) as (screen, pilot):
            await until(lambda: screen.query_one(LoadBox).has_class("-failed"), "failed", pilot)
            assert "none.gguf" in told(screen)
            await pilot.press(*"x", "enter")
            assert screen.query_one(PromptEditor).text == "x"

    run(body())


def test_an_engine_that_is_killed_in_mid_answer(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, delay=0.02) as (screen, pilot):
            screen.query_one(PromptEditor).text = "word " * 1500
            await pilot.press("enter")
            await until(lambda: answers(screen) and answers(screen)[0], "text", pilot)
            assert screen.view.model.running is not None
            os.kill(screen.view.model.running.session.pid, signal.SIGKILL)  # type: ignore[attr-defined]
            await until(lambda: not screen.view.answering, "over", pilot)
            assert "The engine stopped; the conversation is kept" in told(screen)
            assert "SIGKILL" in told(screen)
            assert answers(screen)[0].startswith("word word")
            await pilot.press("f5")
            await until(lambda: screen.view.chat, "loaded again", pilot)
            await pilot.press("escape")
            await ask(screen, pilot, "still there?")
            assert answers(screen)[1] == "still there?"

    run(body())


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (160, 48)])
def test_resized_in_the_middle_of_an_answer(
    echo_hub: Library, model: str, size: tuple[int, int]
) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, delay=0.002) as (screen, pilot):
            text = "# Title\n\n" + "word " * 500
            screen.query_one(PromptEditor).text = text
            await pilot.press("enter")
            await until(lambda: answers(screen) and answers(screen)[0], "text", pilot)
            await pilot.resize_terminal(*size)
            await until(lambda: not screen.view.answering, "over", pilot)
            await pilot.resize_terminal(*SIZE)
            assert answers(screen) == [" ".join(text.split())]

    run(body())


def test_at_20_by_5_one_can_talk(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, size=(20, 5)) as (screen, pilot):
            await pilot.press(*"hi", "enter")
            await until(lambda: answers(screen) == ["hi"], "answer", pilot)
            assert "Q4_0" in shown(screen, ChatTitle)
            assert screen.query_one("#transcript").size.height >= 1
            assert screen.query_one(PromptEditor).size.height >= 1

    run(body())


def test_a_conversation_that_is_open_elsewhere_is_refused(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "mine")
            id_ = screen.view.journal.id
            other = ChatScreen(echo_hub, model, conversation=id_)
            await pilot.app.push_screen(other)
            await until(lambda: other.view.chat, "loaded", pilot)
            assert other.view.journal.id != id_

    run(body())
