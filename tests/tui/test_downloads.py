"""Getting a model in the whole application, from the first key to the chat, and what goes wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import socket
import threading
from contextlib import asynccontextmanager
from dataclasses import replace
from shutil import disk_usage
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from textual.widgets import Input, Static

from gemmahub.catalog import loader
from gemmahub.catalog.records import Catalog
from gemmahub.config import Config
from gemmahub.engines.sources import RemoteFile
from gemmahub.hub import client
from gemmahub.service.pulling import here_bytes
from gemmahub.testing.hub.content import Served
from gemmahub.testing.hub.models import projector
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.downloads import Download
from gemmahub.tui.messages import Pull
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.dialogs import ConfirmDialog
from gemmahub.tui.screens.downloads import DownloadRow, DownloadsScreen, file_lines
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.pull import PullScreen
from gemmahub.tui.widgets.chat_view import ChatView
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import Answer
from gemmahub.tui.widgets.welcome import Welcome
from tests.tui.conftest import MODEL, NAME
from tests.tui.library_support import HERE, SteadyHub, drawn, install, loaded, under_cursor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from textual.content import Content
    from textual.pilot import Pilot
    from textual.screen import Screen

    from gemmahub.testing.hub.server import HubServer

REFERENCE: Final = "hf://user/gemma/g-Q4_0.gguf"
BEST: Final = "gemma-3-270m-it:q4_0-qat"
IN_FLIGHT: Final = 1 << 18
"""Bytes on their way when a connection ends that the server held back: a few of its pieces."""
LONG: Final = 30  # seconds until a test gives up


@pytest.fixture(autouse=True)
def few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tries of a request that brings nothing, with half a second between them."""
    monkeypatch.setattr(client, "_TRIES", 2)


def a_hub(folder: Path, **about: Any) -> SteadyHub:
    """An installation that looks into the Hugging Face cache and one folder."""
    models = folder / "models"
    models.mkdir(exist_ok=True)
    stores = frozenset({"huggingface"})
    return SteadyHub(
        config=Config(folder / "cache", folder / "data", (models,), "echo", stores), **about
    )


@pytest.fixture
def hub(server: HubServer, tmp_path: Path) -> SteadyHub:
    return a_hub(tmp_path)


