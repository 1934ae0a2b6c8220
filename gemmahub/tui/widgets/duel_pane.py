"""One side of a duel on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from gemmahub.text import format_rate, one_line
from gemmahub.tui.widgets.chat_lines import ChatTitle
from gemmahub.tui.widgets.transcript import Transcript
from gemmahub.tui.widgets.turns import Answer

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from gemmahub.tui.duel_side import DuelSide


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
        title = self.query_one(ChatTitle)
        title.names = side.names
        title.speed = "" if side.speed is None else format_rate(side.speed)
        feed = side.feed
        batch = feed.take() if feed is not None else None
        if batch is not None:
            transcript = self.query_one(Transcript)
            transcript.plain = side.plain
            await transcript.draw(batch)
        state = self.query_one(".duel--state", Static)
        state.update(Content(one_line(side.state, 300)))
        state.set_class(side.failed, "-bad")
        return going

    def answer(self, number: int | None) -> Answer | None:
        """The answer with that number."""
        found = (turn for turn in self.query(Answer) if turn.number == number)
        return None if number is None else next(found, None)
