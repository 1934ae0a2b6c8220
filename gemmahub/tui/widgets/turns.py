"""What was asked and answered, as the transcript shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from markdown_it import MarkdownIt
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Markdown, Static

from gemmahub.conversations import how_long, shown_call
from gemmahub.text import one_line, plural, strip_controls
from gemmahub.tui.widgets.thought import Thought

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from gemmahub.conversations import AnswerDelta, SavedMessage, Timings
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


class PlainText(Static):
    """Text that grows, as it stands: of a model that completes texts, and writes no Markdown. The
    ``prompt`` is bold, and the model goes on where it ends."""

    def __init__(self, prompt: str, text: str) -> None:
        self._prompt, self._text = prompt, text
        self._content = self._whole()
        super().__init__(self._content)

    async def append(self, text: str) -> None:
        """More of it."""
        self._text += text
        self.set_content(self._whole())

    def set_content(self, content: Content) -> None:
        """Show the same text with other styles, as a block of Markdown does."""
        self._content = content
        self.update(content)

    def _whole(self) -> Content:
        return Content.assemble((self._prompt, "bold"), self._text)


class Answer(Turn):
    """An answer as Markdown, or ``plain`` as it stands: complete, or growing. A piece of Markdown
    is parsed with the last block before it, so that what it costs does not depend on how many
    blocks the answer has."""

    DEFAULT_CSS = """
    Answer Markdown { padding: 0; margin: 0; background: transparent; }
    Answer MarkdownFence { overflow: hidden hidden; }
    Answer MarkdownFence.-copied { border-left: outer $accent; }
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
        prompt: str = "",
    ) -> None:
        """``told`` is how long the ``thought`` took; ``prompt`` is what a ``plain`` one goes on
        with."""
        super().__init__(number, strip_controls(text))
        self._calls = calls
        self._plain = plain
        self._prompt = strip_controls(prompt)
        self._who = who
        self._thought = Thought(strip_controls(thought), told)
        self.note = ""
        self.bad = False

    @classmethod
    def of(cls, message: SavedMessage, *, plain: bool = False, prompt: str = "") -> Answer:
        """A kept answer, with what is told of it."""
        timings = message.timings
        told = (timings.thought if timings else "") or ("thought" if message.finish else "")
        calls = message.tool_calls
        said = (message.model, message.text, message.thought, told, calls)
        answer = cls(message.number, *said, plain=plain, prompt=prompt)
        answer.note = note_at_the_end(message.timings, message.finish, message.error)
        answer.bad = bool(message.error)
        return answer

    def compose(self) -> ComposeResult:
        if self._plain:  # a text has no roles
            yield self._thought
            yield PlainText(self._prompt, self.source)
        else:
            who = " · ".join(self._who.split(" · ")[:2])  # the title says it all
            yield Static(Content(one_line(who)), classes="turn--who")
            yield self._thought
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

    def think(self, text: str, piece: AnswerDelta | None = None) -> None:
        """More of the thought; ``piece`` says how long it took, and how many tokens it has."""
        if text:
            counted = piece is not None and not piece.text and not self.source
            seconds = piece.seconds - piece.first_token_seconds if piece else 0.0
            so_far = how_long(seconds, piece.tokens) if piece and counted else ""
            self._thought.append(text, so_far)

    async def append(self, text: str) -> None:
        """More of the answer; returns when it is laid out."""
        if text:
            self._thought.pause()
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
        asked = timings.prompt_tokens
        length = f" of {plural(asked, 'token')}" if asked else ""
        return f"stopped while it read the prompt{length}: there is no answer"
    parts = (str(timings) if timings else "", ending_text(finish, error))
    return " · ".join(part for part in parts if part)


def turns_of(messages: Sequence[SavedMessage], *, plain: bool = False) -> list[Turn]:
    """The widgets for kept messages; ``plain``: their model completes texts. Then a question is no
    turn of its own to look at: it stands where its answer goes on with it."""
    turns: list[Turn] = []
    for message in messages:
        if message.role == "user":
            turns.append(Question(message))
        elif message.role == "tool":
            turns.append(Result(message))
        else:
            asked = turns[-1] if plain and turns and isinstance(turns[-1], Question) else None
            if asked is not None:
                asked.display = False
            prompt = asked.source if asked else ""
            turns.append(Answer.of(message, plain=plain, prompt=prompt))
    return turns
