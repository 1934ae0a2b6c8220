"""Conversations that are kept: saved as they go, found again, exported."""

from __future__ import annotations

from gemmahub.conversations.export import as_json, as_markdown, as_text, file_name, write_export
from gemmahub.conversations.journal import Journal
from gemmahub.conversations.records import (
    BrokenConversation,
    Described,
    Saved,
    SavedMessage,
    Summary,
    Timings,
)
from gemmahub.conversations.store import ConversationStore, Match

__all__ = [
    "BrokenConversation",
    "ConversationStore",
    "Described",
    "Journal",
    "Match",
    "Saved",
    "SavedMessage",
    "Summary",
    "Timings",
    "as_json",
    "as_markdown",
    "as_text",
    "file_name",
    "write_export",
]
