"""Models are served from the terminal UI: begun, looked at, ended; and what goes wrong."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import psutil
import pytest

from gemmahub.config import Config
from gemmahub.errors import GemmahubError
from gemmahub.service import Library
from gemmahub.service.serving.known import KnownVisit
from gemmahub.service.serving.starting import OwnServer, running_servers, start_server
from gemmahub.testing.model_writer import write_model
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.dialogs import ConfirmDialog
from gemmahub.tui.screens.serving import ServingScreen, _visits
from gemmahub.tui.server_control import ServerControl
from gemmahub.tui.widgets.status_line import StatusLine
from tests.programs import free_port
from tests.service.serving_support import HELLO
from tests.tui.library_support import loaded
from tests.tui.ways import shows, until

if TYPE_CHECKING:
    from textual.pilot import Pilot


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    monkeypatch.setenv("GEMMAHUB_DATA", str(tmp_path / "data"))
    (tmp_path / "models").mkdir()
    return Library(config=Config(tmp_path / "cache", tmp_path / "data", stores=frozenset()))


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    write_model(tmp_path / "models" / "tiny.gguf")
    return str(tmp_path / "models" / "tiny.gguf")


@pytest.fixture
def serving(library: Library) -> ServerControl:
    return ServerControl(library, free_port())


async def opened(pilot: Pilot[None], serving: ServerControl, *references: str) -> ServingScreen:
    app: Any = pilot.app
    app.serving = serving
    screen = ServingScreen(app.library, serving, references)
    await app.push_screen(screen)
    return screen


async def answer(port: int) -> httpx2.Response:
    body = {"messages": HELLO, "max_tokens": 3}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return await asyncio.to_thread(
        lambda: httpx2.post(url, json=body, timeout=60, headers={"User-Agent": "Ed/1.2 (x)"})
    )


async def test_it_begins_shows_who_asks_unloads_and_ends(
    library: Library, tiny: str, serving: ServerControl
) -> None:
    async with GemmahubApp(library).run_test(size=(120, 30)) as pilot:
        screen = await opened(pilot, serving, tiny)
        await shows(pilot, "Nothing is served")
        await pilot.press("space")
        await shows(pilot, f"http://127.0.0.1:{serving.port}/v1")
        assert serving.server is not None
        await shows(pilot, "nobody yet")
        assert f"--port {serving.port}" in screen.command
        assert (await answer(serving.port)).status_code == 200
        await shows(pilot, "Ed/1.2 ")
        await shows(pilot, "chat/completions")
        await shows(pilot, "done")
        await pilot.press("U")
        await shows(pilot, "not loaded")
        assert (await answer(serving.port)).status_code == 200
        engines = psutil.Process(serving.server.pid).children(recursive=True)
        assert engines
        await pilot.press("space")
        await shows(pilot, "Nothing is served")
        await until(pilot, lambda: not serving.is_on, "its end")
        psutil.wait_procs(engines, timeout=20)
        assert not any(engine.is_running() for engine in engines)


async def test_it_begins_and_ends_from_the_line_below_every_screen(
    library: Library, tiny: str, serving: ServerControl
) -> None:
    library = Library(
        config=replace(library.config, folders=(Path(tiny).parent,)), say=lambda _: None
    )
    app = GemmahubApp(library)
    app.serving = serving
    async with app.run_test(size=(160, 40)) as pilot:
        screen = await loaded(pilot)
        screen.unfold(tiny)
        await pilot.press("x")
        assert screen.marked_installed() == (tiny,)
        app.background.look()

        def line() -> str:
            found = app.screen.query_one(StatusLine)
            found.look()
            return str(found.render())

        await until(pilot, lambda: "▶ serve" in line(), "an offer to serve")
        await pilot.pause()  # the line has its place only now
        await pilot.click(StatusLine, offset=(line().index("serve") + 1, 0))
        await until(pilot, lambda: serving.is_on, "a start")
        await until(pilot, lambda: not serving.is_starting, "its end")
        assert serving.error is None
        await until(pilot, lambda: f"serving 1 model at :{serving.port}" in line(), "its model")
        await pilot.press("D")  # on another screen
        await until(pilot, lambda: "■ end" in line(), "an offer to end")
        await pilot.pause()
        await pilot.click(StatusLine, offset=(line().index("■ end") + 1, 0))
        await until(pilot, lambda: not serving.is_on, "its end")
        await until(pilot, lambda: "▶ serve" in line(), "an offer to serve again")


async def test_leaving_asks_and_ends_the_server(
    library: Library, tiny: str, serving: ServerControl
) -> None:
    app = GemmahubApp(library)
    async with app.run_test() as pilot:
        await opened(pilot, serving, tiny)
        await pilot.press("space")
        await shows(pilot, "nobody yet")
        await pilot.press("escape", "q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog), "a question")
        await shows(pilot, "Models are served")
        await pilot.press("n")
        assert serving.is_on
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog), "a question")
        await pilot.press("y")
    assert not serving.is_on
    assert running_servers(library) == []


async def test_a_start_that_fails_says_why_and_can_be_tried_again(
    library: Library, tiny: str, serving: ServerControl
) -> None:
    async with GemmahubApp(library).run_test() as pilot:
        await opened(pilot, serving, tiny)
        with socket.create_server(("127.0.0.1", serving.port)):
            await pilot.press("space")
            await shows(pilot, "cannot listen on 127.0.0.1")
            await shows(pilot, f"--port {serving.port + 1}")
        await pilot.press("space")
        await shows(pilot, "nobody yet")
        assert serving.error is None
        await asyncio.to_thread(serving.stop)


async def test_one_that_starts_is_ended(
    library: Library, tiny: str, serving: ServerControl
) -> None:
    async with GemmahubApp(library).run_test() as pilot:
        await opened(pilot, serving, tiny)
        await pilot.press("space", "space")
        await until(pilot, lambda: not serving.is_on, "its end")
        assert running_servers(library) == []


async def test_a_server_that_was_started_elsewhere_is_shown_and_left_alone(
    library: Library, tiny: str, serving: ServerControl
) -> None:
    other: OwnServer = await asyncio.to_thread(start_server, library, [tiny], free_port())
    try:
        async with GemmahubApp(library).run_test(size=(120, 30)) as pilot:
            await opened(pilot, serving, tiny)
            await shows(pilot, "started elsewhere")
            await pilot.press("space")
            (told,) = pilot.app._notifications
            assert "Ctrl+C ends it there" in told.message
            assert not serving.is_on
            assert other.running
    finally:
        await asyncio.to_thread(other.stop)


def test_what_serve_says_is_what_a_failed_start_says(library: Library) -> None:
    with pytest.raises(GemmahubError, match="no model is called 'nonsense'") as caught:
        start_server(library, ["nonsense"], free_port())
    assert "gemmahub list" in caught.value.hint


def test_requests_fit_every_width() -> None:
    visit = KnownVisit("Client/1", "/v1/messages", None, "m" * 400, "failed", "no " * 200, 1e9)
    for width in (10, 40, 80, 200):
        lines = str(_visits([visit, replace(visit, state="odd")], width)).splitlines()
        assert len(lines) == 5
        assert "Client/1" in lines[1] or width < 40
