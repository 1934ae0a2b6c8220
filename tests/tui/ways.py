"""The ways to the screens of the terminal UI, by keys; each ends when nothing moves any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from textual.widgets import Input, TextArea

from gemmahub.engines.contract import Sampling, Tool
from gemmahub.errors import NetworkError
from gemmahub.service.progress import Progress
from gemmahub.tui.downloads import Download
from gemmahub.tui.screens.chat import ChatScreen
from gemmahub.tui.screens.compare import CompareScreen
from gemmahub.tui.screens.conversation_list import ConversationList
from gemmahub.tui.screens.downloads import DownloadsScreen
from gemmahub.tui.screens.duel import DuelScreen
from gemmahub.tui.screens.explain import ExplainScreen
from gemmahub.tui.screens.pull import PullScreen
from gemmahub.tui.screens.serving import ServingScreen
from gemmahub.tui.screens.sizes import SizesScreen
from gemmahub.tui.widgets.detail import DetailPane
from gemmahub.tui.widgets.machine_bar import MachineBar
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.status_line import StatusLine
from gemmahub.tui.widgets.turns import Turn
from tests.tui.library_support import drawn, loaded, table, under_cursor
from tests.tui.stage import ELSEWHERE, HERE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from textual.pilot import Pilot

    from gemmahub.tui.app import GemmahubApp
    from gemmahub.tui.screens.library import LibraryScreen

S = TypeVar("S")


async def screen_of(pilot: Pilot[None], kind: type[S]) -> S:
    """The screen in front, once it is of that kind and has nothing more to look up."""
    await until(pilot, lambda: isinstance(pilot.app.screen, kind), kind.__name__)
    await still(pilot)
    found: S = pilot.app.screen  # type: ignore[assignment]
    return found


async def until(pilot: Pilot[None], done: Callable[[], object], what: str) -> None:
    """Wait for something that a thread or a process brings about."""
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            while not done():
                await pilot.pause(0.01)
            return
    raise AssertionError(f"it never came to pass: {what}")


async def still(pilot: Pilot[None]) -> None:
    """Wait until nothing is done any more, and put away what would move."""
    app = pilot.app
    if reading := [worker for worker in app.workers if worker.group != "default"]:
        await app.workers.wait_for_complete(reading)  # the others wait for an answer
    await pilot.pause()
    for screen in app.screen_stack:
        for entry in (*screen.query(Input), *screen.query(TextArea)):
            entry.cursor_blink = False
        for pane in screen.query(DetailPane):
            pane.plan_curve()
    await look_behind(pilot)
    app.clear_notifications()
    await pilot.pause()
    await pilot.pause()


async def look_behind(pilot: Pilot[None]) -> None:
    """The status lines tell what is behind the screens now, and not whether a look has ended."""
    app: GemmahubApp = pilot.app  # type: ignore[assignment]
    before = app.background.seen
    app.background.look()
    await until(pilot, lambda: app.background.seen is not before, "a look")
    for screen in app.screen_stack:
        for line in screen.query(StatusLine):
            line.look()


async def start(pilot: Pilot[None]) -> LibraryScreen:
    """The library, with all that it reads at the start."""
    screen = await loaded(pilot)
    bar = screen.query_one(MachineBar)
    await until(pilot, lambda: bar.engines is not None, "the engines")
    return screen


async def shows(pilot: Pilot[None], text: str) -> None:
    """Wait until that can be read on the screen in front."""
    screen: Any = pilot.app.screen
    await until(pilot, lambda: text in drawn(screen), text)


async def go_to(pilot: Pilot[None], reference: str) -> None:
    """Move the cursor of the library to a model."""
    screen = await start(pilot)
    screen.unfold(reference)
    places = [line.reference for line in table(screen).lines]
    steps = places.index(reference) - places.index(under_cursor(screen))
    await pilot.press(*["down" if steps > 0 else "up"] * abs(steps))
    assert under_cursor(screen) == reference


async def library(pilot: Pilot[None]) -> None:
    """The first screen."""
    await start(pilot)
    await still(pilot)


async def what_if(pilot: Pilot[None]) -> None:
    """The choice of another machine."""
    await start(pilot)
    await pilot.press("w")
    await still(pilot)


async def other_machine(pilot: Pilot[None]) -> None:
    """The library as another machine would have it."""
    screen = await start(pilot)
    await what_if(pilot)
    await pilot.press("down", "enter")
    await until(pilot, lambda: screen.machine and screen.machine.simulated, "another machine")
    await still(pilot)


async def compare(pilot: Pilot[None]) -> None:
    """Two variants side by side."""
    for reference in (HERE[0], ELSEWHERE[0]):
        await go_to(pilot, reference)
        await pilot.press("x")
    await pilot.press("c")
    screen = await screen_of(pilot, CompareScreen)
    await until(pilot, lambda: screen.comparison, "a comparison")
    await still(pilot)


async def sizes(pilot: Pilot[None]) -> None:
    """Every variant as a dot, the cursor on one that is the best of its size."""
    await start(pilot)
    await pilot.press("P")
    await screen_of(pilot, SizesScreen)
    await pilot.press(*["up"] * 3)
    await still(pilot)


async def pull(pilot: Pilot[None]) -> None:
    """What would come, before it comes."""
    await go_to(pilot, ELSEWHERE[0])
    await pilot.press("enter")
    screen = await screen_of(pilot, PullScreen)
    await until(pilot, lambda: screen.plan, "a plan")
    await still(pilot)


async def downloads(pilot: Pilot[None]) -> None:
    """One download that is under way, and one that failed."""
    app: GemmahubApp = pilot.app  # type: ignore[assignment]
    await start(pilot)
    going, failed = [
        Download(await asyncio.to_thread(app.library.plan_pull, name), then_chat=False)
        for name in ELSEWHERE
    ]
    size = going.plan.fetch_bytes
    going.state = "running"
    going.progress = Progress(
        file=going.plan.files[0].name,
        phase="fetching",
        done_bytes=size // 3,
        size=size,
        all_done_bytes=size // 3,
        all_bytes=size,
        files_done=0,
        files=len(going.plan.files),
        bytes_per_second=24e6,
        seconds_left=size / 36e6,
        all_seconds_left=size / 36e6,
    )
    failed.state = "failed"
    failed.error = NetworkError("the connection was lost", "finished parts are kept")
    app.downloads.all += [going, failed]
    await pilot.press("D")
    screen = await screen_of(pilot, DownloadsScreen)
    await until(pilot, lambda: screen.focused, "a row")
    await still(pilot)


async def search(pilot: Pilot[None]) -> None:
    """What the hub has for a word."""
    await start(pilot)
    await pilot.press("a", *"gemma", "enter")
    await shows(pilot, "google/gemma-3-12b-it")
    await still(pilot)


async def plugins(pilot: Pilot[None]) -> None:
    """Plugins and doctor."""
    await start(pilot)
    await pilot.press("p")
    await shows(pilot, "want attention")
    await still(pilot)


async def keys(pilot: Pilot[None]) -> None:
    """The keys of the library."""
    await start(pilot)
    await pilot.press("question_mark")
    await still(pilot)


async def chat(pilot: Pilot[None]) -> None:
    """A kept conversation that goes on."""
    screen = await empty_chat(pilot)
    await pilot.press("ctrl+o")
    await screen_of(pilot, ConversationList)
    await shows(pilot, "How large is the cache?")
    await still(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: pilot.app.screen is screen and screen.view.chat, "a conversation")
    await ask(pilot, "Thank you, that is clear.")
    await until(pilot, lambda: not screen.view.answering, "an answer")
    await still(pilot)


async def empty_chat(pilot: Pilot[None], reference: str = HERE[0]) -> ChatScreen:
    """A chat with a model, loaded."""
    await go_to(pilot, reference)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen), "the chat")
    screen = pilot.app.screen
    assert isinstance(screen, ChatScreen)
    await until(pilot, lambda: screen.view.chat, "a loaded model")
    await still(pilot)
    return screen


async def ask(pilot: Pilot[None], text: str) -> None:
    """Ask a question, in one piece."""
    pilot.app.screen.query_one(PromptEditor).text = text
    await pilot.press("enter")


async def thought(pilot: Pilot[None]) -> None:
    """Two answers with a thought, the first one folded."""
    screen = await empty_chat(pilot)
    await pilot.press("ctrl+t")
    for question, turns in (("Why is the sky blue?", 2), ("And the sea?", 4)):
        await ask(pilot, question)
        await until(pilot, lambda: len(screen.query(Turn)) == turns, "an answer")  # noqa: B023
        await until(pilot, lambda: not screen.view.answering, "its end")
    await still(pilot)
    await pilot.press("ctrl+l")
    await still(pilot)


async def tool_call(pilot: Pilot[None]) -> None:
    """A call of a tool, whose result is asked for."""
    screen = await empty_chat(pilot)
    screen.view.change(sampling=Sampling(tools=(Tool("look_up", "", {"type": "object"}),)))
    await ask(pilot, "Please look_up K2.")
    await until(pilot, lambda: screen.query(".transcript--told"), "what to type")
    await still(pilot)


async def chat_options(pilot: Pilot[None]) -> None:
    """System prompt, sampling, context."""
    await empty_chat(pilot)
    await pilot.press("ctrl+s")
    await still(pilot)


async def conversations(pilot: Pilot[None]) -> None:
    """The kept conversations."""
    await empty_chat(pilot)
    await pilot.press("ctrl+o")
    await screen_of(pilot, ConversationList)
    await shows(pilot, "How large is the cache?")
    await still(pilot)


async def duel(pilot: Pilot[None]) -> None:
    """One prompt, two answers."""
    for reference in HERE:
        await go_to(pilot, reference)
        await pilot.press("x")
    await pilot.press("d")
    screen = await screen_of(pilot, DuelScreen)
    await until(pilot, lambda: screen.at_once is not None, "a plan")
    await ask(pilot, "Which of you is **more precise**?")
    await until(pilot, lambda: screen._answering, "a question")
    await until(pilot, lambda: not screen._answering, "two answers")
    await still(pilot)


async def explain(pilot: Pilot[None]) -> None:
    """Why a model ranks where it does."""
    await go_to(pilot, ELSEWHERE[0])
    await pilot.press("e")
    await screen_of(pilot, ExplainScreen)


async def serving(pilot: Pilot[None]) -> None:
    """What is served, and who asks."""
    await start(pilot)
    await pilot.press("E")
    await screen_of(pilot, ServingScreen)
    await shows(pilot, "went away")
    await still(pilot)


@dataclass(frozen=True)
class Scene:
    """A screen, and how to come there; ``hub``: it asks the model hub."""

    way: Callable[[Pilot[None]], Awaitable[object]]
    hub: bool = False


SCENES: Final = {
    scene.way.__name__: scene
    for scene in (
        Scene(library),
        Scene(other_machine),
        Scene(explain),
        Scene(what_if),
        Scene(compare),
        Scene(sizes),
        Scene(pull, hub=True),
        Scene(downloads, hub=True),
        Scene(search, hub=True),
        Scene(plugins),
        Scene(keys),
        Scene(empty_chat),
        Scene(chat),
        Scene(chat_options),
        Scene(thought),
        Scene(tool_call),
        Scene(conversations),
        Scene(duel),
        Scene(serving),
    )
}
