"""The editor of questions."""

from __future__ import annotations

import asyncio

from textual import events
from textual.app import App, ComposeResult
from textual.message import Message
from textual.screen import Screen

from gemmahub.tui.widgets.prompt_editor import PromptEditor


class Busy(Message):
    """The screen has something to do that takes a while."""


class BusyScreen(Screen[None]):
    AUTO_FOCUS = "PromptEditor"

    def __init__(self) -> None:
        super().__init__()
        self.busy = asyncio.Event()
        self.done = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield PromptEditor()

    async def on_busy(self) -> None:
        self.busy.set()
        await self.done.wait()


async def test_keys_work_in_their_order_while_the_screen_is_busy() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        screen = BusyScreen()
        await app.push_screen(screen)
        editor = screen.query_one(PromptEditor)
        await pilot.press(*"wrong")
        screen.post_message(Busy())
        await screen.busy.wait()
        typed = [("ctrl+u", "\x15"), ("r", "r"), ("i", "i"), ("k", "k"), ("backspace", "\x7f")]
        for key, character in [*typed, ("g", "g"), ("h", "h"), ("t", "t")]:
            app.post_message(events.Key(key, character))
        while not editor.text.endswith("t"):
            await asyncio.sleep(0)
        screen.done.set()
        await pilot.pause()
        assert editor.text == "right"
