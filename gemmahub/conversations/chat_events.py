"""What a chat session tells while an answer is generated.

Tuples, since there may be one for each token: they are made in a third of a dataclass's time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gemmahub.conversations.records import Timings
from gemmahub.errors import BackendCrashed

if TYPE_CHECKING:
    from gemmahub.engines.contract import PromptRead, ToolCall, Usage
    from gemmahub.errors import GemmahubError


class AnswerStarted(NamedTuple):
    """The question ``number`` is kept, and its answer ``answer`` begins. Turns from ``number`` on
    are replaced. ``answerer`` is model, precision and engine in one line. Where an answer goes on
    with the results of tools, ``results`` are these, and the text is empty."""

    number: int
    text: str
    images: tuple[str, ...]
    answer: int
    answerer: str
    results: tuple[tuple[str, str], ...] = ()


class AnswerDelta(NamedTuple):
    """More of the answer ``number``: kept, and harmless to show.

    ``tokens`` are counted so far, within ``seconds`` from the question on; ``first_token_seconds``
    is when the first of them came. ``thought`` is more of what the model thinks; it comes before
    the ``text``. ``call`` is a tool that it calls; it comes after the text. ``prompt_read`` says
    how much of a long prompt is read; nothing of the answer is there by then.
    """

    number: int
    text: str
    tokens: int
    seconds: float
    first_token_seconds: float
    thought: str = ""
    call: ToolCall | None = None
    prompt_read: PromptRead | None = None


class AnswerFinished(NamedTuple):
    """The answer ``number`` has ended. ``text`` is the last of it; ``finish`` is a
    ``FinishReason``, or ``error`` where ``error`` says what went wrong; ``unsaved`` says why it
    could not be kept. ``usage`` is None where the engine told none. ``thought`` is the last of what
    the model thought, ``reasoning_seconds`` how long that took."""

    number: int
    text: str
    finish: str
    usage: Usage | None = None
    first_token_seconds: float = 0.0
    error: GemmahubError | None = None
    unsaved: GemmahubError | None = None
    thought: str = ""
    reasoning_seconds: float | None = None

    @property
    def timings(self) -> Timings | None:
        """Counts and times; None where the engine told none."""
        if self.usage is None:
            return None
        return Timings.of(self.usage, self.first_token_seconds, self.reasoning_seconds)

    @property
    def crashed(self) -> bool:
        """Whether there is no engine any more: the model must be loaded again."""
        return isinstance(self.error, BackendCrashed)


ChatEvent = AnswerStarted | AnswerDelta | AnswerFinished
