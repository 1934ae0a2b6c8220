"""Kept conversations from the library: found, looked at, opened to be read, continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Input, OptionList

from gemmahub.config import Config
from gemmahub.conversations import Described
from gemmahub.service import Library
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.duel import DuelScreen
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.other_model import OtherModelScreen
from gemmahub.tui.widgets.conversation_preview import ConversationPreview
from gemmahub.tui.widgets.load_box import LoadBox
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from tests.tui.chat_support import answers, told
from tests.tui.library_support import drawn
from tests.tui.ways import shows, until

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

GONE = "gemma-3-4b-it:q4_0-qat"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    (tmp_path / "models").mkdir(exist_ok=True)
    config = Config(
        tmp_path / "cache",
        tmp_path / "data",
        folders=(tmp_path / "models",),
        stores=frozenset(),
        backend="echo",
    )
    return Library(config=config)


@pytest.fixture
def model(tiny_model: Path) -> str:
    return str(tiny_model)


def keep(hub: Library, held: Described, *turns: str, title: str = "") -> str:
    """A kept conversation of questions, each answered with itself."""
    with hub.conversations.new(held, title) as journal:
        for text in turns:
            journal.add("user", text)
            number = journal.begin_answer(held.answerer)
            journal.part(number, f"you said: {text}")
            journal.end_answer(number, "stop")
        return journal.id


async def listed(pilot: Pilot[None], count: int) -> ConversationList:
    await until(pilot, lambda: isinstance(pilot.app.screen, LibraryScreen), "the library")
    await pilot.press("o")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConversationList), "the list")
    screen: Any = pilot.app.screen
    await until(pilot, lambda: len(screen._found) == count, f"{count} conversations")
    return screen  # type: ignore[no-any-return]


async def opened(pilot: Pilot[None]) -> ChatScreen:
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen), "the chat")
    screen: Any = pilot.app.screen
    await until(pilot, lambda: screen._kept is not None, "what became of its model")
    await pilot.pause()
    return screen  # type: ignore[no-any-return]


async def test_one_is_read_at_once_and_its_model_loads_with_the_first_question(
    hub: Library, model: str
) -> None:
    id_ = keep(hub, Described(model, model="Tiny"), "about cats")
    async with GemmahubApp(hub).run_test(size=(100, 30)) as pilot:
        await listed(pilot, 1)
        screen = await opened(pilot)
        assert screen.view.journal.id == id_
        assert answers(screen) == ["you said: about cats"]
        assert not screen.view.model.is_loading
        assert screen.view.model.running is None
        assert "your first question loads" in told(screen)
        screen.query_one(PromptEditor).text = "and dogs"
        await pilot.press("enter")
        await until(pilot, lambda: answers(screen)[1:] == ["and dogs"], "an answer")
        assert not screen.query_one(LoadBox).has_class("-rests")
        await until(pilot, lambda: not screen.view.answering, "its end")
    assert len(hub.conversations.load(id_).messages) == 4


async def test_a_model_that_is_gone_is_told_and_another_one_is_offered(
    hub: Library, tmp_path: Path
) -> None:
    from gemmahub.testing.model_writer import write_model

    write_model(tmp_path / "models" / "tiny.gguf")
    id_ = keep(hub, Described(GONE, model="Gemma 3 4B"), "about cats")
    async with GemmahubApp(hub).run_test(size=(100, 30)) as pilot:
        await listed(pilot, 1)
        await shows(pilot, "is not on this machine any more")  # in the preview
        screen = await opened(pilot)
        assert answers(screen) == ["you said: about cats"]
        assert "is not on this machine any more" in told(screen)
        screen.query_one(PromptEditor).text = "and dogs"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, OtherModelScreen), "an offer")
        await shows(pilot, "tiny")
        await pilot.press("escape")  # only read: what was written stays
        assert pilot.app.screen is screen
        assert screen.query_one(PromptEditor).text == "and dogs"
        assert screen.view.model.running is None
        await pilot.press("f10")
        await until(pilot, lambda: isinstance(pilot.app.screen, OtherModelScreen), "an offer")
        await shows(pilot, "tiny")
        await pilot.press("enter")
        await until(pilot, lambda: answers(screen)[1:] == ["and dogs"], "an answer")
        await until(pilot, lambda: not screen.view.answering, "its end")
    assert hub.conversations.load(id_).described.reference.endswith("tiny.gguf")


async def test_without_any_model_it_can_still_be_read(hub: Library) -> None:
    keep(hub, Described(GONE), "about cats")
    async with GemmahubApp(hub).run_test(size=(100, 30)) as pilot:
        await listed(pilot, 1)
        screen = await opened(pilot)
        await pilot.press("x", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, OtherModelScreen), "an offer")
        await shows(pilot, "No other model is on this machine")
        await pilot.press("escape")
        assert "about cats" in drawn(screen)  # type: ignore[arg-type]


async def test_a_file_that_was_replaced_is_told(hub: Library, model: str) -> None:
    was = "Q8_0 · int8 · 8.50 bits/weight"
    keep(hub, Described(model, model="Tiny", precision=was), "about cats")
    async with GemmahubApp(hub).run_test(size=(100, 30)) as pilot:
        await listed(pilot, 1)
        screen = await opened(pilot)
        assert f"the file was replaced: it was {was}, and is" in told(screen)
        assert answers(screen) == ["you said: about cats"]
        await pilot.press("f5")
        await until(pilot, lambda: screen.view.chat, "the model that is there now")


async def test_a_search_shows_the_place_in_the_preview(hub: Library, model: str) -> None:
    held = Described(model, model="Tiny")
    keep(hub, held, "about cats", "about mice", "the QUOKKA smiles", "and then")
    keep(hub, held, "about dogs")
    async with GemmahubApp(hub).run_test(size=(160, 40)) as pilot:
        screen = await listed(pilot, 2)
        await pilot.press("down", *"quokka")  # typed in the list, it is searched for, too
        await until(pilot, lambda: len(screen._found) == 1, "one")
        assert screen.query_one(Input).value == "quokka"
        await shows(pilot, "… 3 turns before this")
        await shows(pilot, "you said: the QUOKKA smiles")
        assert "about mice" not in drawn(screen).partition("before this")[0]  # type: ignore[arg-type]
        assert "1 found" in drawn(screen)  # type: ignore[arg-type]


async def test_tags_are_shown_and_searched(hub: Library) -> None:
    keep(hub, Described("a", model="Gemma A", precision="Q8_0 · int8"), "one", title="One")
    keep(hub, Described("b", model="Gemma B", against=("a",)), "two", title="Two")
    async with GemmahubApp(hub).run_test(size=(160, 40)) as pilot:
        screen = await listed(pilot, 2)
        await shows(pilot, "Gemma B · duel")
        await shows(pilot, "one side of a duel with a")
        await pilot.press(*"#duel")
        await until(pilot, lambda: len(screen._found) == 1, "the duel")
        await shows(pilot, "Two")
        screen.query_one(Input).value = "#q8_0"
        await shows(pilot, "Gemma A · Q8_0")
        await until(pilot, lambda: len(screen._found) == 1, "that precision")


async def test_an_empty_list_says_what_it_is_for(hub: Library) -> None:
    async with GemmahubApp(hub).run_test(size=(80, 24)) as pilot:
        screen = await listed(pilot, 0)
        await shows(pilot, "No conversation is kept yet.")
        assert screen.command == "gemmahub chats list"
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, LibraryScreen)


async def test_one_that_went_meanwhile_is_told(hub: Library, model: str) -> None:
    id_ = keep(hub, Described(model), "about cats")
    app = GemmahubApp(hub)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(pilot, 1)
        hub.conversations.delete(id_)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LibraryScreen), "the library")
        assert "there is no conversation" in [n.message for n in app._notifications][-1]


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (80, 24), (160, 48)])
async def test_it_fits_every_terminal(hub: Library, model: str, size: tuple[int, int]) -> None:
    for number in range(3):
        keep(hub, Described(model), f"question {number} " * 20)
    async with GemmahubApp(hub).run_test(size=size) as pilot:
        screen = await listed(pilot, 3)
        assert screen.query_one("#rows", OptionList).size.height > 0
        await pilot.press("down", "down")
        assert screen.query_one("#rows", OptionList).highlighted == 1


async def test_of_very_many_the_newest_are_there_first(hub: Library, model: str) -> None:
    for number in range(210):
        keep(hub, Described(model), f"question {number}")
    counts: list[tuple[int, bool]] = []

    class Watched(ConversationList):
        def post_message(self, message: Any) -> bool:
            if isinstance(message, ConversationList.Found):
                counts.append((len(message.entries), message.all_read))
            return super().post_message(message)

    async with GemmahubApp(hub).run_test(size=(80, 24)) as pilot:
        screen = Watched(hub)
        await pilot.app.push_screen(screen)
        await until(pilot, lambda: len(screen._found) == 210, "all of them")
        await shows(pilot, "210 kept")
    assert counts == [(100, False), (210, True)]


async def test_a_duel_says_in_its_conversations_whom_it_was_against(
    hub: Library, model: str
) -> None:
    screen = DuelScreen(hub, ["other", model])
    held = [side._journal.saved().described for side in screen.sides]
    assert [(each.reference, each.against) for each in held] == [
        ("other", (model,)),
        (model, ("other",)),
    ]


async def test_a_long_turn_is_shown_around_the_word(hub: Library, model: str) -> None:
    keep(hub, Described(model, model="Tiny"), "x " * 3000 + "quokka " + "y " * 3000, "z " * 3000)
    async with GemmahubApp(hub).run_test(size=(160, 48)) as pilot:
        screen = await listed(pilot, 1)
        await pilot.press(*"quokka")
        await until(pilot, lambda: screen._words == ("quokka",), "a search")
        await shows(pilot, "x quokka y")

        def end_of_preview() -> str:
            screen.query_one(ConversationPreview).scroll_end(animate=False)
            return drawn(screen)  # type: ignore[arg-type]

        told = "… and 1 turn: enter shows all of it"
        await until(pilot, lambda: told in end_of_preview(), "how much more there is")
