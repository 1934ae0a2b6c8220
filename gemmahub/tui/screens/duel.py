"""The duel: one prompt, several variants, answers side by side."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Footer, Static

from gemmahub.conversations import BATCH_SECONDS
from gemmahub.engines.contract import Sampling, Settings
from gemmahub.errors import GemmahubError
from gemmahub.service import PlanOptions
from gemmahub.text import one_line, plural
from gemmahub.tui.answer_feed import ENOUGH, Pace, share_for
from gemmahub.tui.bindings import named
from gemmahub.tui.commands import COPY_COMMAND, copy_command
from gemmahub.tui.duel_rounds import DuelScore, fit_together
from gemmahub.tui.duel_side import DuelSide
from gemmahub.tui.messages import LibraryChanged
from gemmahub.tui.screens.chat_copying import TurnCopier
from gemmahub.tui.screens.duel_prompts import LONGEST, DuelPrompts
from gemmahub.tui.widgets.chat_lines import ChatTitle
from gemmahub.tui.widgets.duel_pane import DuelPane
from gemmahub.tui.widgets.prompt_editor import PromptEditor
from gemmahub.tui.widgets.status_line import StatusLine
from gemmahub.tui.widgets.turns import Answer, Turn
from gemmahub.tui.word_marks import mark_differences

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from textual.app import ComposeResult

    from gemmahub.service import Library

_CONTEXT: Final = 4096  # a duel is one question or a few
VOTE: Final = "/"
"""``/1`` likes the first answer of the last round more, ``/2`` the second, ``/0`` none."""


@dataclass
class DuelPlanned(Message):
    """Whether all sides fit at once, and the figures in words."""

    together: bool
    words: str


class DuelScreen(DuelPrompts):
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
        #sum { height: auto; max-height: 2; padding: 0 1; display: none; }
        #sum.-shown { display: block; }
        &.-short #mode { max-height: 1; }
        &.-short #sum { display: none; }
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
        Binding("ctrl+s", "mode", "At once / in turn"),
        Binding("f7", "prompts", "Prompts of a file"),
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
        self.sampling = sampling or Sampling(max_tokens=LONGEST, temperature=0.0, seed=0)
        self.score = DuelScore(list(references))
        self.file: Path | None = None  # of the prompts that were asked last
        self.sides = [
            DuelSide(
                library, name, settings, self.sampling, (*references[:n], *references[n + 1 :])
            )
            for n, name in enumerate(references)
        ]
        self.at_once: bool | None = None
        self._together = False
        self._words = ""
        self._answering = False
        self._pace = Pace(ENOUGH)
        self._copier = TurnCopier()

    def compose(self) -> ComposeResult:
        with Horizontal(id="sides"):
            yield from map(DuelPane, self.sides)
        yield Static(id="sum")
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
        fair = f"temperature {self.sampling.temperature:g}, one seed, no system prompt"
        self.query_one("#mode", Static).update(Content(f"Answers {how} · {self._words} · {fair}"))

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
        if not self.may_ask():
            return
        text = event.editor.take()
        event.editor.remember(text)
        if text.strip() in {f"{VOTE}{number}" for number in range(len(self.sides) + 1)}:
            self._vote(int(text.strip()[1:]))
        else:
            self.file = None
            self.begin((text,))

    def may_ask(self) -> bool:
        """Whether no answer is running and the memory is planned; says so where it is not."""
        if self._answering:
            self.notify("The answers are still running: Esc stops them.", severity="warning")
        elif self.at_once is None:
            self.notify("The memory is still being planned.")
        return not self._answering and self.at_once is not None

    def begin(self, texts: tuple[str, ...], *, alone: bool = False) -> None:
        """Ask all sides these, with ``alone`` each as if nothing had been said before."""
        self._answering = True
        for side in self.sides:
            side.prepare()
        threads = os.cpu_count()
        self._pace = Pace(share_for(threads, threads, on_host=True))
        for group in [[side] for side in self.sides] if self.at_once else [self.sides]:
            self._ask(group, texts, alone=alone, keep=bool(self.at_once))
        self._drawing.resume()
        self.refresh_bindings()

    # --- answers ---------------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False, group="duel")
    def _ask(
        self, sides: list[DuelSide], texts: tuple[str, ...], *, alone: bool, keep: bool
    ) -> None:
        for side in sides:
            side.answer(texts, keep=keep, alone=alone)

    async def _draw(self) -> None:
        if not self._pace.due():
            return
        going = [await pane.draw() for pane in self.query(DuelPane)]
        if self._answering and not any(going):
            self._answering = False
            self._drawing.pause()
            self.refresh_bindings()
            self._count_rounds()

    @work(group="score")
    async def _count_rounds(self) -> None:
        """Mark the words in which the new answers differ, and add their figures up."""
        panes = list(self.query(DuelPane))
        self.score.names = [side.names.label or side.names.model for side in self.sides]
        for number in range(len(self.score.rounds), min(len(s.rounds) for s in self.sides)):
            sides = [side.rounds[number] for side in self.sides]
            answers = [
                pane.answer(each.number) if each.complete else None
                for pane, each in zip(panes, sides, strict=True)
            ]
            whole = [answer for answer in answers if answer is not None]
            shared = await mark_differences(whole) if len(whole) == len(answers) else None
            self.score.add(sides, shared)
        self._show_sum()

    def _vote(self, number: int) -> None:
        """Like an answer of the last round more; 0 takes the vote back."""
        if not self.score.vote(number - 1 if number else None):
            self.notify("There is no round to vote on yet.", severity="warning")
        self._show_sum()

    def _show_sum(self) -> None:
        text = self.score.text()
        if text and not any(vote is not None for vote in self.score.votes):
            text += f" · type {VOTE}1 or {VOTE}2 to vote"
        line = self.query_one("#sum", Static)
        line.update(Content(text))
        line.set_class(bool(text), "-shown")

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
        """Copy the focused turn, pressed again its blocks of code; otherwise all last answers, each
        below its precision."""
        if isinstance(self.focused, Turn):
            self._copier.copy(self, self.focused)
            return
        parts = []
        for pane in self.query(DuelPane):
            if pane.query(Answer):
                title = pane.query_one(ChatTitle).names.fitted(500)
                parts.append(f"## {title}\n\n{pane.query(Answer).last().source}")
        if parts:
            text = "\n\n".join(parts)
            self.app.copy_to_clipboard(text)
            self.notify(f"Copied {plural(len(parts), 'answer')}, {len(text):,} characters.")

    @property
    def command(self) -> str:
        """The commands that ask each of them; the one that asks them the same file."""
        if self.file is not None:
            return self.command_for(str(self.file))
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
