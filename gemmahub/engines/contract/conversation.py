"""What is said to a model, and what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    """Something that a model may ask for. ``parameters`` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What a model asked for. ``arguments`` is JSON as the model wrote it, which may be wrong.

    ``id`` is what its result names, unique in a conversation.
    """

    id: str
    name: str
    arguments: str

    def values(self) -> dict[str, Any]:
        """The arguments; none where they are no JSON object."""
        try:
            found = json.loads(self.arguments)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; ``role`` is ``system``, ``user``, ``assistant`` or ``tool``.

    ``images`` and ``audio`` are files; the model sees and hears them before the text of the turn.
    An assistant's turn may have ``tool_calls`` and ``reasoning``, what it thought before it
    answered; the turn of a tool has the result as ``content`` and names the call with
    ``tool_call_id``.
    """

    role: str
    content: str
    images: tuple[Path, ...] = ()
    audio: tuple[Path, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    reasoning: str = ""


Prompt = str | Sequence[Message]
"""A conversation, or a text that is completed as it stands, without any chat template."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. None means the backend's default for that model.

    ``temperature`` 0 takes the most probable token, so the same prompt gives the same text.
    ``max_tokens`` None means: until the model ends its turn or the context is full.

    The others each need the capability of their name. ``schema`` (a JSON schema) and ``grammar``
    (GBNF, as llama.cpp has it) are what the answer must keep to; only one of them is given.
    ``thinking`` True and False switch thoughts on and off, a whole number is the most tokens of
    them; None leaves it to the model. ``tools`` are what the model may ask for.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int | None = 64
    top_p: float | None = 0.95
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    grammar: str | None = None
    thinking: bool | int | None = None
    tools: tuple[Tool, ...] = ()


class FinishReason(StrEnum):
    """Why an answer ended."""

    STOP = "stop"  # the model ended its turn, or a stop text came
    LENGTH = "length"  # max_tokens was reached
    CONTEXT = "context"  # the context is full
    CANCELLED = "cancelled"
    TOOL_CALLS = "tool_calls"  # the model waits for the results of what it asked for


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts and times of one answer, as far as the engine says them; None where it does not.

    Times in seconds, without loading. ``prefill_tokens`` is what was really evaluated (the rest
    came from the cache); ``tokens`` are those of the whole answer, ``reasoning_tokens`` of its
    thoughts. ``context_used`` of ``context`` cells are taken afterwards; ``truncated`` says that
    the prompt did not fit and lost a part (a backend that would rather refuse raises
    ``ContextExceeded``).
    """

    finish_reason: FinishReason
    prompt_tokens: int | None = None
    prefill_tokens: int | None = None
    tokens: int | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    context_used: int | None = None
    context: int | None = None
    truncated: bool = False
    reasoning_tokens: int | None = None


class ChunkKind(StrEnum):
    """What a piece of an answer is."""

    PREFILL = "prefill"
    ANSWER = "answer"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"


@dataclass(frozen=True, slots=True)
class PromptRead:
    """How far a prompt is computed: ``read`` of ``total`` tokens, with those that the cache had."""

    read: int
    total: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer: whole characters. Only the last chunk carries ``usage``.

    One of the kind ``tool_call`` is a whole call, ``tool_call``, and has no text. One of the kind
    ``prefill`` has no text either: it comes while a long prompt is computed, before the answer,
    from engines that know how far they are, and says so in ``prompt_read``.
    """

    text: str
    usage: Usage | None = None
    kind: ChunkKind = ChunkKind.ANSWER
    tool_call: ToolCall | None = None
    prompt_read: PromptRead | None = None
