"""Conversations with a loaded model, and those that are kept: found again, exported."""

from __future__ import annotations

from gemmahub.conversations.chat_events import (
    AnswerDelta,
    AnswerFinished,
    AnswerStarted,
    ChatEvent,
)
from gemmahub.conversations.chat_session import BATCH_SECONDS, COMPLETION_TOKENS, ChatSession
from gemmahub.conversations.export import (
    SPEAKERS,
    as_json,
    as_markdown,
    as_text,
    file_name,
    shown_call,
    write_export,
)
from gemmahub.conversations.journal import Journal
from gemmahub.conversations.memory_journal import MemoryJournal
from gemmahub.conversations.records import (
    BrokenConversation,
    ConversationSummary,
    Described,
    Saved,
    SavedMessage,
    Timings,
    how_long,
)
from gemmahub.conversations.searching import Match, SearchWords
from gemmahub.conversations.store import ConversationStore

__all__ = [
    "BATCH_SECONDS",
    "COMPLETION_TOKENS",
    "SPEAKERS",
    "AnswerDelta",
    "AnswerFinished",
    "AnswerStarted",
    "BrokenConversation",
    "ChatEvent",
    "ChatSession",
    "ConversationStore",
    "ConversationSummary",
    "Described",
    "Journal",
    "Match",
    "MemoryJournal",
    "Saved",
    "SavedMessage",
    "SearchWords",
    "Timings",
    "as_json",
    "as_markdown",
    "as_text",
    "file_name",
    "how_long",
    "shown_call",
    "write_export",
]
