"""The JSON of answers and conversations: ``run``, ``embed`` and ``chats``."""

from __future__ import annotations

from typing import Any, TypedDict

from gemmahub.conversations.records import SavedMessage
from gemmahub.engines.contract import Sampling, Settings, Usage
from gemmahub.service.schemas.model_shapes import PrecisionJson


class ThoughtJson(TypedDict):
    """What a model thought before it answered."""

    text: str
    tokens: int | None
    seconds: float | None
    finished: bool


class CheckedCallJson(TypedDict):
    """A call that a model asked for, with its arguments checked against the tool's schema."""

    id: str
    name: str
    arguments: dict[str, Any]


class ToolAnswerJson(TypedDict):
    """An answer that may call tools."""

    text: str
    tool_calls: list[CheckedCallJson]
    conversation: str | None


class RunJson(ToolAnswerJson):
    """One answer, with who gave it and what it took."""

    reference: str
    name: str
    precision: PrecisionJson
    backend: str
    backend_reason: str
    engine: str
    device: str
    context: int | None
    drafter: str | None
    chat_template: bool
    load_seconds: float
    thinking: ThoughtJson | None
    usage: Usage | None


class VectorJson(TypedDict):
    """A text and its vector."""

    text: str
    vector: list[float]


class EmbedJson(TypedDict):
    """Vectors of texts."""

    reference: str
    name: str
    precision: PrecisionJson
    backend: str
    engine: str
    context: int | None
    dimensions: int
    embeddings: list[VectorJson]


class ConversationRowJson(TypedDict):
    """A conversation in the list."""

    id: str
    title: str
    reference: str
    model: str
    precision: str
    created: float
    changed: float
    turns: int
    damaged: int
    problem: str
    excerpt: str
    against: list[str]


class BrokenConversationJson(TypedDict):
    """A file that should hold a conversation and does not."""

    id: str
    path: str
    reason: str


class ChatsListJson(TypedDict):
    """The conversations that were kept."""

    conversations: list[ConversationRowJson]
    broken: list[BrokenConversationJson]


class ConversationJson(TypedDict):
    """A conversation with everything that was kept of it."""

    id: str
    title: str
    created: float
    changed: float
    reference: str
    model: str
    precision: str
    engine: str
    settings: Settings
    sampling: Sampling
    system: str
    messages: list[SavedMessage]
    against: list[str]
