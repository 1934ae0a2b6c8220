"""A new user on a machine with nothing: each screen says what it is for, and the keys that it
names lead on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets import Input

from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.plugins import _plugins
from gemmahub.tui.screens.search import SearchScreen
from gemmahub.tui.screens.serving import ServingScreen
from tests.tui.library_support import SteadyHub, drawn, loaded, steady_hub
from tests.tui.ways import shows

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot
    from textual.screen import Screen


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    return steady_hub(tmp_path)


def tells(pilot: Pilot[None]) -> str:
    return " ".join(notice.message for notice in pilot.app._notifications)


@pytest.mark.parametrize(
    ("key", "kind", "text"),
    [
        ("D", DownloadsScreen, "No downloads."),
        ("E", ServingScreen, "no model is on this machine yet"),
        ("o", ConversationList, "No conversation is kept yet."),
        ("a", SearchScreen, "Finds models on the hub"),
    ],
)
async def test_it_says_what_it_is_for_and_esc_leads_to_the_library(
    hub: SteadyHub, key: str, kind: type[Screen[None]], text: str
) -> None:
    async with GemmahubApp(hub).run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(pilot.app.screen, kind)
        await shows(pilot, text)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, LibraryScreen)


async def test_downloads_lead_to_the_search_and_back(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        await pilot.press("D", "a")
        await pilot.pause()
        assert isinstance(pilot.app.screen, SearchScreen)
        assert pilot.app.screen.query_one(Input).has_focus
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, DownloadsScreen)


async def test_nothing_is_served_where_no_model_is(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await loaded(pilot)
        await pilot.press("E", "space")
        assert "there is no model to serve yet" in tells(pilot)
        assert not app.serving.is_on


async def test_compare_and_duel_say_what_they_need(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(80, 24), notifications=True) as pilot:
        screen = await loaded(pilot)
        await pilot.press("c", "d")
        assert "x marks them, then c" in tells(pilot)
        assert "x marks two that are here and can answer, then d" in tells(pilot)
        assert "No model is here yet" in drawn(screen)


def test_plugins_without_any() -> None:
    for width in (20, 80):
        text = " ".join(str(_plugins([], width)).split())
        assert "No plugin is installed." in text
        assert "f5 looks again" in text
