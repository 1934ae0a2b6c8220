"""The chat without the rest of the application, and what its tests ask of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from textual.app import App

from gemmahub.conversations import Match
from gemmahub.engines.contract import Settings
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.turns import Answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from textual.pilot import Pilot
    from textual.screen import Screen

    from gemmahub.service import Library

T = TypeVar("T")
SIZE = (80, 24)


class Alone(App[None]):
    """Screens without the rest of the application."""

    def __init__(self, *screens: Screen[None]) -> None:
        super().__init__()
        self._screens = screens

    def on_mount(self) -> None:
        for screen in self._screens:
            self.push_screen(screen)


async def until(condition: Callable[[], Any], what: str, pilot: Pilot[None]) -> None:
    """Wait for something that a thread or a process brings about."""
    for _ in range(1500):
        if condition():
            await pilot.pause()
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it never came to pass: {what}")


@asynccontextmanager
async def chat(
    hub: Library, model: str, *, size: tuple[int, int] = SIZE, loaded: bool = True, **options: Any
) -> AsyncIterator[tuple[ChatScreen, Pilot[None]]]:
    context, notices = options.pop("context", None), options.pop("notices", False)
    screen = ChatScreen(hub, model, Settings(context=context, options=options))
    async with Alone(screen).run_test(size=size, notifications=notices) as pilot:
        if loaded:
            await until(lambda: screen.view.chat, "loaded", pilot)
        yield screen, pilot


async def ask(screen: ChatScreen, pilot: Pilot[None], text: str) -> None:
    screen.query_one(PromptEditor).text = text
    await pilot.press("enter")
    await until(lambda: not screen.view.answering, "answered", pilot)


def answers(screen: ChatScreen) -> list[str]:
    return [turn.source for turn in screen.query(Answer)]


def shown(screen: ChatScreen, of: type[Any]) -> str:
    return str(screen.query_one(of).render())


def the_list(pilot: Pilot[None]) -> ConversationList:
    screen: Any = pilot.app.screen
    assert isinstance(screen, ConversationList)
    return screen


def titles(listing: ConversationList) -> list[str]:
    return [found.summary.title for found in listing._found if isinstance(found, Match)]


def told(screen: ChatScreen) -> str:
    return str(screen.query_one("#load-text").render())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)
