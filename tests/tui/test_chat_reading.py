"""How far a long prompt is read, what a stop says of it, and how long a model thinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.conversations import AnswerDelta
from gemmahub.engines.contract import PromptRead
from gemmahub.tui.widgets.chat_lines import ChatFigures
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.thought import Thought
from gemmahub.tui.widgets.turns import Answer
from tests.tui.chat_support import answers, ask, chat, run, until

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service import Library

LONG = "word " * 1500  # echo reads 512 at once


def test_a_long_prompt_says_how_much_of_it_is_read(echo_hub: Library, tiny_model: Path) -> None:
    async def body() -> None:
        async with chat(echo_hub, str(tiny_model), size=(100, 24), delay=0.3) as (screen, pilot):
            figures = screen.query_one(ChatFigures)
            screen.query_one(PromptEditor).text = LONG
            await pilot.press("enter")
            await until(lambda: "512/1,500 tokens" in str(figures.render()), "first part", pilot)
            await until(lambda: "1,024/1,500 tokens" in str(figures.render()), "second", pilot)
            assert "reading the prompt" in str(figures.render())
            assert "context ~1,500 of 4,096" in str(figures.render())
            await until(lambda: answers(screen)[0], "the answer begins", pilot)
            assert "reading" not in str(figures.render())
            await pilot.press("escape")
            await until(lambda: not screen.view.answering, "over", pilot)

    run(body())


def test_a_stop_in_the_prefill_says_so(echo_hub: Library, tiny_model: Path) -> None:
    async def body() -> None:
        async with chat(echo_hub, str(tiny_model), delay=1) as (screen, pilot):
            screen.query_one(PromptEditor).text = LONG
            await pilot.press("enter")
            figures = screen.query_one(ChatFigures)
            await until(lambda: "512/1,500" in str(figures.render()), "first part", pilot)
            await pilot.press("escape")
            await until(lambda: not screen.view.answering, "over", pilot)
            note = screen.query_one(Answer).note
            assert note == "stopped while it read the prompt of 1,500 tokens: there is no answer"
            assert "reading" not in str(figures.render())

    run(body())


def test_a_short_prompt_is_read_at_once(echo_hub: Library, tiny_model: Path) -> None:
    seen: list[str] = []

    async def body() -> None:
        async with chat(echo_hub, str(tiny_model), delay=0.01) as (screen, pilot):
            figures = screen.query_one(ChatFigures)
            screen.watch(figures, "figures", lambda new: seen.append(new.waiting), init=False)
            await ask(screen, pilot, "word " * 400)

    run(body())
    assert any(seen)
    assert not any("/" in each for each in seen)


def test_a_thought_says_how_long_it_takes_while_it_goes_on(
    echo_hub: Library, tiny_model: Path
) -> None:
    def line(thought: Thought) -> str:
        return str(thought.query_one(".thought--line").render())

    async def body() -> None:
        async with chat(echo_hub, str(tiny_model)) as (screen, _):
            answer = Answer(9, "tiny")
            await screen.query_one("#transcript").mount(answer)
            thought = answer.query_one(Thought)
            answer.think("hm, ", AnswerDelta(9, "", 12, 3.5, 1.0, "hm, "))
            assert line(thought) == "▸ thinking for 2.5 s, 12 tokens"
            answer.think("well", AnswerDelta(9, "", 340, 13.4, 1.0, "well"))
            assert line(thought) == "▸ thinking for 12 s, 340 tokens"
            await answer.append("It is so.")
            assert line(thought) == "▸ thought for 12 s, 340 tokens"
            await answer.finish("", thought="thought for 12 s, 338 tokens")
            assert line(thought) == "▸ thought for 12 s, 338 tokens"

    run(body())


def test_what_is_read_is_no_part_of_an_answer(tiny_model: Path, echo_hub: Library) -> None:
    with echo_hub.load(str(tiny_model)).session as session:
        from gemmahub.conversations import AnswerFinished, ChatSession

        events = list(ChatSession(session).ask(LONG))
    told = [e.prompt_read for e in events if isinstance(e, AnswerDelta) and e.prompt_read]
    assert told == [PromptRead(512, 1500), PromptRead(1024, 1500)]
    (last,) = [e for e in events if isinstance(e, AnswerFinished)]
    assert last.usage is not None
    assert last.usage.tokens == 1500
