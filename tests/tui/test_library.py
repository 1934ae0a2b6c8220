"""The library screen as a person uses it: keys in, what is drawn out."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from textual import events, on
from textual.binding import Binding
from textual.widgets import Input, OptionList, Static

from gemmahub.errors import GemmahubError, NetworkError
from gemmahub.hardware.simulate import preset_machine
from gemmahub.service import Library, Requirements
from gemmahub.tui import messages
from gemmahub.tui.app import GemmahubApp
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.duel import DuelScreen
from gemmahub.tui.screens.keys import KeysScreen
from gemmahub.tui.screens.library import LibraryScreen
from gemmahub.tui.screens.plugins import PluginsScreen
from gemmahub.tui.screens.pull import PullScreen
from gemmahub.tui.screens.what_if import WhatIfScreen
from gemmahub.tui.sort_filter import Item
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.machine_bar import MachineBar
from gemmahub.tui.widgets.welcome import Welcome
from tests.tui.library_support import (
    HERE,
    SteadyHub,
    drawn,
    install,
    loaded,
    steady_hub,
    table,
    under_cursor,
)

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.service.overview import LibraryReading


SMALL, LARGE = (80, 24), (160, 48)


def detail(screen: LibraryScreen) -> DetailPane:
    return screen.query_one(DetailPane)


def status(screen: LibraryScreen) -> str:
    return str(screen.query_one("#status", Static).visual)


class Heard(GemmahubApp):
    """The application, with the messages that lead to other screens kept instead of followed."""

    def __init__(self, hub: Library) -> None:
        super().__init__(hub)
        self.heard: list[Any] = []

    @on(messages.OpenChat)
    @on(messages.OpenDuel)
    @on(messages.Pull)
    def keep(self, message: Any) -> None:
        self.heard.append(message)
        message.prevent_default()


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_it_shows_every_model_with_its_precision(
    hub: SteadyHub, size: tuple[int, int]
) -> None:
    async with GemmahubApp(hub).run_test(size=size) as pilot:
        screen = await loaded(pilot)
        assert under_cursor(screen) == HERE
        assert table(screen).has_focus
        assert {i.reference for i in table(screen).lines if isinstance(i, Item)} == {
            v.reference for v in hub.models(catalogue=True).variants
        }
        text = drawn(screen)
        for expected in (
            "PC with an RTX 3090", "24.00 GiB free of 24.00 GiB", "precision", "context", "fits",
            hub.inspect(HERE).precision.summary, "embedding F16", "KV cache",
            "$ gemmahub run gemma-3-1b-it:q4_0-qat --ctx-size",
        ):  # fmt: skip
            assert expected in text, expected


async def test_the_cursor_stays_on_its_model(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.press(*["down"] * 12)
        chosen = under_cursor(screen)
        assert chosen != HERE
        row = table(screen).cursor - table(screen).scroll_offset.y
        for key in ("f5", "u", "u"):
            await pilot.press(key)
            await screen.app.workers.wait_for_complete()
            await pilot.pause()
            assert under_cursor(screen) == chosen
            at = table(screen).cursor - table(screen).scroll_offset.y
            assert 0 <= at < table(screen).size.height - 1
        assert abs(at - row) <= 1
        item = table(screen).item
        await pilot.press("m")
        assert item is not None
        assert table(screen).item is not None
        assert table(screen).item.row.model == item.row.model  # type: ignore[union-attr]


async def test_in_another_order_the_cursor_is_on_the_first(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.press(*["down"] * 30)
        assert table(screen).scroll_offset.y
        screen.action_sort_by("speed")
        await pilot.pause()
        first = table(screen).lines[0]
        assert under_cursor(screen) == first.reference
        assert not table(screen).scroll_offset.y
        await pilot.press("down", "down", "r")
        last = table(screen).lines[0]
        assert under_cursor(screen) == last.reference != first.reference


async def test_space_shows_the_variants_of_a_model(hub: SteadyHub) -> None:
    """And folds them again, with the cursor on their model."""
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        await pilot.press("m")
        rows = len(table(screen).lines)
        first = table(screen).item
        assert first is not None
        assert first.more
        assert f"+{first.more} ▸" in drawn(screen)
        await pilot.press("space", "down")
        assert len(table(screen).lines) == rows + first.more
        below = table(screen).item
        assert below is not None
        assert below.below
        assert below.row.model == first.row.model
        await pilot.press("space")
        assert len(table(screen).lines) == rows
        assert under_cursor(screen) == first.reference
        await pilot.press("slash", *"12b")
        assert not any(line.more for line in table(screen).lines if isinstance(line, Item))


async def test_a_filter_as_it_is_typed(hub: SteadyHub, tmp_path: Path) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.press("slash", *"12b")
        found = [line for line in table(screen).lines if isinstance(line, Item)]
        assert all("12b" in item.reference for item in found)
        assert status(screen).startswith(f"{len(found)} variants")
        await pilot.press(*"zzz")
        assert not table(screen).lines
        assert "nothing has “12bzzz” in it" in drawn(screen)
        await pilot.press(*["backspace"] * 3, "enter")
        assert table(screen).has_focus
        assert json.loads((tmp_path / "data" / "tui.json").read_text())["filter"] == "12b"
        await pilot.press("escape")
        assert len(table(screen).lines) > 20
        assert screen.query_one("#filter", Input).value == ""


async def test_a_filter_that_comes_all_at_once(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        for key, character in (("slash", "/"), ("1", "1"), ("slash", "/"), ("b", "b")):
            event = events.Key(key, character)
            event.set_sender(pilot.app)
            pilot.app.post_message(event)
        entry = screen.query_one("#filter", Input)
        await _until(pilot, lambda: entry.value == "1/b")


async def test_what_is_shown_and_sorted_is_kept(hub: SteadyHub, tmp_path: Path) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        everything = len(table(screen).lines)
        await pilot.press("v")
        fits = len(table(screen).lines)
        await pilot.press("v")
        assert [line.reference for line in table(screen).lines] == [HERE]
        assert 1 < fits < everything
        await pilot.press("v", "v")
        screen.action_sort_by("size")
        await pilot.press("r", "m")
        rows = [line for line in table(screen).lines if isinstance(line, Item)]
        assert len(rows) == len({item.row.model for item in rows}) < fits
        assert "[v] fits · [s] by size · [u] chat" in status(screen)
        screen.app.theme = "gemmahub-light"
        await pilot.pause()
    async with GemmahubApp(steady_hub(tmp_path)).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        assert "[v] fits · [s] by size · [u] chat" in status(screen)
        assert table(screen).lines[0].more  # type: ignore[union-attr]
        assert table(screen).descending
        assert screen.app.theme == "gemmahub-light"


async def test_the_plan_follows_context_and_cache_type(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        pane = detail(screen)
        before, planned = pane.context, drawn(screen)
        await pilot.press("left")
        assert pane.context < before
        assert f"--ctx-size {pane.context}" in drawn(screen)
        assert drawn(screen) != planned
        await pilot.press("t")
        assert pane.cache_type == "q8_0"
        assert "[q8_0]" in drawn(screen)
        assert pane.command.endswith("--cache-type q8_0")
        settings = pane.settings
        assert settings is not None
        assert (settings.context, settings.cache_type_k) == (pane.context, "q8_0")
        kept = pane.context
        await pilot.press("down")  # a choice holds for the next model too
        assert (pane.context, pane.cache_type) == (kept, "q8_0")
        await pilot.press("up", "0")
        assert (pane.context, pane.cache_type) == (before, "f16")
        for _ in range(40):
            await pilot.press("right")
        assert pane.slider is not None
        assert pane.context == pane.slider.steps[-1]


async def test_the_slider_takes_the_mouse(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        pane = detail(screen)
        line, start, cells = pane._slider_at
        x, y = pane.gutter.left + start, pane.gutter.top + line
        assert pane.slider is not None
        await pilot.mouse_down(pane, offset=(x + 8, y))
        assert pane.context == pane.slider.steps[0]
        await pilot.hover(pane, offset=(x + cells - 10, y + 3))
        assert pane.context == pane.slider.steps[-1]
        await pilot.mouse_up(pane, offset=(x + cells - 10, y))
        await pilot.hover(pane, offset=(x + 8, y))
        assert pane.context == pane.slider.steps[-1]


async def test_the_mouse_in_the_table(hub: SteadyHub) -> None:
    async with Heard(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        await pilot.click(table(screen), offset=(10, 4))
        assert table(screen).cursor == 3
        headings = next(line for line in drawn(screen).splitlines() if " precision " in line)
        score = headings.index("score") - table(screen).region.x
        await pilot.click(table(screen), offset=(score, 0))
        assert screen.sort_filter.sort == "score"
        await pilot.click(table(screen), offset=(score, 0))
        assert screen.sort_filter.reverse


async def test_the_command_goes_to_the_clipboard(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.press("y")
        assert pilot.app.clipboard == detail(screen).command
        assert pilot.app.clipboard.startswith(f"gemmahub run {HERE} ")
        await pilot.press("down", "y")
        name, context = under_cursor(screen), detail(screen).context
        pull, run = f"gemmahub pull {name}", f"gemmahub run {name} --ctx-size {context}"
        assert pilot.app.clipboard == f"{pull} && {run}"
        await pilot.press("left", "t", "y")
        assert detail(screen).context < context
        run = f"gemmahub run {name} --ctx-size {detail(screen).context} --cache-type q8_0"
        assert pilot.app.clipboard == f"{pull} && {run}"


async def test_what_if_ranks_anew_and_comes_back(hub: SteadyHub) -> None:
    async with Heard(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        here = [line.reference for line in table(screen).lines]
        await pilot.press("w")
        await pilot.pause()
        assert isinstance(pilot.app.screen, WhatIfScreen)
        options = pilot.app.screen.query_one(OptionList)
        options.highlighted = options.get_option_index("m1-8gb")
        await pilot.press("enter")
        await _until(
            pilot, lambda: screen.overview is not None and screen.overview.machine.simulated
        )
        assert "WHAT IF" in drawn(screen)
        assert "Mac with M1, 8 GB" in drawn(screen)
        assert "$ gemmahub recommend --machine m1-8gb" in drawn(screen)
        assert [line.reference for line in table(screen).lines] != here
        assert under_cursor(screen) == HERE
        await pilot.press("enter")  # nothing is run on a machine that is not here
        assert pilot.app.heard == []  # type: ignore[attr-defined]
        await pilot.press("escape")
        await _until(
            pilot, lambda: screen.overview is not None and not screen.overview.machine.simulated
        )
        assert [line.reference for line in table(screen).lines] == here


async def test_what_if_with_sizes(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.press("w", "tab", *"many", "enter")
        assert isinstance(pilot.app.screen, WhatIfScreen)
        error = pilot.app.screen.query_one(".front--error", Static)
        assert "no known machine or GPU many" in str(error.visual)
        entry = pilot.app.screen.query_one(Input)
        entry.value = "6GiB + 8GiB"
        await pilot.press("enter")
        await _until(
            pilot, lambda: screen.overview is not None and screen.overview.machine.simulated
        )
        assert screen.elsewhere == {"memory": "6GiB", "ram": "8GiB"}
        assert "6.00 GiB free of 6.00 GiB" in drawn(screen)


async def test_what_if_with_several_gpus_and_hosts(hub: SteadyHub) -> None:
    hub = SteadyHub(config=replace(hub.config, hosts=("lab-1 = 2x l4", "lab-2 = h100")))
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        await pilot.press("w")
        await pilot.pause()
        entry = pilot.app.screen.query_one(Input)
        entry.value = "rtx-3090 + rtx-3060"
        entry.focus()
        await pilot.press("enter")
        await _until(
            pilot, lambda: screen.overview is not None and screen.overview.machine.simulated
        )
        assert "$ gemmahub recommend --machine 'rtx-3090 + rtx-3060'" in drawn(screen)
        await pilot.press("w")
        await pilot.pause()
        options = pilot.app.screen.query_one(OptionList)
        options.highlighted = options.get_option_index("hosts")
        await pilot.press("enter")
        await _until(
            pilot,
            lambda: screen.overview is not None and len(screen.overview.machine.devices) == 3,
        )
        assert screen.elsewhere == {"machine": "hosts"}


async def test_enter_leads_to_a_chat_or_to_a_pull(hub: SteadyHub) -> None:
    async with Heard(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.press("enter", "down", "enter")
        await pilot.pause()
        chat, pull = pilot.app.heard  # type: ignore[attr-defined]
        assert isinstance(chat, messages.OpenChat)
        assert chat.reference == HERE
        assert chat.settings is not None
        assert chat.settings.context
        assert isinstance(pull, messages.Pull)
        assert pull.reference == under_cursor(screen)
        assert pull.then_chat


@pytest.mark.parametrize("sides", [1, 2])
async def test_the_speed_of_what_ran_is_shown_at_once(hub: SteadyHub, sides: int) -> None:
    hub = SteadyHub(config=replace(hub.config, backend="echo"))
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        event = messages.OpenChat(HERE) if sides == 1 else messages.OpenDuel((HERE, HERE))
        pilot.app.post_message(event)
        await _until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen | DuelScreen))
        front = pilot.app.screen
        if isinstance(front, ChatScreen):
            await _until(pilot, lambda: front.view.chat is not None)
        hub.speeds.add(HERE, "gpu", 1000, 2.0)  # as an answer leaves it
        await pilot.press("escape", "escape")
        await _until(pilot, lambda: pilot.app.screen is screen)
        await _until(pilot, lambda: " 500 " in drawn(screen))


async def test_the_first_run_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    hub = steady_hub(tmp_path)
    async with Heard(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        best = hub.recommend(Requirements(limit=1))[0].variant
        assert screen.query_one(Welcome).display
        assert "No model is here yet" in drawn(screen)
        assert best.reference in drawn(screen)
        assert under_cursor(screen) == best.reference
        await pilot.press("enter")
        await pilot.pause()
        assert [m.reference for m in pilot.app.heard] == [best.reference]  # type: ignore[attr-defined]
        install(tmp_path, HERE)
        pilot.app.post_message(messages.LibraryChanged())
        await _until(pilot, lambda: not screen.query_one(Welcome).display)
        assert HERE in [line.reference for line in table(screen).lines]


async def test_an_unreachable_hub_is_said_where_it_was_asked(hub: SteadyHub) -> None:
    class Offline(SteadyHub):
        def plan_pull(self, reference: str, options: Any = None) -> Any:
            raise NetworkError("the hub cannot be reached", "look at the connection")

    offline = Offline(config=hub.config)
    async with GemmahubApp(offline).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.app.push_screen(PullScreen(offline, "gemma-3-4b-it:q8_0"))
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        text = drawn(pilot.app.screen)  # type: ignore[arg-type]
        assert "the hub cannot be reached" in text
        assert "look at the connection" in text
        assert "$ gemmahub pull gemma-3-4b-it:q8_0" in text
        await pilot.press("y")
        assert pilot.app.clipboard == "gemmahub pull gemma-3-4b-it:q8_0"
        await pilot.press("escape")
        assert pilot.app.screen is screen


@pytest.mark.parametrize(
    "failure", [GemmahubError("the stores are on fire", "pour water"), RuntimeError("a plugin")]
)
async def test_a_failure_is_shown_and_the_ui_lives_on(hub: SteadyHub, failure: Exception) -> None:
    def failing(*_: Any, **__: Any) -> LibraryReading:
        raise failure

    broken = pytest.MonkeyPatch()
    broken.setattr("gemmahub.service.overview.LibraryReading", failing)
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, LibraryScreen)
        assert str(getattr(failure, "message", "a plugin")) in drawn(screen)
        broken.undo()
        await pilot.press("f5")
        await loaded(pilot)
        assert under_cursor(screen) == HERE


async def test_broken_settings_do_not_keep_it_from_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    settings = tmp_path / "config.toml"
    settings.write_text("[run\n")
    async with GemmahubApp().run_test(size=LARGE) as pilot:
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        assert "cannot read the settings file" in drawn(pilot.app.screen)  # type: ignore[arg-type]
        settings.write_text("")
        await pilot.press("f5")
        await loaded(pilot)


async def test_text_from_files_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    title = "[bold red]evil[/] \x1b]0;owned\x07\x1b[31mname [link=x"
    path = install(tmp_path, HERE, "[b]odd[b].gguf", title=title)
    async with GemmahubApp(steady_hub(tmp_path)).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        assert under_cursor(screen) == str(path)
        text = drawn(screen)
        assert "[b]odd[b].gguf" in text
        assert "[bold red]evil[/] name [link=x" in text
        assert "\x1b" not in text
        assert "owned" not in text
        await pilot.press("slash", *["left_square_bracket", "b"], "enter", "y")
        assert f"'{path}'" in pilot.app.clipboard


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (40, 10), (300, 100)])
async def test_any_size_and_back_again(hub: SteadyHub, size: tuple[int, int]) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        await pilot.press(*["down"] * 15)
        chosen = under_cursor(screen)
        await pilot.resize_terminal(*size)
        await pilot.pause()
        drawn(screen)
        assert under_cursor(screen) == chosen
        await pilot.press("down", "up", "left", "t", "question_mark")
        await pilot.pause()
        drawn(pilot.app.screen)  # type: ignore[arg-type]
        await pilot.press("escape")
        await pilot.resize_terminal(*LARGE)
        await pilot.pause()
        assert under_cursor(screen) == chosen
        assert table(screen).item is not None
        assert table(screen).item.title in drawn(screen)  # type: ignore[union-attr]


async def test_every_key_is_in_the_help_and_in_the_palette(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=(160, 60)) as pilot:
        screen = await loaded(pilot)
        bound = {
            b.description
            for b in LibraryScreen.BINDINGS
            if isinstance(b, Binding) and b.description
        }
        palette = {command.title for command in pilot.app.get_system_commands(screen)}
        assert bound <= palette
        assert {"Theme: dark", "Theme: light", "Theme: contrast", "Sort by size"} <= palette
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, KeysScreen)
        text = drawn(pilot.app.screen)  # type: ignore[arg-type]
        for description in bound:
            assert description in text
        await pilot.press("escape")
        for command in pilot.app.get_system_commands(screen):
            if command.title == "Show all, fits, installed":
                command.callback()
        await pilot.pause()
        assert screen.sort_filter.show == "fits"


async def test_plugins_say_what_does_not_work(
    hub: SteadyHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "gemmahub_torn-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "gemmahub_torn.py").write_text("raise RuntimeError('torn in two')\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gemmahub-torn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gemmahub]\ntorn = gemmahub_torn\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo,torn")
    async with GemmahubApp(hub).run_test(size=(120, 40)) as pilot:
        screen = await loaded(pilot)
        await pilot.press("p")
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
        await pilot.pause()
        assert isinstance(pilot.app.screen, PluginsScreen)
        text = drawn(pilot.app.screen)  # type: ignore[arg-type]
        assert "✗ failed" in text
        assert "torn in two" in text
        assert "echo" in text
        assert "$ gemmahub doctor; gemmahub plugins" in text
        await pilot.press("escape")
        assert pilot.app.screen_stack[-1] is screen


async def test_the_memory_that_is_free_is_followed(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        hub.machine = replace(preset_machine("rtx-3060"), simulated=False)
        screen.look_at_machine()
        await _until(pilot, lambda: "12.00 GiB free of 12.00 GiB" in drawn(screen))
        assert under_cursor(screen) == HERE
        shown = screen.query_one(MachineBar).machine
        assert shown is not None
        assert shown.devices == hub.machine.devices
        assert _free_in_plan(drawn(screen)) == "12.00"


def _free_in_plan(text: str) -> str:
    line = next(line for line in text.splitlines() if "cuda:0" in line and " of " in line and
                "fits" in line)  # fmt: skip
    return line.rpartition(" of ")[2].split()[0]


async def test_nothing_is_lost_when_the_screen_is_left(hub: SteadyHub) -> None:
    async with GemmahubApp(hub).run_test(size=SMALL) as pilot:
        screen = await loaded(pilot)
        await pilot.press(*["down"] * 9, "x", "p")
        await pilot.app.workers.wait_for_complete()
        chosen = under_cursor(screen)
        await pilot.press("escape")
        await pilot.pause()
        assert under_cursor(screen) == chosen
        assert table(screen).marked == {chosen}


async def _until(pilot: Any, done: Any) -> None:
    """Wait for something that a worker brings about."""
    async with asyncio.timeout(30):
        while not done():
            await pilot.pause(0.01)
    await pilot.pause()


def test_gemmahub_alone_opens_it_on_a_terminal(tmp_path: Path) -> None:
    """The real program on a pseudo-terminal: from the first frame to the last."""
    import pty
    import select
    import subprocess
    import sys

    main, inner = pty.openpty()
    environment = os.environ | {
        "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", "GEMMAHUB_PLUGINS": "echo",
    }  # fmt: skip
    program = subprocess.Popen(
        [sys.executable, "-m", "gemmahub"],
        stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True,
    )  # fmt: skip
    os.close(inner)
    seen = b""
    try:
        while b"gemma-4" not in seen:
            assert select.select([main], [], [], 60)[0], seen[-500:]
            seen += os.read(main, 65536)
        os.write(main, b"q")
        while select.select([main], [], [], 60)[0]:
            try:
                seen += os.read(main, 65536)
            except OSError:  # the other side is closed
                break
        assert program.wait(60) == 0
    finally:
        program.kill()
        program.wait()
        os.close(main)
    assert b"\x1b[?1049l" in seen  # the screen is given back


def test_a_pipe_gets_the_help(command: Any) -> None:
    result = command()
    assert result.code == 0
    assert "Usage: gemmahub" in result.out


def test_web_takes_no_command(command: Any) -> None:
    result = command("--web", "list")
    assert result.code == 2
    assert "takes no command" in result.err


async def test_the_curve_is_planned_when_the_cursor_rests(
    hub: SteadyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the model that it rests on; its point is that of the slider."""
    monkeypatch.setattr("gemmahub.tui.widgets.detail._REST_SECONDS", 1.5)  # machines may be busy
    async with GemmahubApp(hub).run_test(size=LARGE) as pilot:
        screen = await loaded(pilot)
        await pilot.press("down", "down")
        assert "memory by context" not in drawn(screen)
        await _until(pilot, lambda: "memory by context" in drawn(screen))
        point, slider = _points(screen)
        assert point == slider
        await pilot.press("right")
        moved, slider = _points(screen)
        assert moved == slider > point


def _points(screen: LibraryScreen) -> list[int]:
    """The columns of the points of the curve and of the slider."""
    lines = drawn(screen).splitlines()[detail(screen).region.y :]
    return [line.index("●") for line in lines if "●" in line]
