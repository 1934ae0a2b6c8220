"""The duel: one prompt, several variants, answers side by side."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, Static

from gemmahub.conversations import BATCH_SECONDS
from gemmahub.engines.contract import Sampling, Settings
from gemmahub.errors import GemmahubError
from gemmahub.service import PlanOptions
from gemmahub.text import format_gib, one_line
from gemmahub.tui.answer_feed import ENOUGH, Pace, share_for
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import COPY_COMMAND, copy_command
from gemmahub.tui.duel_side import DuelSide
from gemmahub.tui.messages import LibraryChanged
from gemmahub.tui.widgets.chat_lines import ChatTitle
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.status_line import StatusLine
from gemmahub.tui.widgets.transcript import Transcript
from gemmahub.tui.widgets.turns import Answer, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from gemmahub.planning import Plan
    from gemmahub.service import Library

_CONTEXT = 4096  # a duel is one question or a few


@dataclass
class DuelPlanned(Message):
    """Whether all sides fit at once, and the figures in words."""

    together: bool
    words: str


class DuelPane(Vertical):
    """What one side answered, below its precision; above it what the side does now."""

    def __init__(self, side: DuelSide) -> None:
        super().__init__()
        self.side = side

    def compose(self) -> ComposeResult:
        yield ChatTitle()
        yield Static(classes="duel--state")
        yield Transcript(classes="duel--turns")

    def on_mount(self) -> None:
        """What is known before anything is loaded."""
        self.query_one(ChatTitle).names = self.side.names
        transcript = self.query_one(Transcript)
        transcript.show_command(self.side.command)
        transcript.anchor()

    async def draw(self) -> bool:
        """Draw what has come; False once the side is done and all of it is drawn."""
        side = self.side
        going = side.is_going  # asked first: what is told after this is drawn the next time
        self.query_one(ChatTitle).names = side.names
        feed = side.feed
        batch = feed.take() if feed is not None else None
        if batch is not None:
            await self.query_one(Transcript).draw(batch)
        state = self.query_one(".duel--state", Static)
        state.update(Content(one_line(side.state, 300)))
        state.set_class(side.failed, "-bad")
        return going


class DuelScreen(Screen[None]):
    """Asks all sides at once where the memory allows it, otherwise one after the other."""

    CSS = """
    DuelScreen {
        #sides { height: 1fr; }
        DuelPane { width: 1fr; height: 1fr; border-right: vkey $foreground 20%; }
        DuelPane:last-of-type { border-right: none; }
        .duel--state { height: auto; max-height: 3; padding: 0 1; color: $text-muted; }
        .duel--state.-bad { color: $text-error; }
        .duel--turns { padding: 0 1; }
        #mode { height: auto; max-height: 2; padding: 0 1; color: $text-muted; }
        &.-short #mode { max-height: 1; }
        &.-narrow #sides { layout: vertical; }
        &.-narrow Footer, &.-short Footer { display: none; }
        &.-short PromptEditor { min-height: 1; max-height: 2; border: none; padding: 0; }
        &.-short .duel--state { display: none; }
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (50, "-normal")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-short"), (14, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = named(
        "duel",
        Binding("escape", "stop", "Stop"),
        Binding("escape", "leave", "Leave"),
        Binding("ctrl+t", "mode", "At once / in turn"),
        Binding("f4", "copy", "Copy"),
        Binding("f1,question_mark", "app.keys", "Keys", key_display="f1"),
        COPY_COMMAND,
    )

    def __init__(
        self,
        library: Library,
        references: Sequence[str],
        settings: Settings | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        """``settings`` and ``sampling`` are the same for all, so that only the variants differ; by
        default each takes its likeliest token, so that chance does not differ either."""
        super().__init__()
        self.library = library
        settings = settings or Settings(context=_CONTEXT)
        self._settings = settings
        sampling = sampling or Sampling(max_tokens=1024, temperature=0.0)
        self.sides = [
            DuelSide(library, name, settings, sampling, (*references[:n], *references[n + 1 :]))
            for n, name in enumerate(references)
        ]
        self.at_once: bool | None = None
        self._together = False
        self._words = ""
        self._answering = False
        self._pace = Pace(ENOUGH)

    def compose(self) -> ComposeResult:
        with Horizontal(id="sides"):
            yield from map(DuelPane, self.sides)
        yield Static("planning the memory …", id="mode")
        yield PromptEditor(id="prompt")
        yield StatusLine()
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Plan first: two models may be more than the memory holds."""
        self._drawing = self.set_interval(BATCH_SECONDS, self._draw, pause=True)
        self.query_one(PromptEditor).focus()
        self._plan()

    @work(thread=True, exit_on_error=False, group="plan")
    def _plan(self) -> None:
        options = PlanOptions(context=self._settings.context)
        try:
            plans = [self.library.plan(side.reference, options) for side in self.sides]
        except GemmahubError as error:
            words = f"the memory is not known ({one_line(error.message, 120)})"
            self.post_message(DuelPlanned(False, words))
            return
        self.post_message(DuelPlanned(*fit_together(plans)))

    @on(DuelPlanned)
    def _planned(self, event: DuelPlanned) -> None:
        self._together, self._words = event.together, event.words
        self.at_once = event.together
        self._show_mode()

    def _show_mode(self) -> None:
        how = "at once, sharing the machine" if self.at_once else "in turn, one loaded at a time"
        self.query_one("#mode", Static).update(Content(f"Answers {how} · {self._words}"))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What makes no sense now is not offered."""
        if action in ("stop", "leave"):
            return self._answering == (action == "stop")
        return True

    def action_mode(self) -> None:
        """At once, or in turn: only then the speeds are those that each would have alone."""
        if self._answering or self.at_once is None:
            return
        if not self.at_once and not self._together:
            self.notify(self._words, title="They do not fit at once", severity="warning")
            return
        self.at_once = not self.at_once
        self._show_mode()
        if not self.at_once:
            for side in self.sides:
                threading.Thread(target=side.unload).start()

    @on(PromptEditor.Submitted)
    def _submitted(self, event: PromptEditor.Submitted) -> None:
        if self._answering:
            self.notify("The answers are still running: Esc stops them.", severity="warning")
            return
        if self.at_once is None:
            self.notify("The memory is still being planned.")
            return
        event.editor.remember(event.editor.take())
        self._answering = True
        for side in self.sides:
            side.prepare()
        threads = os.cpu_count()
        self._pace = Pace(share_for(threads, threads, on_host=True))
        for group in [[side] for side in self.sides] if self.at_once else [self.sides]:
            self._ask(group, event.text, keep=bool(self.at_once))
        self._drawing.resume()
        self.refresh_bindings()

    @work(thread=True, exit_on_error=False, group="duel")
    def _ask(self, sides: list[DuelSide], text: str, *, keep: bool) -> None:
        for side in sides:
            side.answer(text, keep=keep)

    async def _draw(self) -> None:
        if not self._pace.due():
            return
        going = [await pane.draw() for pane in self.query(DuelPane)]
        if self._answering and not any(going):
            self._answering = False
            self._drawing.pause()
            self.refresh_bindings()

    def action_stop(self) -> None:
        """Stop all sides."""
        for side in self.sides:
            side.stop()

    def action_leave(self) -> None:
        """Leave; the answers are kept as conversations."""
        self.dismiss()

    @on(PromptEditor.EndOfInput)
    def _end_of_input(self) -> None:
        self.action_leave()

    def action_copy(self) -> None:
        """Copy the focused turn, otherwise all last answers, each below its precision."""
        if isinstance(self.focused, Turn):
            text = self.focused.source
        else:
            parts = []
            for pane in self.query(DuelPane):
                if pane.query(Answer):
                    title = pane.query_one(ChatTitle).names.fitted(500)
                    parts.append(f"## {title}\n\n{pane.query(Answer).last().source}")
            text = "\n\n".join(parts)
        if text:
            self.app.copy_to_clipboard(text)
            self.notify(f"Copied {len(text):,} characters.")

    @property
    def command(self) -> str:
        """The commands that ask each of them."""
        return "; ".join(side.command for side in self.sides)

    def action_copy_command(self) -> None:
        """Copy them."""
        copy_command(self, self.command)

    def on_unmount(self) -> None:
        """Nothing stays in memory, and the library shows what was seen of them."""
        app = self.app

        def told() -> None:
            app.post_message(LibraryChanged())

        for side in self.sides:
            threading.Thread(target=side.close, args=(told,)).start()


def fit_together(plans: Sequence[Plan]) -> tuple[bool, str]:
    """Whether models fit beside each other, place by place, and the figures in words."""
    needed: dict[str, int] = {}
    free: dict[str, int] = {}
    for plan in plans:
        for place in plan.memory.places:
            needed[place.device] = needed.get(place.device, 0) + place.total_bytes
            free[place.device] = place.free_bytes
    fits = all(needed[device] <= free[device] for device in needed)
    words = ", ".join(
        f"{device} {format_gib(needed[device])} of {format_gib(free[device])} free"
        for device in needed
        if needed[device]
    )
    return fits, f"together {words}"
