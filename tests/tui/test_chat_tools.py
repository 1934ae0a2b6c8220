"""Calls of tools in the chat: shown as blocks, and a person types what the tools gave."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input, Static

from gemmahub.engines.contract import Sampling, Tool
from gemmahub.tui.screens.chat_options import ChatOptionsScreen
from gemmahub.tui.widgets.turns import Answer, Question, Result
from tests.tui.chat_support import answers, ask, chat, run, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from gemmahub.service import Library
    from gemmahub.tui.screens.chat import ChatScreen

PARAMETERS = {"type": "object", "properties": {"mountain": {"type": "string"}}}
TOOLS = Sampling(tools=(Tool("look_up", "", PARAMETERS),))


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
    echo_hub: Library, model: str
) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
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


def test_something_else_may_be_asked_instead(echo_hub: Library, model: str) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await called(screen, pilot)
            screen.view.ask("/skip")
            await pilot.pause()
            assert told(screen) == ""
            await ask(screen, pilot, "how are you")
            assert answers(screen)[-1] == "how are you"
            assert not screen.query(Result)

    run(scenario())


def test_calls_and_results_are_there_when_the_conversation_goes_on(
    echo_hub: Library, model: str
) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([{"name": "look_up", "parameters": PARAMETERS}]))
    return path


async def choose(screen: ChatScreen, pilot: Pilot[None], text: str) -> str:
    """Name a file in the options; what is found wrong with it, if anything."""
    await pilot.press("ctrl+s")
    await until(lambda: isinstance(pilot.app.screen, ChatOptionsScreen), "form", pilot)
    form = pilot.app.screen
    form.query_one("#tools", Input).value = text
    await pilot.press("ctrl+s")
    await pilot.pause()
    if pilot.app.screen is not form:
        await until(lambda: pilot.app.screen is screen, "back", pilot)
        return ""
    wrong = str(form.query_one(".dialog--error", Static).render())
    await pilot.press("escape")
    await until(lambda: pilot.app.screen is screen, "back", pilot)
    return wrong


def names(screen: ChatScreen) -> list[str]:
    return [tool.name for tool in screen.view.journal.saved().described.sampling.tools]


def test_the_options_switch_tools_on_and_off(echo_hub: Library, model: str, file: Path) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            assert await choose(screen, pilot, str(file)) == ""
            assert names(screen) == ["look_up"]
            assert f"--tools {file}" in screen.command
            await ask(screen, pilot, "please look_up K2")
            await until(lambda: "type the result" in told(screen), "what to type", pilot)
            assert len(blocks(screen)) == 1
            await ask(screen, pilot, "8611")
            assert await choose(screen, pilot, str(file)) == ""  # unchanged
            assert names(screen) == ["look_up"]
            assert await choose(screen, pilot, "") == ""
            assert names(screen) == []
            assert "--tools" not in screen.command
            await ask(screen, pilot, "please look_up K2")
            assert len(blocks(screen)) == 1  # no further call

    run(scenario())


def test_a_file_without_tools_is_told_and_changes_nothing(
    echo_hub: Library, model: str, file: Path
) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            missing = file.with_name("none.json")
            assert "cannot be read" in await choose(screen, pilot, str(missing))
            file.write_text("[]")
            assert "does not hold a list of 1 to 128 functions" in await choose(
                screen, pilot, str(file)
            )
            assert names(screen) == []

    run(scenario())


def test_tools_that_came_with_a_conversation_stay_until_another_file_is_named(
    echo_hub: Library, model: str, file: Path
) -> None:
    async def scenario() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            screen.view.change(sampling=TOOLS)
            await pilot.press("ctrl+s")
            await until(lambda: isinstance(pilot.app.screen, ChatOptionsScreen), "form", pilot)
            assert pilot.app.screen.query_one("#tools", Input).value == "look_up"
            await pilot.press("ctrl+s")
            await until(lambda: pilot.app.screen is screen, "back", pilot)
            assert names(screen) == ["look_up"]
            file.write_text(json.dumps([{"name": "roll_dice"}]))
            assert await choose(screen, pilot, str(file)) == ""
            assert names(screen) == ["roll_dice"]

    run(scenario())
