"""Faults of the chat that people met, each as it should be."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, Markdown, Static

from gemmahub.config import Config
from gemmahub.conversations import ChatSession
from gemmahub.service import Library
from gemmahub.service.running import Running
from gemmahub.tui.screens.chat_options import ChatOptionsScreen
from gemmahub.tui.screens.dialogs import ConfirmDialog
from gemmahub.tui.widgets.chat_lines import ChatFigures
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import PlainText, Question
from tests.tui.chat_support import answers, ask, chat, run, told, until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models complete texts: they have no chat template."""

    def completes(running: Running, journal: object, said: object = ()) -> ChatSession:
        return ChatSession(running.session, journal, raw=True)  # type: ignore[arg-type]

    monkeypatch.setattr(Running, "chat", completes)


def test_a_question_that_cannot_be_kept_stays_and_can_be_asked_unkept(
    tmp_path: Path, model: str
) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    echo_hub = Library(config=Config(tmp_path / "cache", tmp_path / "data", backend="echo"))

    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            screen.query_one(PromptEditor).text = "do not lose me"
            await pilot.press("enter")
            await until(lambda: isinstance(pilot.app.screen, ConfirmDialog), "offer", pilot)
            assert screen.query_one(PromptEditor).text == "do not lose me"
            await pilot.press("y")
            await until(lambda: pilot.app.screen is screen, "back", pilot)
            assert "this conversation is not kept" in _transcript(screen)
            await pilot.press("enter")
            await until(lambda: answers(screen) == ["do not lose me"], "answer", pilot)
            await ask(screen, pilot, "and again")
            assert answers(screen) == ["do not lose me", "and again"]
        assert (tmp_path / "data").read_text() == "a file where the folder should be"

    run(body())


def test_typing_on_a_focused_turn_goes_to_the_editor(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "first")
            await pilot.press("ctrl+up")
            assert not isinstance(screen.focused, PromptEditor)
            await pilot.press(*"hello", "enter")
            await until(lambda: answers(screen) == ["first", "hello"], "answer", pilot)

    run(body())


def test_no_limit_is_not_said_of_what_the_context_limits(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (_, pilot):
            await pilot.press("ctrl+s")
            fields = {each.id: each.placeholder for each in pilot.app.screen.query(Input)}
            assert fields["max_tokens"] == "until the context is full"
            assert not [each for each in fields.values() if "no limit" in each]

    run(body())


def test_the_longest_answer_of_a_model_that_completes_is_said(
    echo_hub: Library, model: str, plain: None
) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (_, pilot):
            await pilot.press("ctrl+s")
            options = pilot.app.screen
            assert isinstance(options, ChatOptionsScreen)
            assert options.query_one("#max_tokens", Input).placeholder == "256"

    run(body())


def test_what_a_model_completes_is_shown_as_it_stands(
    echo_hub: Library, model: str, plain: None
) -> None:
    text = "def f(x):\n    return x*2"

    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "**bold** _x_")
            assert not screen.query(Markdown)
            assert answers(screen)[0] == "**bold** _x_"
            assert str(screen.query_one(PlainText).render()) == "**bold** _x_" * 2
            assert not screen.query("Answer .turn--who")  # a text has no roles
            assert not screen.query_one(Question).display
            assert "continues it" in str(screen.query_one(PromptEditor).placeholder)
            journal = screen.view.journal
            journal.add("user", "code")
            number = journal.begin_answer("tiny")
            journal.part(number, text)
            journal.end_answer(number, "stop")
            assert screen.view.open(None)
            journal.close()
            assert screen.view.open(journal.id)
            await pilot.pause()
            assert str(list(screen.query(PlainText))[-1].render()) == f"code{text}"

    run(body())


def test_a_killed_engine_is_said_once_and_ctrl_r_loads_it_again(
    echo_hub: Library, model: str
) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, delay=0.05) as (screen, pilot):
            screen.query_one(PromptEditor).text = "word " * 50
            await pilot.press("enter")
            await until(lambda: answers(screen) and answers(screen)[0], "text", pilot)
            running = screen.view.model.running
            assert running is not None
            os.kill(running.session.pid, signal.SIGKILL)  # type: ignore[attr-defined]
            await until(lambda: not screen.view.answering, "over", pilot)
            everything = told(screen) + _transcript(screen)
            assert everything.count("SIGKILL") == 1
            assert "F5 loads it again" in told(screen)
            await pilot.press("ctrl+r")
            await until(lambda: screen.view.answering, "asked again", pilot)
            await pilot.press("escape")
            await until(lambda: not screen.view.answering, "over", pilot)
            assert len(screen.query(Question)) == 1
            assert screen.view.chat is not None

    run(body())


def test_stopping_before_the_first_token_is_said(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, delay=30) as (screen, pilot):
            screen.query_one(PromptEditor).text = "long"
            await pilot.press("enter")
            await until(lambda: screen.query(Question), "asked", pilot)
            figures = screen.query_one(ChatFigures)
            await until(lambda: "reading the prompt, 1 s" in str(figures.render()), "clock", pilot)
            await pilot.press("escape")
            await until(lambda: not screen.view.answering, "over", pilot)
            assert "stopped while it read the prompt" in _transcript(screen)
            assert "0.00 s" not in _transcript(screen) + str(figures.render())

    run(body())


def test_long_lines_of_code_wrap(echo_hub: Library, model: str) -> None:
    line = "x = " + " + ".join(f"number_{n}" for n in range(30))

    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, f"`{line}`")
            from gemmahub.tui.widgets.turns import Answer

            answer = Answer(99, "tiny", f"```python\n{line}\n```\n")
            await screen.query_one("#transcript").mount(answer)
            await pilot.pause()
            screen.query_one("#transcript").scroll_end(animate=False)
            await pilot.pause()
            strips = pilot.app.screen._compositor.render_strips()
            drawn = "".join("".join(s.text for s in strip).strip(" ▎█") for strip in strips)
            assert "number_29" in drawn

    run(body())


def _transcript(screen: object) -> str:
    """All lines of text in it."""
    found = screen.query("#transcript Static").results(Static)  # type: ignore[attr-defined]
    return "\n".join(str(line.render()) for line in found)
