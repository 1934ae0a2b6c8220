"""What the chat does is a command, too, and the chat shows it."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Input, Static
from textual.widgets._footer import FooterKey
from textual.widgets._toast import Toast

from gemmahub.cli.main import run as run_line
from gemmahub.engines.contract import Sampling, Settings
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.commands import run_command
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.duel import DuelScreen
from gemmahub.tui.screens.keys import KeysScreen, groups
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from tests.tui.chat_support import SIZE, ask, chat, run, the_list, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot
    from textual.screen import Screen
    from textual.widget import Widget

    from gemmahub.service import Library


def line(screen: Screen[Any], where: str) -> str:
    return str(screen.query_one(where, Static).render())


def gap(screen: ChatScreen, widget: type[Widget]) -> int:
    """Lines between the lowest notice and what stands below it."""
    return screen.query_one(widget).region.y - screen.query(Toast).last().region.bottom


async def listing(screen: ChatScreen, pilot: Pilot[None], count: int) -> ConversationList:
    await pilot.press("ctrl+o")
    await until(lambda: isinstance(pilot.app.screen, ConversationList), "list", pilot)
    shown = the_list(pilot)
    await until(lambda: len(shown._found) == count, "rows", pilot)
    return shown


def test_a_command_says_what_is_not_usual() -> None:
    assert run_command("a b", Settings()) == "gemmahub run 'a b'"
    settings = Settings(64, "q8_0", "q8_0", gpu_layers=0, threads=2, options={"delay": 1})
    sampling = Sampling(max_tokens=9, temperature=0, top_k=None, seed=7)
    words = shlex.split(run_command("x", settings, sampling, "Be brief."))
    assert words[3:] == [
        *("--ctx-size", "64", "--cache-type", "q8_0", "--gpu-layers", "0", "--threads", "2"),
        *("--option", "delay=1", "--max-tokens", "9", "--temperature", "0", "--seed", "7"),
        *("--system", "Be brief."),
    ]


def test_the_command_of_a_chat_runs(
    echo_hub: Library, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def body() -> str:
        async with chat(echo_hub, model, context=64) as (screen, pilot):
            assert line(screen, ".transcript--command") == f"$ {screen.command}"
            screen.view.journal.set(sampling=Sampling(max_tokens=2))
            await pilot.press("f9")
            return pilot.app.clipboard

    command = run(body())
    assert run_line([*shlex.split(command)[1:], "a b c d", "--backend", "echo"]) == 0
    assert capsys.readouterr().out == "a b\n"


def test_the_commands_of_the_list_do_the_same(
    echo_hub: Library, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = []

    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "about cats")
            await pilot.press("ctrl+n")
            shown = await listing(screen, pilot, 1)
            assert line(shown, ".dialog--command") == f"$ {shown.command}"
            for key, in_front in (("f9", False), ("f2", True), ("f3", True), ("f8", True)):
                await pilot.press(key)
                if in_front:
                    await until(lambda: pilot.app.screen is not shown, key, pilot)
                    await pilot.press("f9")
                commands.append(pilot.app.clipboard)
                if in_front:
                    text = line(pilot.app.screen, ".dialog--command")
                    assert text == f"$ {pilot.app.clipboard}"
                    await pilot.press("escape")
                    await until(lambda: pilot.app.screen is shown, "back", pilot)
            shown.query_one("#words", Input).value = "dogs"
            await until(lambda: not shown._found, "none", pilot)
            assert shown.command == "gemmahub chats list --search dogs"

    run(body())
    verbs = ["continue", "rename", "export", "rm"]
    go_on, rename, export, rm = (shlex.split(command)[1:] for command in commands)
    assert [words[1] for words in (go_on, rename, export, rm)] == verbs
    assert run_line([*go_on, "and dogs", "--backend", "echo"]) == 0
    assert capsys.readouterr().out == "and dogs\n"
    assert run_line([*rename[:-1], "Felines"]) == 0
    assert run_line([*export[:-1], "-"]) == 0
    assert "# Felines\n" in capsys.readouterr().out
    assert run_line([*rm, "--yes"]) == 0
    assert echo_hub.conversations.rows() == []


def test_the_command_of_a_reopened_chat_goes_on_with_it(
    echo_hub: Library, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def body() -> tuple[str, str]:
        async with chat(echo_hub, model, context=64) as (screen, pilot):
            await ask(screen, pilot, "about cats")
            id_ = screen.view.journal.id
            screen.view.model.settings = replace(screen.view.model.settings, context=96)
            await pilot.press("ctrl+n")
            await listing(screen, pilot, 1)
            await pilot.press("down", "enter")
            await until(lambda: screen.view.journal.id == id_, "reopened", pilot)
            assert line(screen, ".transcript--command") == f"$ {screen.command}"
            return id_, screen.command

    id_, command = run(body())
    assert command == f"gemmahub chats continue {id_} --ctx-size 96"
    assert run_line([*shlex.split(command)[1:], "x", "--backend", "echo"]) == 0
    assert "context 96 " in capsys.readouterr().err
    assert [m.text for m in echo_hub.conversations.load(id_).messages][2:] == ["x", "x"]


def test_the_list_exports(echo_hub: Library, model: str, tmp_path: Path) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "about cats")
            shown = await listing(screen, pilot, 1)
            await pilot.press("f3")
            await until(lambda: pilot.app.screen is not shown, "dialog", pilot)
            pilot.app.screen.query_one(Input).value = str(tmp_path / "cats.json")
            await pilot.press("enter")
            await until(lambda: "written" in line(shown, ".dialog--error"), "told", pilot)

    run(body())
    assert json.loads((tmp_path / "cats.json").read_text())["title"] == "about cats"


def test_an_empty_chat_is_not_exported(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await pilot.press("f3")
            await until(lambda: pilot.app._notifications, "told", pilot)
            assert pilot.app.screen is screen

    run(body())


def test_a_duel_shows_the_command_of_each_side(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with GemmahubApp(echo_hub).run_test(size=SIZE) as pilot:
            screen = DuelScreen(echo_hub, [model, model])
            await pilot.app.push_screen(screen)
            lines = [str(s.render()) for s in screen.query(".transcript--command").results(Static)]
            assert lines == [f"$ {side.command}" for side in screen.sides]
            await pilot.press("f9")
            assert pilot.app.clipboard == "; ".join(side.command for side in screen.sides)

    run(body())


def test_keys_stand_in_their_groups(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with GemmahubApp(echo_hub).run_test(size=SIZE) as pilot:
            screen = ChatScreen(echo_hub, model)
            await pilot.app.push_screen(screen)
            await until(lambda: screen.view.chat, "loaded", pilot)
            found = groups(screen)
            assert list(found) == ["This screen", "Everywhere", "Editing"]
            said = {heading: [text for _, text in rows] for heading, rows in found.items()}
            assert said["This screen"][:2] == ["Leave", "New"]
            assert "Copy the command" in said["This screen"]
            assert "palette" in said["Everywhere"]
            assert "Plugins and doctor" not in said["Everywhere"]  # p would be typed
            assert said["Editing"][:2] == ["Send", "New line"]
            assert "Undo" in said["Editing"]
            assert not [text for text in said["Editing"] if text.startswith("Cursor")]
            await pilot.press("f1")
            await until(lambda: isinstance(pilot.app.screen, KeysScreen), "keys", pilot)
            await pilot.pause()
            text = str(pilot.app.screen.query_one(".front--text", Static).render())
            assert text.startswith(f"$ {screen.command}")
            assert text.index("This screen") < text.index("Everywhere") < text.index("Editing")
            await pilot.press("escape")
            titles = [c.title for c in pilot.app.get_system_commands(screen)]
            assert {"Copy", "Copy the command", "Export"} <= set(titles)
            assert not [title for title in titles if title.startswith("Cursor")]

    run(body())


@pytest.mark.parametrize("screen_type", ["chat", "duel"])
def test_the_footer_fits_80_columns(echo_hub: Library, model: str, screen_type: str) -> None:
    async def body() -> None:
        async with GemmahubApp(echo_hub).run_test(size=SIZE) as pilot:
            screen: ChatScreen | DuelScreen = (
                ChatScreen(echo_hub, model)
                if screen_type == "chat"
                else DuelScreen(echo_hub, [model, model])
            )
            await pilot.app.push_screen(screen)
            await until(lambda: len(screen.query(FooterKey)) > 3, "footer", pilot)
            keys = list(screen.query(FooterKey))
            assert max(key.region.right for key in keys) <= SIZE[0]
            assert [key.description for key in keys][-1] == "Keys"

    run(body())


def test_notices_cover_neither_editor_nor_footer(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model, notices=True) as (screen, pilot):
            for text in ("", "four\nlines\nof\nit"):
                screen.query_one(PromptEditor).text = text
                screen.notify("Look")
                await until(lambda: screen.query(Toast), "toast", pilot)
                await until(lambda: gap(screen, PromptEditor) in (0, 1), "above it", pilot)
            screen.view.unload()
            screen.view.cancel_load()
            screen.view.load()
            screen.view.cancel_load()
            await until(lambda: gap(screen, LoadBox) in (0, 1), "above that, too", pilot)

    run(body())


def test_loading_again_tells_everything_once(echo_hub: Library, model: str) -> None:
    async def body() -> None:
        async with chat(echo_hub, model) as (screen, pilot):
            await ask(screen, pilot, "hi")
            screen.view.journal.set(reference="another", model="", precision="", engine="")
            for _ in range(2):
                await pilot.press("f5")
                await until(lambda: screen.view.chat, "loaded again", pilot)
            assert len(screen.query(".transcript--command")) == 1
            assert len(screen.query(".transcript--told")) <= 1
            assert not pilot.app._notifications

    run(body())
