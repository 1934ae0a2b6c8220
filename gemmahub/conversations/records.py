"""What a kept conversation consists of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Message, Sampling, Settings, ToolCall
from gemmahub.text import format_rate, one_line, plural

if TYPE_CHECKING:
    from gemmahub.engines.contract import Usage

TITLE_LENGTH: Final = 60
UNTITLED: Final = "New conversation"
DUEL: Final = "duel"
"""The tag of a conversation that was one side of a duel."""
INTERRUPTED: Final = "interrupted"
"""How an answer ended whose end was never written: the program was gone before."""


def how_long(seconds: float, tokens: int | None = None) -> str:
    """A time in seconds, and how many tokens came in it, in words: ``12 s, 340 tokens``."""
    shown = f"{seconds:.1f}" if seconds < 9.95 else f"{seconds:.0f}"
    return f"{shown} s" + ("" if tokens is None else f", {plural(tokens, 'token')}")


@dataclass(frozen=True, slots=True)
class Timings:
    """Counts and times of one answer. Times in seconds; None where the engine did not say it.

    ``first_token_seconds`` is what the reader waited for the first text, ``context_used`` of
    ``context`` cells are taken after the answer. Of ``tokens``, ``reasoning_tokens`` were thought,
    for ``reasoning_seconds``; None where nothing was. All else as in the contract's ``Usage``.
    """

    prompt_tokens: int | None = None
    prefill_tokens: int | None = None
    tokens: int | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    first_token_seconds: float = 0.0
    context_used: int | None = None
    context: int | None = None
    truncated: bool = False
    reasoning_tokens: int | None = None
    reasoning_seconds: float | None = None

    @property
    def tokens_per_second(self) -> float | None:
        """Decode speed, None when there was nothing to time."""
        return self.tokens / self.decode_seconds if self.decode_seconds and self.tokens else None

    def __str__(self) -> str:
        """Tokens, speed and the first token, in words."""
        parts = [] if self.tokens is None else [plural(self.tokens, "token")]
        if (speed := self.tokens_per_second) is not None:
            parts.append(format_rate(speed))
        if self.first_token_seconds:
            parts.append(f"first token after {self.first_token_seconds:.2f} s")
        return " · ".join(parts) or "not timed"

    @property
    def thought(self) -> str:
        """How long the model thought, in words; empty where it did not."""
        if self.reasoning_seconds is None:
            return ""
        return f"thought for {how_long(self.reasoning_seconds, self.reasoning_tokens)}"

    @classmethod
    def of(
        cls, usage: Usage, first_token_seconds: float, reasoning_seconds: float | None = None
    ) -> Timings:
        """From what the engine said, and what was waited for the first text and for thoughts."""
        return cls(
            prompt_tokens=usage.prompt_tokens,
            prefill_tokens=usage.prefill_tokens,
            tokens=usage.tokens,
            prefill_seconds=usage.prefill_seconds,
            decode_seconds=usage.decode_seconds,
            first_token_seconds=first_token_seconds,
            context_used=usage.context_used,
            context=usage.context,
            truncated=usage.truncated,
            reasoning_tokens=None if reasoning_seconds is None else usage.reasoning_tokens,
            reasoning_seconds=reasoning_seconds,
        )


@dataclass(frozen=True, slots=True)
class SavedMessage:
    """One turn. ``at`` in seconds since 1970; ``number`` counts from 0 and names it.

    Of an answer, ``finish`` says why it ended (a ``FinishReason``, ``error`` or ``interrupted``;
    empty while it runs), ``error`` what went wrong, ``model`` who gave it, with its precision,
    ``thought`` what the model thought before it, and ``tool_calls`` what it asked for. The turn of
    a ``tool`` has the result of the call ``tool_call_id`` as its text.
    """

    role: str
    text: str
    at: float = 0.0
    images: tuple[str, ...] = ()
    audio: tuple[str, ...] = ()
    timings: Timings | None = None
    finish: str = ""
    error: str = ""
    model: str = ""
    number: int = 0
    thought: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""

    def as_message(self) -> Message:
        """The turn as an engine takes it."""
        images, audio = (tuple(map(Path, files)) for files in (self.images, self.audio))
        return Message(
            self.role,
            self.text,
            images,
            audio=audio,
            tool_calls=self.tool_calls,
            tool_call_id=self.tool_call_id,
            reasoning=self.thought,
        )


@dataclass(frozen=True, slots=True)
class Described:
    """What a conversation is held with, and how. ``precision`` is the summary in words; of one side
    of a duel, ``against`` are the references of the others."""

    reference: str
    model: str = ""
    precision: str = ""
    engine: str = ""
    settings: Settings = field(default_factory=Settings)
    sampling: Sampling = field(default_factory=Sampling)
    system: str = ""
    against: tuple[str, ...] = ()

    @property
    def answerer(self) -> str:
        """Model, precision and engine in one line."""
        return " · ".join(part for part in (self.model, self.precision, self.engine) if part)

    def as_json(self) -> dict[str, Any]:
        """As it is written; options of a backend that are no plain values become texts."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Saved:
    """A conversation as it was kept. Times in seconds since 1970.

    ``damaged`` counts lines of its file that could not be read, or not in all their fields;
    ``problem`` says where and why of the first one.
    """

    id: str
    described: Described
    title: str = ""
    created: float = 0.0
    changed: float = 0.0
    messages: tuple[SavedMessage, ...] = ()
    damaged: int = 0
    problem: str = ""

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """What the last answer asked for: the model waits for the results."""
        last = self.messages[-1] if self.messages else None
        return last.tool_calls if last is not None and last.role == "assistant" else ()

    @property
    def shown_title(self) -> str:
        """Its title, or the beginning of the first question."""
        asked = (m.text for m in self.messages if m.role == "user" and m.text.strip())
        return one_line(self.title or next(asked, ""), TITLE_LENGTH) or UNTITLED


@dataclass(frozen=True, slots=True)
class ConversationSummary:
    """A row in the list of conversations; ``problem`` as in :class:`Saved`."""

    id: str
    title: str
    reference: str
    model: str
    precision: str
    created: float
    changed: float
    messages: int
    damaged: int = 0
    problem: str = ""
    against: tuple[str, ...] = ()

    @property
    def short_precision(self) -> str:
        """Label and training of ``precision``, for lists: ``Q4_0 QAT``."""
        label, *others = self.precision.split(" · ")
        return f"{label} QAT" if "QAT" in others else label

    @property
    def tags(self) -> tuple[str, ...]:
        """What lists show of it in short: the model, its precision, whether it was a duel."""
        parts = (self.model or self.reference, self.short_precision, DUEL if self.against else "")
        return tuple(filter(None, parts))

    def as_json(self) -> dict[str, Any]:
        """The row; times in seconds since 1970. ``turns`` is the number of messages."""
        row = asdict(self)
        return row | {"turns": row.pop("messages")}


@dataclass(frozen=True, slots=True)
class BrokenConversation:
    """A file that should hold a conversation and does not, with the reason."""

    id: str
    path: Path
    reason: str


def summary_of(saved: Saved) -> ConversationSummary:
    """The row of a conversation."""
    described = saved.described
    return ConversationSummary(
        id=saved.id,
        title=saved.shown_title,
        reference=described.reference,
        model=described.model,
        precision=described.precision,
        created=saved.created,
        changed=saved.changed,
        messages=len(saved.messages),
        damaged=saved.damaged,
        problem=saved.problem,
        against=described.against,
    )
