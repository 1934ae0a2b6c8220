"""What a duel says of its rounds: speeds, words that differ, votes, a file of prompts."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, Markdown, Static
from textual.widgets.markdown import MarkdownBlock

from gemmahub.conversations import ChatSession, Timings
from gemmahub.engines.contract import Message
from gemmahub.service.running import Running
from gemmahub.service.tag_parts import TagParts
from gemmahub.tui.duel_rounds import DuelScore, SideRound
from gemmahub.tui.screens.duel import DuelScreen
from gemmahub.tui.widgets.chat_lines import ChatTitle
from gemmahub.tui.widgets.duel_pane import DuelPane
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import Answer, PlainText
from gemmahub.tui.word_marks import MARK, differing, mark_differences, words_shown
from tests.tui.chat_support import chat, run, until
from tests.tui.test_chat_duel import answers, ask, duel

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service import Library


def given(tokens: int, seconds: float) -> SideRound:
    return SideRound(1, Timings(tokens=tokens, decode_seconds=seconds), complete=True)


def marked(answer: Answer) -> list[str]:
    found = []
    for block in answer.query(MarkdownBlock):
        content = block._content
        found += [content.plain[s.start : s.end] for s in content.spans if s.style == MARK]
    return found


def test_the_words_that_differ_are_found() -> None:
    found = differing(["the", "cat", "sat", "here"], ["the", "dog", "sat", "there", "now"])
    assert [sorted(found.one), sorted(found.other)] == [[1, 3], [1, 3, 4]]
    assert found.shared == pytest.approx(4 / 9)
    assert differing([], []).shared == 1.0
    assert not differing(["same"], ["same"]).one


def test_words_that_differ_are_marked_where_they_stand(echo_hub: Library, tiny_model: Path) -> None:
    one = "The **sky** is blue.\n\n```python\nx = 1\n```\n\n- first\n- second\n"
    two = "The **sky** is grey.\n\n```python\nx = 2\n```\n\n- first\n- third\n"

    async def body() -> None:
        async with chat(echo_hub, str(tiny_model)) as (screen, pilot):
            both = [Answer(1, "a", one), Answer(2, "b", two)]
            await screen.query_one("#transcript").mount(*both)
            await pilot.pause()
            assert [word.text for word in words_shown(both[0])] == (
                ["The", "sky", "is", "blue.", "x", "=", "1", "first", "second"]
            )
            shared = await mark_differences(both)
            assert shared == pytest.approx(12 / 18)
            assert marked(both[0]) == ["blue.", "1", "second"]
            assert marked(both[1]) == ["grey.", "2", "third"]
            assert "underline" in MARK  # readable without colour
            spans = next(iter(both[0].query(MarkdownBlock)))._content.spans
            assert len(spans) == 2  # the style that was there is kept
            await mark_differences([both[0], both[0]])
            assert marked(both[0]) == []

    run(body())


def test_answers_that_share_next_to_nothing_are_not_marked(
    echo_hub: Library, tiny_model: Path
) -> None:
    async def body() -> None:
        async with chat(echo_hub, str(tiny_model)) as (screen, pilot):
            both = [Answer(1, "a", "one two three four"), Answer(2, "b", "five six seven eight")]
            await screen.query_one("#transcript").mount(*both)
            await pilot.pause()
            assert await mark_differences(both) == 0.0
            assert marked(both[0]) == marked(both[1]) == []

    run(body())


def test_rounds_are_added_up() -> None:
    score = DuelScore(["Q4_0", "Q8_0"])
    assert score.text() == ""
    assert not score.vote(1)
    score.add([given(100, 10.0), given(120, 20.0)], 0.8)
    assert score.text() == (
        "1 round · faster: Q4_0 · 10.0 tokens/s against 6.0 tokens/s · 100 against 120 tokens"
        " · 80% of the words shared"
    )
    score.add([given(100, 20.0), given(100, 10.0)], 0.6)
    score.add([given(100, 5.0), SideRound()], None)
    assert score.vote(0)
    assert score.faster() == [1, 1]  # the round in which one gave nothing has no winner
    assert score.text() == (
        "3 rounds · as fast as each other · 8.6 tokens/s against 7.3 tokens/s"
        " · 300 against 220 tokens · 70% of the words shared · votes 1:0"
    )
    twins = DuelScore(["Q4_0", "Q4_0"])
    twins.add([given(100, 10.0), given(100, 9.0)], None)
    assert "faster: Q4_0, right" in twins.text()


def test_heads_have_speeds_and_the_sum_has_votes(echo_hub: Library, tiny_model: Path) -> None:
    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model), delay=0.005) as (screen, pilot):
            screen.at_once = True
            line = screen.query_one("#sum", Static)
            assert not line.display
            await ask(screen, pilot, "/1")
            assert answers(screen) == [[], []]  # a vote is no question
            for number in (1, 2):
                await ask(screen, pilot, "word " * 80)
                rounds = screen.score.rounds
                await until(lambda: len(rounds) == number, "counted", pilot)  # noqa: B023
            for pane in screen.query(DuelPane):
                title = str(pane.query_one(ChatTitle).render())
                assert title.endswith(" tokens/s")
                assert "Q4_0" in title
            assert "2 rounds" in str(line.render())
            assert "160 against 160 tokens" in str(line.render())
            assert "100% of the words shared" in str(line.render())
            await ask(screen, pilot, "/2")
            assert "votes 0:1" in str(line.render())
            await ask(screen, pilot, "/0")
            assert "type /1 or /2 to vote" in str(line.render())
            assert [len(each) for each in answers(screen)] == [2, 2]

    run(body())


@pytest.mark.parametrize("at_once", [True, False])
def test_a_file_of_prompts_is_asked_of_both(
    echo_hub: Library, tiny_model: Path, tmp_path: Path, at_once: bool
) -> None:
    prompts = tmp_path / "my prompts.txt"
    prompts.write_text('one two\n{"prompt": "three"}\n\nfour\n')

    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model)) as (screen, pilot):
            screen.at_once = at_once
            await pilot.press("f7")
            await until(lambda: pilot.app.screen is not screen, "asked", pilot)
            line = pilot.app.screen.query_one(Input)
            line.value = str(tmp_path / "none.txt")
            await pilot.press("enter")
            assert pilot.app.screen is not screen
            line.value = str(prompts)
            await pilot.press("enter")
            await until(lambda: len(screen.score.rounds) == 3, "three rounds", pilot)
            assert answers(screen) == [["one two", "three", "four"]] * 2
            assert shlex.split(screen.command) == [
                "gemmahub", "quality", str(tiny_model), str(tiny_model),
                "--prompts", str(prompts), "--max-tokens", "1024",
            ]  # fmt: skip
            assert [side.running is not None for side in screen.sides] == [at_once] * 2

    run(body())
    kept = [getattr(row, "messages", 0) for row in echo_hub.conversations.rows()]
    assert kept == [6, 6]


def test_a_file_that_has_no_prompts_is_told(
    echo_hub: Library, tiny_model: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n\n")

    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model)) as (screen, pilot):
            screen._read_prompts(empty)
            await pilot.app.workers.wait_for_complete()
            await pilot.pause()
            assert not screen._answering
            assert answers(screen) == [[], []]

    run(body())


def test_each_prompt_of_a_file_is_asked_by_itself(echo_hub: Library, tiny_model: Path) -> None:
    """The model sees nothing of the prompts before it, and all of it is kept."""
    from gemmahub.conversations import MemoryJournal

    seen: list[object] = []
    with echo_hub.load(str(tiny_model)).session as session:
        real = session.generate

        class Listening:
            info = session.info

            def generate(self, prompt: object, sampling: object) -> object:
                seen.append(prompt)
                return real(prompt, sampling)  # type: ignore[arg-type]

        held = ChatSession(Listening(), MemoryJournal(described()))  # type: ignore[arg-type]
        list(held.ask("first"))
        list(held.ask_alone("second"))
    assert seen == [(Message("user", "first"),), (Message("user", "second"),)]
    assert [m.text for m in held.journal.saved().messages] == ["first"] * 2 + ["second"] * 2


def described() -> object:
    from gemmahub.conversations import Described

    return Described("tiny")


def test_a_duel_is_fair(
    echo_hub: Library, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The likeliest token, one seed, and nothing of what a tag brings but its weights."""
    sides = DuelScreen(echo_hub, ("one", "two")).sides
    assert all("--temperature 0.0 " in f"{side.command} " for side in sides)
    assert all("--seed 0 " in f"{side.command} " for side in sides)
    tag = TagParts("Be rude.", {"temperature": 2.0}, None, (Message("user", "hi"),))
    monkeypatch.setattr("gemmahub.service.running.NO_PARTS", tag)

    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model)) as (screen, pilot):
            screen.at_once = True
            await ask(screen, pilot, "hello")
            for side in screen.sides:
                assert side.running is not None
                assert side.running.tag is tag
                assert side._chat is not None
                held = side._chat.journal.saved().described
                assert (held.system, held.sampling.temperature, held.sampling.seed) == ("", 0.0, 0)
                assert side._chat._first == ()

    run(body())


def test_a_side_that_completes_texts_is_shown_as_such(
    echo_hub: Library, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def completes(running: Running, journal: object, said: object = ()) -> ChatSession:
        return ChatSession(running.session, journal, raw=True)  # type: ignore[arg-type]

    monkeypatch.setattr(Running, "chat", completes)

    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model)) as (screen, pilot):
            screen.at_once = True
            await ask(screen, pilot, "so be it")
            await until(lambda: screen.score.rounds, "counted", pilot)
            assert [str(text.render()) for text in screen.query(PlainText)] == ["so be it" * 2] * 2
            assert not screen.query(Markdown)
            assert screen.score.shared == [1.0]

    run(body())


def test_typing_on_a_focused_answer_goes_to_the_editor(echo_hub: Library, tiny_model: Path) -> None:
    async def body() -> None:
        async with duel(echo_hub, str(tiny_model), str(tiny_model)) as (screen, pilot):
            screen.at_once = True
            await ask(screen, pilot, "hello")
            screen.query(Answer).first().focus()
            await pilot.press("f4")
            assert pilot.app.clipboard == "hello"
            await pilot.press(*"more")
            assert screen.query_one(PromptEditor).text == "more"

    run(body())
