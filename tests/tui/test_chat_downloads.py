"""Downloads from a real hub on this machine: pause, go on, fail, try again, chat."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from textual.app import App
from textual.widgets import Static

from gemmahub.service import Library
from gemmahub.text import duration, format_bytes
from gemmahub.tui import messages
from gemmahub.tui.downloads import Download, Downloads
from gemmahub.tui.notices import tell_end
from gemmahub.tui.screens.downloads import DownloadRow, DownloadsScreen
from tests.tui.conftest import MODEL, NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from textual.pilot import Pilot

    from gemmahub.testing.hub.server import HubServer


class Alone(App[None]):
    """The downloads without the rest of the application."""

    def __init__(self) -> None:
        super().__init__()
        self.library = Library()
        self.downloads = Downloads(self.library, self, lambda ended: tell_end(self, ended))
        self.heard: list[object] = []

    def on_library_changed(self, event: messages.LibraryChanged) -> None:
        self.heard.append(event)

    def on_open_chat(self, event: messages.OpenChat) -> None:
        self.heard.append(event)


async def until(condition: Callable[[], Any], what: str, pilot: Pilot[None]) -> None:
    for _ in range(1500):
        if condition():
            await pilot.pause()
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it never came to pass: {what}")


@asynccontextmanager
async def pulling(
    *, then_chat: bool = False
) -> AsyncIterator[tuple[Alone, Download, DownloadsScreen, Pilot[None]]]:
    app = Alone()
    async with app.run_test(size=(80, 24)) as pilot:
        plan = await asyncio.to_thread(app.library.plan_pull, "user/gemma")
        download = app.downloads.start(plan, then_chat=then_chat)
        screen = DownloadsScreen(app.library)
        await app.push_screen(screen)
        await until(lambda: isinstance(screen.focused, DownloadRow), "a row", pilot)
        yield app, download, screen, pilot


def words(screen: DownloadsScreen, part: str) -> str:
    return str(screen.query_one(f"DownloadRow {part}", Static).render())


def test_it_arrives_and_the_chat_opens(server: HubServer) -> None:
    async def body() -> None:
        async with pulling(then_chat=True) as (app, download, screen, pilot):
            await until(lambda: len(app.heard) == 2, "library and chat", pilot)
            assert download.state == "done"
            screen.look()
            assert words(screen, ".name").startswith("hf://user/gemma/g-Q4_0.gguf · Q4_0")
            size = format_bytes(len(MODEL))
            assert f"100% · {size} of {size}" in words(screen, ".bar")
            assert words(screen, ".told") == "downloaded: enter opens a chat"
            library, chat = app.heard
            assert isinstance(library, messages.LibraryChanged)
            assert isinstance(chat, messages.OpenChat)
            assert app.library.inspect(chat.reference).artifacts

    asyncio.run(body())


def test_it_is_paused_and_goes_on_where_it_was(server: HubServer) -> None:
    server.fault("slow", match="/blob/", value=0.1, times=None)

    async def body() -> None:
        async with pulling() as (_, download, screen, pilot):
            await until(lambda: download.progress, "some of it", pilot)
            screen.look()
            assert "file 1 of 1: g-Q4_0.gguf" in words(screen, ".told")
            await pilot.press("space")
            await until(lambda: download.state == "paused", "paused", pilot)
            screen.look()
            assert "arrived is kept" in words(screen, ".told")
            server.faults.clear()
            await pilot.press("space")
            await until(lambda: download.state == "done", "done", pilot)

    asyncio.run(body())
    assert server.sent(NAME) < 2 * len(MODEL)


def test_a_failure_keeps_its_reason_and_is_tried_again(server: HubServer) -> None:
    server.fault("corrupt", match="/blob/", value=len(MODEL) - 5, skip=1)

    async def body() -> None:
        async with pulling() as (_, download, screen, pilot):
            await until(lambda: download.state == "failed", "failed", pilot)
            screen.look()
            assert words(screen, ".told").startswith("failed: ")
            assert words(screen, ".told").endswith("F5 tries again.")
            await pilot.press("f5")
            await until(lambda: download.state == "done", "done", pilot)

    asyncio.run(body())


def test_it_goes_on_when_the_screen_is_left_and_is_cancelled(server: HubServer) -> None:
    server.fault("slow", match="/blob/", value=0.2, times=None)

    async def body() -> None:
        async with pulling() as (app, download, screen, pilot):
            await pilot.press("escape")
            assert app.screen is not screen
            before = download.progress
            await until(lambda: download.progress != before, "more of it", pilot)
            again = DownloadsScreen(app.library)
            await app.push_screen(again)
            await until(lambda: isinstance(again.focused, DownloadRow), "a row", pilot)
            await pilot.resize_terminal(20, 5)
            await pilot.press("X")
            assert app.downloads.all == []
            await until(lambda: download.state == "paused", "stopped", pilot)

    asyncio.run(body())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (99, "99 s"), (100, "2 min"), (5999, "1 h 40 min")]
)
def test_times_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
