"""What goes on behind a screen stands on every screen, and in the row of its model."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.conversations import Described
from gemmahub.service.progress import Progress
from gemmahub.service.running_now import running_now
from gemmahub.service.serving.known import KnownServer, made_known
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.background import Behind
from gemmahub.tui.downloads import Download
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.plugins import PluginsScreen
from gemmahub.tui.screens.serving import ServingScreen
from gemmahub.tui.server_control import ServerControl
from gemmahub.tui.widgets.status_line import StatusLine
from tests.programs import free_port
from tests.tui.library_support import HERE, SteadyHub, drawn, install, loaded, steady_hub
from tests.tui.ways import shows, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from textual.pilot import Pilot

COMING = "gemma-3-1b-it:q4_0-qat"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    """One installed model, and the catalogue."""
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    install(tmp_path, HERE)
    return steady_hub(tmp_path)


def coming() -> Download:
    """A download of which 42 % are here, with three minutes to go."""
    precision = SimpleNamespace(summary="Q4_0")
    plan: Any = SimpleNamespace(
        variant=SimpleNamespace(reference=COMING, precision=precision),
        size_bytes=1000,
        fetch_bytes=1000,
        files=(),
        reference=COMING,
    )
    download = Download(plan)
    download.state = "running"
    download.report(Progress("x", "fetching", 420, 1000, 420, 1000, 0, 1, 10.0, 180.0, 180.0))
    return download


def line(pilot: Pilot[None]) -> str:
    """What the line of the screen in front says; "" where there is none."""
    found = pilot.app.screen.query_one(StatusLine)
    found.look()
    return str(found.render()) if found.display else ""


async def seen(pilot: Pilot[None]) -> Behind:
    """What a new look behind the screens sees."""
    app: Any = pilot.app
    before = app.background.seen
    app.background.look()
    await until(pilot, lambda: app.background.seen is not before, "a look")
    return app.background.seen  # type: ignore[no-any-return]


def tells(app: GemmahubApp, text: str) -> bool:
    return any(text in notice.message for notice in app._notifications)


@contextmanager
def deaf_server(data: Path) -> Iterator[str]:
    """A server of this user that takes connections and never answers; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended, taken = threading.Event(), []

        def take() -> None:
            listener.settimeout(0.1)
            while not ended.is_set():
                try:
                    taken.append(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=take)
        thread.start()
        port = listener.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        try:
            with made_known(data, KnownServer(address, "key", os.getpid()), port):
                yield address
        finally:
            ended.set()
            thread.join()
            for connection in taken:
                connection.close()


async def test_a_download_is_in_its_row_and_on_every_screen(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await loaded(pilot)
        assert "↓" not in line(pilot)
        download = coming()
        app.downloads.all.append(download)
        waiting = coming()
        waiting.state = "waiting"
        app.downloads.all.append(waiting)
        screen._follow_downloads()
        screen.query_one(StatusLine).look()
        await pilot.pause()
        text = drawn(screen)
        row = next(line for line in text.splitlines() if line.startswith("│") and COMING in line)
        assert "↓ 42 %" in row
        assert f"↓ {COMING} 42% 3 min · 1 waits" in text
        for key, kind in (("p", PluginsScreen), ("E", ServingScreen), ("D", DownloadsScreen)):
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(app.screen, kind)
            assert line(pilot).startswith(f"↓ {COMING} 42%")
        app.downloads.all.clear()
        assert "↓" not in line(pilot)


async def test_a_page_takes_the_place_of_another_and_twice_is_once(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    async with app.run_test() as pilot:
        await loaded(pilot)
        depth = len(app.screen_stack)
        for key in ("D", "D", "p", "D", "e", "D"):
            await pilot.press(key)
            await pilot.pause()
            assert len(app.screen_stack) == depth + 1
        assert isinstance(app.screen, DownloadsScreen)
        await pilot.press("o")
        await pilot.pause()
        assert isinstance(app.screen, ConversationList)
        await pilot.press("escape")
        assert isinstance(app.screen, LibraryScreen)


async def test_kept_chats_are_counted_and_one_that_is_not_kept_is_marked(
    hub: SteadyHub, tiny_model: Path
) -> None:
    hub = SteadyHub(config=replace(hub.config, backend="echo"))
    for _ in range(2):
        with hub.conversations.new(Described("x")) as journal:
            journal.add("user", "hi")
    app = GemmahubApp(hub)
    async with app.run_test(size=(120, 40)) as pilot:
        await loaded(pilot)
        assert (await seen(pilot)).conversations == 2
        assert "2 chats kept" in line(pilot)
        chat = ChatScreen(hub, str(tiny_model))
        await app.push_screen(chat)
        await until(pilot, lambda: chat.view.chat, "a loaded model")
        assert f"● {tiny_model.name} loaded" in line(pilot)
        assert "not kept" not in line(pilot)
        chat.view.hold_unkept()
        assert line(pilot).endswith("2 chats kept · this chat is not kept")
        await pilot.click(StatusLine, offset=(line(pilot).index("2 chats") + 2, 0))
        await until(pilot, lambda: isinstance(app.screen, ConversationList), "the list")


async def test_a_start_that_fails_is_told(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    app.serving = serving = ServerControl(hub, free_port())
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await loaded(pilot)
        with socket.create_server(("127.0.0.1", serving.port)):
            app.action_switch_serving()
            await until(pilot, lambda: serving.error, "a failure")
            await until(pilot, lambda: "serving failed" in line(pilot), "the line")
            error = serving.error
            assert error is not None
            await until(pilot, lambda: tells(app, error.message), "why")


def test_a_server_that_never_answers_is_named(hub: SteadyHub) -> None:
    with deaf_server(hub.config.data) as address:
        assert running_now(hub).silent == (address,)
    assert running_now(hub).silent == ()


async def test_a_server_that_never_answers_holds_up_no_key(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    async with app.run_test(size=(120, 40)) as pilot:
        await loaded(pilot)
        await seen(pilot)
        with deaf_server(hub.config.data) as address:
            app.background.look()
            looked = app.background.seen
            keys = 0
            while app.background.seen is looked:  # two seconds
                await pilot.press("down")
                keys += 1
            assert keys > 3  # one, if it had waited
            place = address.removeprefix("http://")
            assert f"{place} does not answer" in line(pilot)
            await pilot.press("E")
            await shows(pilot, "Nothing is served")
            screen: Any = app.screen
            looking = [w for w in app.workers if w.group == "look" and w.is_running]
            assert len(looking) <= 1
            await until(pilot, lambda: not screen._looking, "the end of a look")
            await pilot.press("escape")


async def test_an_engine_elsewhere_that_holds_a_model_is_shown(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    async with app.run_test() as pilot:
        await loaded(pilot)
        app.background.seen = Behind(loaded=("gemma3:4b",))
        assert "● gemma3:4b loaded" in line(pilot)
        app.background.seen = Behind(loaded=("a", "b", "c"))
        assert "● 3 models loaded" in line(pilot)


async def test_a_flat_terminal_keeps_its_lines_for_the_screen(hub: SteadyHub) -> None:
    app = GemmahubApp(hub)
    async with app.run_test(size=(20, 5)) as pilot:
        await loaded(pilot)
        app.background.seen = Behind(conversations=3)
        assert line(pilot) == ""
        await pilot.resize_terminal(80, 24)
        assert line(pilot) == "3 chats kept"
