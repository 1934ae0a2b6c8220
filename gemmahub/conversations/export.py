"""Conversations as Markdown and as JSON, and as files of both."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from gemmahub.records.text_file import write_text_file
from gemmahub.text import one_line, strip_escapes
from gemmahub.text.markdown import markdown_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.conversations.records import Saved, SavedMessage
    from gemmahub.engines.contract import ToolCall

SPEAKERS: Final = {"user": "You", "assistant": "Model", "system": "System", "tool": "Tool"}
SUFFIXES: Final = {".md": "markdown", ".markdown": "markdown", ".json": "json"}
"""What the name of a file says about its format."""


def as_json(saved: Saved) -> dict[str, Any]:
    """Everything that was kept, times in seconds since 1970; numbers of messages are not."""
    messages = []
    for message in saved.messages:
        row = {k: v for k, v in asdict(message).items() if k != "number"}
        messages.append(row)
    return {
        "id": saved.id,
        "title": saved.shown_title,
        "created": saved.created,
        "changed": saved.changed,
        **saved.described.as_json(),
        "messages": messages,
    }


def as_markdown(saved: Saved) -> str:
    """A document: what it was held with, then the turns. Control characters are left out, format
    and private characters stay in the text of the turns."""
    described = saved.described
    told = [
        ("Model", described.model or described.reference),
        ("Reference", described.reference),
        ("Precision", described.precision),
        ("Engine", described.engine),
        ("Begun", _day(saved.created)),
    ]
    parts = [f"# {markdown_line(saved.shown_title)}"]
    parts.append("\n".join(f"- {name}: {markdown_line(text)}" for name, text in told if text))
    if described.system:
        parts.append(f"## System\n\n{_text(described.system)}")
    parts += [_turn(message, described.answerer) for message in saved.messages]
    return "\n\n".join(parts) + "\n"


def as_text(saved: Saved, format_: str = "markdown") -> str:
    """The document as ``markdown`` or ``json``, with a line break at its end."""
    if format_ == "json":
        return json.dumps(as_json(saved), indent=2, default=str) + "\n"
    return as_markdown(saved)


def write_export(
    saved: Saved, path: Path, format_: str | None = None, *, replace: bool = False
) -> None:
    """Write a conversation to a file: JSON where its name ends so, otherwise Markdown, unless a
    format is named. A file that exists is kept unless it is to be replaced.

    Raises: UsageError when there is such a file; GemmahubError when it cannot be written.
    """
    text = as_text(saved, format_ or SUFFIXES.get(path.suffix.lower(), "markdown"))
    write_text_file(path, text, replace=replace)


def file_name(saved: Saved, suffix: str) -> str:
    """A name for an export that every file system takes."""
    words = re.sub(r"[^\w]+", "-", saved.shown_title, flags=re.ASCII).strip("-").lower()
    return f"{words[:40].strip('-') or 'conversation'}-{saved.id[:15]}.{suffix}"


def _turn(message: SavedMessage, usual: str) -> str:
    heading = f"## {SPEAKERS.get(message.role, message.role)}"
    if message.model and message.model != usual:
        heading += f" ({markdown_line(message.model)})"
    parts = [heading, *(f"*Image: {markdown_line(path)}*" for path in message.images)]
    parts += [f"*Audio: {markdown_line(path)}*" for path in message.audio]
    if message.thought.strip():
        parts.append(
            f"<details>\n<summary>Thought</summary>\n\n{_text(message.thought)}\n\n</details>"
        )
    parts.append(_text(message.text))
    parts += [f"*Called: {markdown_line(shown_call(call))}*" for call in message.tool_calls]
    notes = _notes(message)
    if notes:
        parts.append(f"*{markdown_line(' · '.join(notes))}*")
    return "\n\n".join(part for part in parts if part)


def shown_call(call: ToolCall) -> str:
    """A call of a tool in one line: name, arguments, and what its result names."""
    return one_line(f"{call.name} {call.arguments} ({call.id})", 500)


def _notes(message: SavedMessage) -> list[str]:
    timings = message.timings
    notes = [note for note in (str(timings), timings.thought) if note] if timings else []
    if message.finish not in ("", "stop", "tool_calls"):
        notes.append(f"ended by: {message.finish}")
    if message.error:
        notes.append(one_line(message.error))
    return notes


def _text(text: str) -> str:
    """Without what a terminal obeys and half characters that no file can hold; the rest of it is
    the user's and stays, also what cannot be seen. Where it is printed, that goes too."""
    return strip_escapes(text).strip("\n")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else ""