@pytest.fixture
def small_catalogue(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One model, which the hub of the test has."""
    whole = loader.load_catalog()
    model, variant = whole.model("gemma-3-270m-it"), whole.variant("gemma-3-270m-it", "q4_0-qat")
    assert model is not None
    assert variant is not None
    digest = hashlib.sha256(MODEL).hexdigest()
    known = msgspec.structs.replace(
        variant, repository="user/gemma", file=NAME, bytes=len(MODEL), sha256=digest, projector=None
    )
    only = Catalog.of(whole.families, [replace(model, variants=(known,))], [])
    monkeypatch.setattr(loader, "load_catalog", lambda: only)


class Application(GemmahubApp):
    """The application; where its hub speaks into the open is kept."""

    def __init__(self, hub: SteadyHub) -> None:
        self.said: list[str] = []
        hub._say = self.said.append
        super().__init__(hub)

    @property
    def told(self) -> str:
        """All notifications that are still there."""
        return "\n".join(f"{note.title} {note.message}" for note in self._notifications)


@asynccontextmanager
async def running(hub: SteadyHub) -> AsyncIterator[tuple[Application, Pilot[None]]]:
    app = Application(hub)
    async with asyncio.timeout(2 * LONG), app.run_test(size=(80, 24)) as pilot:
        await loaded(pilot)
        yield app, pilot


async def until(condition: Callable[[], Any], what: str, pilot: Pilot[None]) -> None:
    try:
        async with asyncio.timeout(LONG):
            while not condition():
                await pilot.pause(0.01)
    except TimeoutError:
        shown = drawn(pilot.app.screen)  # type: ignore[arg-type]
        raise AssertionError(f"it never came to pass: {what}\n{shown}") from None
    await pilot.pause()


async def front(pilot: Pilot[None], kind: type[Screen[Any]]) -> Any:
    """The screen in front, once it is one of that kind and drawn."""
    await until(lambda: isinstance(pilot.app.screen, kind), kind.__name__, pilot)
    return pilot.app.screen


def shown(pilot: Pilot[None]) -> str:
    return drawn(pilot.app.screen)  # type: ignore[arg-type]


def words(screen: Screen[Any]) -> str:
    """All that the dialog says, on one line."""
    return " ".join(" ".join(str(s.render()) for s in screen.query(Static)).split())


async def asked(pilot: Pilot[None], reference: str = "user/gemma", **about: Any) -> PullScreen:
    """The dialog for a reference, once there is an answer."""
    pilot.app.post_message(Pull(reference, **about))
    screen: PullScreen = await front(pilot, PullScreen)
    await until(lambda: screen.plan or screen.error, "an answer", pilot)
    return screen


async def fetching(pilot: Pilot[None], **about: Any) -> tuple[Download, DownloadsScreen]:
    """A download that was asked for, and the screen that shows it."""
    await asked(pilot, **about)
    await pilot.press("enter")
    screen: DownloadsScreen = await front(pilot, DownloadsScreen)
    await until(lambda: isinstance(screen.focused, DownloadRow), "a row", pilot)
    download: Download = screen.downloads.all[-1]
    return download, screen


def row(screen: DownloadsScreen, part: str) -> str:
    screen.look()
    return str(screen.query_one(f"DownloadRow {part}", Static).render())


# --- from nothing to a chat -------------------------------------------------------------------


@pytest.mark.usefixtures("small_catalogue")
async def test_the_first_run_leads_to_a_chat_in_two_keys(hub: SteadyHub) -> None:
    async with running(hub) as (app, pilot):
        assert "No model is here yet. Best for this machine: " + BEST in shown(pilot)
        await pilot.press("enter")
        screen = await front(pilot, PullScreen)
        await until(lambda: screen.plan, "what would come", pilot)
        await pilot.press("enter")
        chat = await front(pilot, ChatScreen)
        assert chat.query_one(ChatView).model.settings.context == 16_384  # what the library showed
        await until(lambda: chat.view.chat, "the model", pilot)
        chat.query_one(PromptEditor).text = "hello there"
        await pilot.press("enter")
        await until(lambda: chat.query(Answer) and not chat.view.answering, "an answer", pilot)
        assert "hello there" in chat.view.journal.saved().messages[-1].text
        await pilot.press("escape", "escape")
        library = await front(pilot, LibraryScreen)  # and not the downloads, which are over
        rows = library.overview.rows
        assert [r.variant.reference for r in rows if r.installed] == [BEST]
        assert not library.query_one(Welcome).display
        assert not app.told.count("did not arrive")


async def test_the_chat_does_not_open_over_what_one_does(hub: SteadyHub, server: HubServer) -> None:
    server.fault("stall", match="/blob/", value=1_500_000, skip=1)
    async with running(hub) as (app, pilot):
        download, _ = await fetching(pilot, then_chat=True)
        await pilot.press("escape")
        library = await front(pilot, LibraryScreen)
        assert "D shows it" in app.told
        await pilot.press("slash", "q", "a")
        server.released.set()
        await until(lambda: download.state == "done", "done", pilot)
        await pilot.press("t")
        assert app.screen is library
        assert library.query_one("#filter", Input).value == "qat"
        assert f"{REFERENCE} is here F6 opens a chat" in app.told
        await pilot.press("f6")
        chat = await front(pilot, ChatScreen)
        assert chat.query_one(ChatView).model.reference == REFERENCE


async def test_nothing_has_arrived_yet(hub: SteadyHub) -> None:
    async with running(hub) as (app, pilot):
        await pilot.press("f6")
        assert isinstance(app.screen, LibraryScreen)
        assert "nothing has arrived" in app.told


async def test_what_is_here_opens_at_once(hub: SteadyHub, tmp_path: Path) -> None:
    install(tmp_path, HERE)
    async with running(hub) as (app, pilot):
        screen = await asked(pilot, HERE)
        assert "It is on this machine already." in words(screen)
        assert "enter opens a chat" in words(screen)
        await pilot.press("enter")
        chat = await front(pilot, ChatScreen)
        assert chat.query_one(ChatView).model.reference == HERE
        assert app.downloads.all == []


async def test_what_has_arrived_is_only_checked(hub: SteadyHub) -> None:
    hub.pull(hub.plan_pull("user/gemma"))
    async with running(hub) as (_, pilot):
        screen = await asked(pilot)
        assert "are here: only the sha256 is checked" in words(screen)


# --- the dialog, when the hub does not give it --------------------------------------------------


def closed_port() -> int:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port: int = once.getsockname()[1]
        return port


async def test_a_hub_that_cannot_be_reached(
    server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    drawn_texts, real = [], PullScreen._show

    def show(screen: PullScreen, content: Content) -> None:
        drawn_texts.append(str(content))
        real(screen, content)

    monkeypatch.setattr(PullScreen, "_show", show)
    install(tmp_path, HERE)
    async with running(a_hub(tmp_path)) as (app, pilot):
        library = app.screen
        await pilot.press("end")
        wanted = under_cursor(library)  # type: ignore[arg-type]
        await pilot.press("enter")
        screen = await front(pilot, PullScreen)
        await until(lambda: screen.error, "the end of it", pilot)
        assert any("trying again in 0.5 s" in text for text in drawn_texts)
        said = words(screen)
        assert said.count("127.0.0.1 cannot be reached") == 1
        assert f"Installed models work without it, such as {HERE}" in said
        assert "F5 tries again" in said
        assert f"$ gemmahub pull {wanted}" in said
        assert not app.told  # the dialog says it, nothing lies over it
        assert not app.said
        await pilot.press("f6")
        chat = await front(pilot, ChatScreen)
        assert chat.query_one(ChatView).model.reference == HERE
        await pilot.press("escape", "escape")
        await front(pilot, LibraryScreen)
        assert "No network: 127.0.0.1 cannot be reached" in shown(pilot)
        assert f"What is here works without it: {HERE}" in shown(pilot)


async def test_a_retry_in_the_dialog(hub: SteadyHub, server: HubServer) -> None:
    server.fault("status", match="/api/models", value=503, times=2)
    async with running(hub) as (_, pilot):
        screen = await asked(pilot)
        assert "has a problem (HTTP 503)" in words(screen)
        assert "Nothing is installed yet." in words(screen)
        await pilot.press("f6")  # nothing is here to talk to
        assert pilot.app.screen is screen
        await pilot.press("f5")
        await until(lambda: screen.plan, "an answer", pilot)
        assert "downloads 4.12 MB" in words(screen)
        assert "a problem" not in words(screen)
        await pilot.press("escape")
        library = await front(pilot, LibraryScreen)
        assert "no network" not in str(library.query_one(Welcome).render())


async def test_nobody_waits_for_a_limit_after_escape(hub: SteadyHub, server: HubServer) -> None:
    server.fault("status", match="/api/models", value=429, headers={"Retry-After": "300"})
    async with running(hub) as (app, pilot):
        pilot.app.post_message(Pull("user/gemma"))
        screen = await front(pilot, PullScreen)
        await until(lambda: "limits requests: waiting 300 s" in words(screen), "a limit", pilot)
        await pilot.press("enter")  # one answer is on its way: another is not asked for
        await pilot.press("escape")
        await front(pilot, LibraryScreen)
        async with asyncio.timeout(LONG):
            await app.workers.wait_for_complete()
    assert len(server.requests("/api/models")) == 1


async def test_a_gated_repository_and_a_login_that_comes_meanwhile(
    hub: SteadyHub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add("user/gemma", {NAME: MODEL}, gated="manual")
    server.allow("hf_test", "user/gemma")
    async with running(hub) as (_, pilot):
        screen = await asked(pilot)
        assert "is gated: it asks for a login and for accepting its licence" in words(screen)
        assert f"{server.endpoint}/user/gemma" in words(screen)
        assert "hf auth login" in words(screen)
        assert "installed" not in words(screen)  # the network is there
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        await pilot.press("f5")
        await until(lambda: screen.plan, "what would come", pilot)
        await pilot.press("escape")
    assert not server.leaked()


async def test_a_disk_that_is_too_small(hub: SteadyHub, server: HubServer, tmp_path: Path) -> None:
    large = tmp_path / NAME
    large.write_bytes(MODEL)
    os.truncate(large, disk_usage(tmp_path).free + 10**10)
    server.add("user/gemma", {NAME: Served.of(NAME, large, "a" * 64)})
    async with running(hub) as (app, pilot):
        screen = await asked(pilot)
        assert " short)" in words(screen)
        assert "10.0 GB" in words(screen) or "10.1 GB" in words(screen)
        assert "HF_HOME" in words(screen)
        assert "enter downloads it" not in words(screen)
        await pilot.press("enter")  # looks again
        await until(lambda: screen.plan, "an answer", pilot)
        assert app.screen is screen
        assert app.downloads.all == []


async def test_a_name_that_the_hub_does_not_have(hub: SteadyHub) -> None:
    async with running(hub) as (_, pilot):
        screen = await asked(pilot, "user/other")
        assert "there is no repository user/other" in words(screen)
        assert "installed" not in words(screen)


# --- no network at all --------------------------------------------------------------------------


@pytest.mark.parametrize("installed", [True, False])
async def test_the_first_run_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    monkeypatch.setattr(SteadyHub, "why_offline", "HF_HUB_OFFLINE is set")
    if installed:
        install(tmp_path, HERE)
    async with running(a_hub(tmp_path)) as (_, pilot):
        if installed:
            assert "No network: HF_HUB_OFFLINE is set" in shown(pilot)
            await pilot.press("enter")
            chat = await front(pilot, ChatScreen)
            assert chat.query_one(ChatView).model.reference == HERE
        else:
            assert "No model is here yet, and no network: HF_HUB_OFFLINE is set" in shown(pilot)
            assert "gemmahub run ./model.gguf" in shown(pilot)


# --- a download that goes wrong ------------------------------------------------------------------


async def test_it_breaks_and_goes_on_from_the_bytes_that_are_there(
    hub: SteadyHub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_TRIES", 1)
    server.fault(
        "break", match="/blob/", value=2_000_000, skip=1
    )  # the first one asks for a header
    async with running(hub) as (app, pilot):
        download, screen = await fetching(pilot)
        await until(lambda: download.state == "failed", "failed", pilot)
        assert "the connection to 127.0.0.1 broke" in row(screen, ".told")
        assert row(screen, ".told").endswith("F5 tries again.")
        assert "2.07 MB of 4.12 MB" in row(screen, ".bar")
        assert f"$ gemmahub pull {REFERENCE}" in shown(pilot)
        assert "did not arrive" not in app.told  # it is in sight
        await pilot.press("escape", "D")  # the reason is kept
        screen = await front(pilot, DownloadsScreen)
        await until(lambda: isinstance(screen.focused, DownloadRow), "a row", pilot)
        assert "broke" in row(screen, ".told")
        await pilot.press("f5")
        await until(lambda: download.state == "done", "done", pilot)
        assert "100%" in row(screen, ".bar")
    assert server.sent_twice(NAME) <= IN_FLIGHT


async def test_a_failure_out_of_sight_is_told(hub: SteadyHub, server: HubServer) -> None:
    async with running(hub) as (app, pilot):
        server.fault("stall", match="/blob/", value=1_000_000, skip=1)
        download, _ = await fetching(pilot)
        await until(lambda: download.progress, "some of it", pilot)
        await pilot.press("escape")
        server.fault("status", match="/blob/", value=404, times=None)
        server.released.set()  # what stalled ends, and the rest is not there any more
        await until(lambda: download.state == "failed", "failed", pilot)
        assert f"{REFERENCE} did not arrive" in app.told


async def test_a_full_disk_keeps_what_has_arrived(hub: SteadyHub, server: HubServer) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with running(hub) as (_, pilot):
        screen = await asked(pilot)
        assert screen.plan
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, hard))  # as full as a disk can be
        try:
            await pilot.press("enter")
            rows = await front(pilot, DownloadsScreen)
            (download,) = rows.downloads.all
            await until(lambda: download.state == "failed", "failed", pilot)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "the disk is full: 2.50 MB of g-Q4_0.gguf arrived and are kept" in row(rows, ".told")
        await pilot.press("f5")
        await until(lambda: download.state == "done", "done", pilot)
    # Not what was sent: at full speed the client's receive buffer takes more than it ever reads.
    assert server.requests("/blob/")[-1].range.startswith("bytes=2500000-")


async def test_a_limit_is_said_in_its_row_and_paused_at_once(
    hub: SteadyHub, server: HubServer
) -> None:
    limit = {"Retry-After": "300"}
    server.fault("status", match="/blob/", value=429, headers=limit, skip=1)
    async with running(hub) as (app, pilot):
        download, screen = await fetching(pilot)
        await until(lambda: "waiting 300 s" in row(screen, ".told"), "a limit", pilot)
        assert not app.said
        await pilot.press("space")
        await until(lambda: download.state == "paused", "paused", pilot)
        await pilot.press("space")
        await until(lambda: download.state == "done", "done", pilot)


async def test_bytes_that_were_changed(hub: SteadyHub, server: HubServer) -> None:
    server.fault("corrupt", match="/blob/", value=len(MODEL) - 5, skip=1)
    async with running(hub) as (_, pilot):
        download, screen = await fetching(pilot)
        await until(lambda: download.state == "failed", "failed", pilot)
        assert "it was not kept" in row(screen, ".told")
        assert "0% · 0 B of" in row(screen, ".bar")


async def test_a_defect_is_a_failure_and_not_a_download_for_ever(
    hub: SteadyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(hub, "pull", broken)
    async with running(hub) as (_, pilot):
        download, screen = await fetching(pilot)
        await until(lambda: download.state == "failed", "failed", pilot)
        assert "unexpected RuntimeError: no such luck" in row(screen, ".told")


async def test_several_files_are_shown_one_by_one(hub: SteadyHub, server: HubServer) -> None:
    server.add("user/gemma", {NAME: MODEL, "mmproj-F16.gguf": projector()})
    async with running(hub) as (_, pilot):
        server.fault("stall", match="/blob/", value=1_500_000, skip=1)
        download, screen = await fetching(pilot)
        await until(lambda: download.progress and download.progress.done_bytes, "some", pilot)
        first, second = file_lines(download, 76)
        assert first.startswith(f"↓ {NAME} ")
        assert "B of 4.12 MB" in first
        assert second.startswith("· mmproj-F16.gguf · ")
        assert "file 1 of 2" in row(screen, ".told")
        assert "↓ g-Q4_0.gguf" in row(screen, ".files")
        server.released.set()
        await until(lambda: download.state == "done", "done", pilot)
        assert file_lines(download, 76) == []


def test_of_many_files_those_around_the_present_one(hub: SteadyHub) -> None:
    from gemmahub.service.progress import Progress

    plan = hub.plan_pull("user/gemma")
    assert plan.remote is not None
    files = tuple(RemoteFile(f"part{n}", 1000) for n in range(9))
    artifact = replace(plan.remote.artifact, files=files)
    download = Download(replace(plan, remote=replace(plan.remote, artifact=artifact)))
    download.state = "running"
    download.progress = Progress("part6", "fetching", 500, 1000, 6500, 9000, 6, 9, 100.0, 5.0)
    lines = file_lines(download, 76)
    assert lines[0] == "✓ part4 · 1.00 KB"
    assert "50% · 500 B of 1.00 KB · 100 B/s · 5 s left" in lines[2]
    assert lines[-1] == "  and 4 others"
    assert all(len(line) <= 76 for line in lines)


@pytest.mark.parametrize("width", [80, 50, 20])
async def test_its_keys_fit(hub: SteadyHub, width: int) -> None:
    async with running(hub) as (_, pilot):
        await fetching(pilot)
        await pilot.resize_terminal(width, 24)
        await pilot.pause()
        last = shown(pilot).splitlines()[-1]
        if width == 80:
            for key in ("Back", "Pause/continue", "Retry", "Cancel", "Chat", "Copy", "Keys"):
                assert key in last
        assert "palette" not in last


# --- leaving ------------------------------------------------------------------------------------


async def test_leaving_asks_and_loses_nothing(
    hub: SteadyHub, server: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fault("stall", match="/blob/", value=1_500_000, skip=1)
    async with running(hub) as (app, pilot):
        download, _ = await fetching(pilot)
        await until(lambda: (here_bytes(download.plan) or 0) > 1_500_000, "some of it", pilot)
        await pilot.press("q")
        dialog = await front(pilot, ConfirmDialog)
        assert "1 download in progress. Finished parts are kept" in " ".join(shown(pilot).split())
        assert dialog.command == f"gemmahub pull {REFERENCE}"
        await pilot.press("n")
        await front(pilot, DownloadsScreen)
        assert download.is_going
        await pilot.press("q")
        await front(pilot, ConfirmDialog)
        await pilot.press("y")
        await until(lambda: app._exit, "the end", pilot)
        server.released.set()
    line = f"to continue: gemmahub pull {REFERENCE}"
    assert line in capsys.readouterr().err
    again = a_hub(tmp_path)
    async with running(again) as (app, pilot):
        screen = await asked(pilot)
        assert "are here already" in words(screen)
        await pilot.press("enter")
        await front(pilot, DownloadsScreen)
        await until(lambda: app.downloads.all[0].state == "done", "done", pilot)
        await pilot.press("q")  # nothing is under way: nothing is asked
        await until(lambda: app._exit, "the end", pilot)
    assert "goes on" not in capsys.readouterr().err
    assert server.sent_twice(NAME) <= 2 * IN_FLIGHT


async def test_leaving_does_not_wait_for_a_limit(
    hub: SteadyHub, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = {"Retry-After": "300"}
    server.fault("status", match="/blob/", value=429, headers=limit, skip=1)
    ended, real = threading.Event(), hub.pull

    def pull(*arguments: Any, **options: Any) -> Any:
        try:
            return real(*arguments, **options)
        finally:
            ended.set()

    monkeypatch.setattr(hub, "pull", pull)
    async with running(hub) as (app, pilot):
        download, _ = await fetching(pilot)
        await until(lambda: "waiting 300 s" in download.said, "a limit", pilot)
        await pilot.press("q")
        await front(pilot, ConfirmDialog)
        await pilot.press("y")
        await until(lambda: app._exit, "the end", pilot)
    assert await asyncio.to_thread(ended.wait, LONG)
