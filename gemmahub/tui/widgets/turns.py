"""What was asked and answered, as the transcript shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from markdown_it import MarkdownIt
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown, Static

from gemmahub.conversations import shown_call
from gemmahub.text import one_line, strip_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from gemmahub.conversations import SavedMessage, Timings
    from gemmahub.engines.contract import ToolCall


def ending_text(finish: str, error: str) -> str:
    """Why an answer ended, where that is worth a word."""
    reasons = {
        "length": "ended at the largest number of tokens",
        "context": "ended because the context is full",
        "cancelled": "stopped",
        "interrupted": "interrupted: gemmahub ended before the answer did",
        "error": "failed",
    }
    reason = reasons.get(finish, "")
    return f"{reason}: {one_line(error)}" if error else reason


class Turn(Vertical, can_focus=True):
    """One turn; it can be focused, copied as ``source``, and asked again."""

    DEFAULT_CSS = """
    Turn {
        height: auto;
        padding: 0 1;
        margin: 0 0 1 0;
        border-left: blank;
        &:focus { border-left: outer $accent; background: $boost; }
        .turn--who { height: auto; color: $text-muted; text-style: bold; }
        .turn--note { height: auto; color: $text-muted; }
        .turn--note.-bad { color: $text-error; }
    }
    """

    ALLOW_MAXIMIZE: ClassVar = False

    def __init__(self, number: int, source: str) -> None:
        super().__init__()
        self.number = number
        self.source = source


class Question(Turn):
    """What was asked, as plain text."""

    DEFAULT_CSS = """
    Question .turn--who { color: $text-accent; }
    """

    def __init__(self, message: SavedMessage) -> None:
        super().__init__(message.number, message.text)
        self._message = message

    def compose(self) -> ComposeResult:
        yield Static(Content("You"), classes="turn--who")
        for path in self._message.images:
            yield Static(Content(f"image: {one_line(path)}"), classes="turn--note")
        yield Static(Content(strip_controls(self._message.text)))


class Result(Turn):
    """What a tool gave, as plain text."""

    def __init__(self, message: SavedMessage) -> None:
        super().__init__(message.number, message.text)
        self._call = message.tool_call_id

    def compose(self) -> ComposeResult:
        yield Static(Content(f"Result of {one_line(self._call)}"), classes="turn--who")
        yield Static(Content(strip_controls(self.source)))


class Thought(Vertical):
    """What a model thought before an answer: a line that opens and folds the text below it."""

    DEFAULT_CSS = """
    Thought {
        height: auto;
        color: $text-muted;
        .thought--text { height: auto; padding: 0 0 0 2; text-style: dim; }
    }
    """

    def __init__(self, text: str, told: str) -> None:
        """``told`` is how long it took; empty while it goes on."""
        super().__init__()
        self.source = text
        self._told = told
        self._open = False

    def compose(self) -> ComposeResult:
        yield Static(classes="thought--line")
        yield Static(classes="thought--text")

    def on_mount(self) -> None:
        """Folded."""
        self._show()

    def on_click(self) -> None:
        """As the key."""
        self.toggle()

    def toggle(self) -> None:
        """Open it, or fold it."""
        self._open = not self._open
        self._show()

    def append(self, text: str) -> None:
        """More of it."""
        self.source += text
        self._show()

    def finish(self, told: str) -> None:
        """It is complete."""
        self._told = told
        self._show()

    def _show(self) -> None:
        self.display = bool(self.source.strip())
        mark = "\u25be" if self._open else "\u25b8"
        self.query_one(".thought--line", Static).update(
            Content(f"{mark} {self._told or 'thinking'}")
        )
        text = self.query_one(".thought--text", Static)
        text.display = self._open
        if self._open:
            text.update(Content(self.source.strip()))


class PlainText(Static):
    """Text that grows, as it stands: of a model that completes texts, and writes no Markdown."""

    def __init__(self, text: str) -> None:
        super().__init__(Content(text))
        self._text = text

    async def append(self, text: str) -> None:
        """More of it."""
        self._text += text
        self.update(Content(self._text))


class Answer(Turn):
    """An answer as Markdown, or ``plain`` as it stands: complete, or growing. A piece of Markdown
    is parsed with the last block before it, so that what it costs does not depend on how many
    blocks the answer has."""

    DEFAULT_CSS = """
    Answer Markdown { padding: 0; margin: 0; background: transparent; }
    Answer MarkdownFence { overflow: hidden hidden; }
    Answer MarkdownFence > Label { width: 1fr; text-wrap: wrap; }
    Answer PlainText { height: auto; }
    Answer MarkdownH1, Answer MarkdownH2 { margin: 0 0 1 0; content-align: left middle; }
    Answer .turn--call { height: auto; padding: 0 1; margin: 0 0 1 0; background: $boost; }
    """

    def __init__(
        self,
        number: int,
        who: str,
        text: str = "",
        thought: str = "",
        told: str = "",
        calls: Sequence[ToolCall] = (),
        *,
        plain: bool = False,
    ) -> None:
        """``told`` is how long the ``thought`` took."""
        super().__init__(number, strip_controls(text))
        self._calls = calls
        self._plain = plain
        self._who = who
        self._thought = Thought(strip_controls(thought), told)
        self.note = ""
        self.bad = False

    @classmethod
    def of(cls, message: SavedMessage, *, plain: bool = False) -> Answer:
        """A kept answer, with what is told of it."""
        timings = message.timings
        told = (timings.thought if timings else "") or "thought"
        calls = message.tool_calls
        said = (message.model, message.text, message.thought, told, calls)
        answer = cls(message.number, *said, plain=plain)
        answer.note = note_at_the_end(message.timings, message.finish, message.error)
        answer.bad = bool(message.error)
        return answer

    def compose(self) -> ComposeResult:
        who = " · ".join(self._who.split(" · ")[:2])  # the title says it all
        yield Static(Content(one_line(who)), classes="turn--who")
        yield self._thought
        if self._plain:
            yield PlainText(self.source)
        else:
            yield Markdown(
                self.source,
                # Tags that a model writes are text, not something to leave out.
                parser_factory=lambda: MarkdownIt("gfm-like", {"html": False}),
                open_links=False,
            )
        yield from map(_call_block, self._calls)
        note = Static(Content(self.note), classes="turn--note")
        note.set_class(self.bad, "-bad")
        note.display = bool(self.note)
        yield note

    @property
    def thought(self) -> str:
        """What the model thought before it."""
        return self._thought.source

    def think(self, text: str) -> None:
        """More of the thought."""
        if text:
            self._thought.append(text)

    async def append(self, text: str) -> None:
        """More of the answer; returns when it is laid out."""
        if text:
            self.source += text
            if self._plain:
                await self.query_one(PlainText).append(text)
            else:
                await self.query_one(Markdown).append(text)

    async def call(self, call: ToolCall) -> None:
        """A tool that it calls."""
        await self.mount(_call_block(call), before=self.query_one(".turn--note"))

    async def finish(self, note: str, *, bad: bool = False, thought: str = "") -> None:
        """The answer has ended; ``note`` is told below it, ``thought`` says how long that took."""
        self._thought.finish(thought or "thought")
        self.note, self.bad = note, bad
        told = self.query_one(".turn--note", Static)
        told.update(Content(note))
        told.set_class(bad, "-bad")
        told.display = bool(note)


def _call_block(call: ToolCall) -> Static:
    return Static(Content(f"calls {shown_call(call)}"), classes="turn--call")


def note_at_the_end(timings: Timings | None, finish: str, error: str) -> str:
    """What is told below an answer that has ended."""
    if finish == "cancelled" and not error and timings is not None and not timings.tokens:
        return "stopped before the first token"
    parts = (str(timings) if timings else "", ending_text(finish, error))
    return " · ".join(part for part in parts if part)


def turn_of(message: SavedMessage, *, plain: bool = False) -> Turn:
    """The widget for a kept message; ``plain``: an answer is no Markdown."""
    if message.role == "user":
        return Question(message)
    return Result(message) if message.role == "tool" else Answer.of(message, plain=plain)
