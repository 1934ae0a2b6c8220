"""Searching the hub, and getting by name, without leaving the application."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from textual.widgets import Input, OptionList

from gemmahub.hub import client, reach
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.pull import PullScreen
from gemmahub.tui.screens.search import SearchScreen
from tests.tui.conftest import MODEL, NAME
from tests.tui.test_downloads import a_hub, closed_port, front, running, shown, until, words

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot

    from gemmahub.testing.hub.server import HubServer
    from tests.tui.library_support import SteadyHub


@pytest.fixture
def hub(server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SteadyHub:
    monkeypatch.setattr(client, "_TRIES", 2)
    server.add("user/gated", {NAME: MODEL}, gated="manual", downloads=3)
    return a_hub(tmp_path)


async def typed(pilot: Pilot[None], text: str) -> SearchScreen:
    """The dialog, with a text in its line."""
    if not isinstance(pilot.app.screen, SearchScreen):
        await pilot.press("a")
    screen: SearchScreen = await front(pilot, SearchScreen)
    screen.query_one(Input).focus()
    screen.query_one(Input).value = text
    await pilot.pause()
    return screen


async def found(pilot: Pilot[None], text: str) -> SearchScreen:
    """The dialog, with what was found for these words."""
    screen = await typed(pilot, text)
    await pilot.press("enter")
    await until(lambda: isinstance(screen.focused, OptionList), "an answer", pilot)
    return screen


async def test_words_find_files_with_their_precision(hub: SteadyHub) -> None:
    async with running(hub) as (app, pilot):
        screen = await found(pilot, "user g")
        text = shown(pilot)
        assert "user/gated  gated: accept its licence there first · 3 downloads" in text
        assert "g-Q4_0.gguf  ~Q4_0  ?  4.12 MB" in text
        assert screen.chosen == "hf://user/gated/g-Q4_0.gguf"
        await pilot.press("down")
        assert screen.chosen == "hf://user/gemma/g-Q4_0.gguf"
        assert "$ gemmahub pull hf://user/gemma/g-Q4_0.gguf" in shown(pilot)
        await pilot.press("f9")
        assert app.clipboard == screen.command
        await pilot.press("enter")
        dialog = await front(pilot, PullScreen)
        await until(lambda: dialog.plan, "what would come", pilot)
        await pilot.press("escape")
        assert await front(pilot, SearchScreen) is screen  # the results are still there
        await pilot.press("enter")
        dialog = await front(pilot, PullScreen)
        await until(lambda: dialog.plan, "what would come", pilot)
        await pilot.press("enter")
        await front(pilot, ChatScreen)  # by way of the downloads
        assert screen not in app.screen_stack


@pytest.mark.parametrize(
    "name", ["user/gemma:Q4_0", "hf://user/gemma", "gemma-3-4b-it:q4_0-qat", "ollama://gemma3:4b"]
)
async def test_a_name_is_got_at_once(
    hub: SteadyHub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,ollama")
    async with running(hub) as (_, pilot):
        screen = await typed(pilot, name)
        assert screen.command == f"gemmahub pull {name}"
        await pilot.press("enter")
        assert (await front(pilot, PullScreen)).reference == name


@pytest.mark.parametrize("words", ["gemma", "gemma 12b", "it"])
async def test_words_are_no_name(hub: SteadyHub, words: str) -> None:
    async with running(hub) as (_, pilot):
        screen = await typed(pilot, words)
        assert screen.command == f"gemmahub search {words}"


@pytest.mark.parametrize(
    ("text", "said"), [("./a.gguf", "gemmahub run ./a.gguf"), ("ftp://y/z", "unknown scheme")]
)
async def test_what_is_neither_is_explained(hub: SteadyHub, text: str, said: str) -> None:
    async with running(hub) as (app, pilot):
        screen = await typed(pilot, text)
        await pilot.press("enter")
        await until(lambda: said in words(screen), "an explanation", pilot)
        assert app.screen is screen


async def test_nothing_found(hub: SteadyHub) -> None:
    async with running(hub) as (_, pilot):
        await typed(pilot, "nosuchthing")
        await pilot.press("enter")
        await until(lambda: "try fewer words" in shown(pilot), "an answer", pilot)
        await pilot.press("escape")
        await front(pilot, LibraryScreen)


async def test_a_search_without_a_hub(
    hub: SteadyHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    async with running(a_hub(tmp_path)) as (app, pilot):
        screen = await typed(pilot, "gemma")
        await pilot.press("enter")
        await until(lambda: "check the connection" in words(screen), "the end of it", pilot)
        assert "127.0.0.1 cannot be reached" in words(screen)
        assert not app.told
        assert not app.said


async def test_a_limit_is_said_and_nobody_waits_for_it_after_escape(
    hub: SteadyHub, server: HubServer
) -> None:
    server.fault("status", match="search=", value=429, headers={"Retry-After": "300"})
    async with running(hub) as (app, pilot):
        screen = await typed(pilot, "gemma")
        await pilot.press("enter")
        await until(lambda: "waiting 300 s" in words(screen), "a limit", pilot)
        await pilot.press("escape")
        await app.workers.wait_for_complete()
        assert not app.said


# --- whether there is a network at all ----------------------------------------------------------


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def test_offline_is_known_beforehand(monkeypatch: pytest.MonkeyPatch, no_proxies: None) -> None:
    monkeypatch.setattr(reach, "_has_route", lambda *place: False)
    assert reach.why_unreachable() == "this machine has no network"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert reach.why_unreachable() == ""
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert reach.why_unreachable() == ""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert reach.why_unreachable() == "HF_HUB_OFFLINE is set"


@pytest.mark.skipif(sys.platform != "linux", reason="makes a network of its own")
def test_a_machine_without_a_network(no_proxies: None) -> None:
    import subprocess

    code = "from gemmahub.hub.reach import why_unreachable; print(why_unreachable())"
    alone: Any = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    if "unshare" in alone.stderr:
        pytest.skip("no network namespaces here")
    assert alone.stdout.strip() == "this machine has no network"
