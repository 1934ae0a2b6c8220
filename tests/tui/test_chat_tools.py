"""Calls of tools in the chat: shown as blocks, and a person types what the tools gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Static

from gemmahub.config import Config
from gemmahub.engines.contract import Sampling, Tool
from gemmahub.service import Library
from gemmahub.tui.widgets.turns import Answer, Question, Result
from tests.tui.chat_support import answers, ask, chat, run, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from gemmahub.tui.screens.chat import ChatScreen

PARAMETERS = {"type": "object", "properties": {"mountain": {"type": "string"}}}
TOOLS = Sampling(tools=(Tool("look_up", "", PARAMETERS),))


@pytest.fixture
def hub(tmp_path: Path) -> Library:
    return Library(config=Config(tmp_path / "cache", tmp_path / "data", backend="echo"))


@pytest.fixture
def model(tiny_model: Path) -> str:
    return str(tiny_model)


def blocks(screen: ChatScreen) -> list[str]:
    return [str(block.render()) for block in screen.query(".turn--call").results(Static)]


def told(screen: ChatScreen) -> str:
    return "".join(str(line.render()) for line in screen.query(".transcript--told").results(Static))


async def called(screen: ChatScreen, pilot: Pilot[None]) -> None:
    """The echo of a question that names the tool is a call of it."""
    screen.view.change(sampling=TOOLS)
    await ask(screen, pilot, "please look_up K2")
    await until(lambda: "type the result" in told(screen), "what to type", pilot)


def test_a_call_is_a_block_and_the_text_that_is_typed_next_is_its_result(
    hub: Library, model: str
) -> None:
    async def scenario() -> None:
        async with chat(hub, model) as (screen, pilot):
            await called(screen, pilot)
            (block,) = blocks(screen)
            assert block == 'calls look_up {"mountain": "echo"} (call-1)'
            assert "type the result of look_up" in told(screen)
            await ask(screen, pilot, "8611 [b]metres[/b]")
            assert told(screen) == ""
            (result,) = screen.query(Result)
            assert result.source == "8611 [b]metres[/b]"
            assert answers(screen)[-1] == "8611 [b]metres[/b]"
            roles = [message.role for message in screen.view.journal.saved().messages]
            assert roles == ["user", "assistant", "tool", "assistant"]
            assert len(screen.query(Question)) == 1

    run(scenario())


def test_something_else_may_be_asked_instead(hub: Library, model: str) -> None:
    async def scenario() -> None:
        async with chat(hub, model) as (screen, pilot):
            await called(screen, pilot)
            screen.view.ask("/skip")
            await pilot.pause()
            assert told(screen) == ""
            await ask(screen, pilot, "how are you")
            assert answers(screen)[-1] == "how are you"
            assert not screen.query(Result)

    run(scenario())


def test_calls_and_results_are_there_when_the_conversation_goes_on(
    hub: Library, model: str
) -> None:
    async def scenario() -> None:
        async with chat(hub, model) as (screen, pilot):
            await called(screen, pilot)
            id_ = screen.view.journal.id
            assert screen.view.open(None)
            assert screen.view.open(id_)
            await until(lambda: "type the result" in told(screen), "what to type", pilot)
            assert len(blocks(screen)) == 1
            await ask(screen, pilot, "8611")
            assert screen.view.open(None)
            assert screen.view.open(id_)
            await pilot.pause()
            assert [type(turn) for turn in screen.query("Transcript > Turn")] == [
                Question, Answer, Result, Answer
            ]  # fmt: skip
            assert told(screen) == ""

    run(scenario())
