"""Calls of tools in the text of an answer: Gemma 4 puts each between two tokens.

``<|tool_call>call:NAME{KEY:VALUE,...}<tool_call|>``, where texts stand between ``<|"|>`` and keys
are bare; numbers, ``true``, ``false``, ``null``, lists and objects are as in JSON. Source: the chat
template of google/gemma-4-E2B-it.
"""

from __future__ import annotations

import json
import re
import secrets
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import Chunk, ChunkKind, FinishReason, ToolCall
from gemmahub.engines.thoughts import half_of, joined

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

CALL_OPENS: Final = "<|tool_call>"
CALL_CLOSES: Final = "<tool_call|>"
QUOTE: Final = '<|"|>'
CALL_MARKERS: Final = (CALL_OPENS, CALL_CLOSES, QUOTE)
"""Tokens which an engine has to write out for :func:`with_calls` to see calls."""

TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""What tools may be called: nothing in it means anything to a template."""

_CALL: Final = re.compile(rf"\s*call:\s*({TOOL_NAME.pattern})\s*(\{{.*)", re.DOTALL)
_KEY: Final = re.compile(r"[^\s:{}\[\],\"]+")
_SPACE: Final = re.compile(r"\s*")


def with_calls(chunks: Iterator[Chunk]) -> Generator[Chunk, None, None]:
    """The chunks of an answer, with calls that stand in its text as chunks of their kind.

    What stands between the markers and names no tool is text, without them.
    """
    stream = _CallStream()
    with closing(chunks):  # type: ignore[type-var]
        for chunk in chunks:
            if chunk.kind is not ChunkKind.ANSWER:
                yield chunk
                continue
            found = stream.feed(chunk.text)
            if chunk.usage is None:
                yield from found
                continue
            found += stream.finish()
            usage = chunk.usage
            if stream.called and usage.finish_reason is FinishReason.STOP:
                usage = replace(usage, finish_reason=FinishReason.TOOL_CALLS)
            yield from joined(found, Chunk("", usage))


class _CallStream:
    """Takes the text of one answer in pieces; ``called`` says whether there was a call."""

    def __init__(self) -> None:
        self.called = False
        self._inside = False
        self._held = ""

    def finish(self) -> list[Chunk]:
        """The rest."""
        rest, self._held = self._held, ""
        if self._inside:
            return self._call(rest)
        return [Chunk(rest)] if rest else []

    def feed(self, piece: str) -> list[Chunk]:
        """What can be said so far; what may be a part of a call waits."""
        self._held += piece
        found: list[Chunk] = []
        while True:
            marker = CALL_CLOSES if self._inside else CALL_OPENS
            before, met, after = self._held.partition(marker)
            if not met:
                break
            found += self._call(before) if self._inside else [Chunk(before)] if before else []
            self._held, self._inside = after, not self._inside
        if not self._inside:
            end = len(self._held) - half_of(self._held, (CALL_OPENS,))
            found += [Chunk(self._held[:end])] if end else []
            self._held = self._held[end:]
        return found

    def _call(self, text: str) -> list[Chunk]:
        call = call_of(text)
        if call is None:
            return [Chunk(text)] if text else []
        self.called = True
        return [Chunk("", kind=ChunkKind.TOOL_CALL, tool_call=call)]


def call_of(text: str) -> ToolCall | None:
    """The call in what stands between two markers; arguments that make no sense stay as they are.
    None for what names no tool."""
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    name, written = match.groups()
    try:
        value, end = _value(written, 0)
        if written[end:].strip():
            raise ValueError("more follows")
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        pass
    return ToolCall(f"call-{secrets.token_hex(4)}", name, written)


def texts_in(value: Any) -> list[str]:
    """All texts in a value of JSON, keys among them."""
    found: list[str] = []
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, dict):
            todo += [*each, *each.values()]
        elif isinstance(each, list | tuple):
            todo += each
    return found


def _value(text: str, at: int) -> tuple[Any, int]:
    """The value that begins there, and where it ends. Raises: ValueError, RecursionError."""
    at = _after_space(text, at)
    if text.startswith(QUOTE, at):
        end = text.index(QUOTE, at + len(QUOTE))
        return text[at + len(QUOTE) : end], end + len(QUOTE)
    if text.startswith("{", at):
        pairs, end = _items(text, at, "}")
        return dict(pairs), end
    if text.startswith("[", at):
        return _items(text, at, "]")
    return json.JSONDecoder().raw_decode(text, at)


def _items(text: str, at: int, closing: str) -> tuple[list[Any], int]:
    """What stands in an object, as pairs, or in a list."""
    found: list[Any] = []
    at = _after_space(text, at + 1)
    while not text.startswith(closing, at):
        if found:
            at = _after_space(text, _expect(text, at, ","))
        if closing == "}":
            key, at = _key(text, at)
            at = _expect(text, _after_space(text, at), ":")
            value, at = _value(text, at)
            found.append((key, value))
        else:
            value, at = _value(text, at)
            found.append(value)
        at = _after_space(text, at)
    return found, at + 1


def _key(text: str, at: int) -> tuple[str, int]:
    if text.startswith((QUOTE, '"'), at):
        key, end = _value(text, at)
        return key, end
    if (match := _KEY.match(text, at)) is None:
        raise ValueError("a key is missing")
    return match[0], match.end()


def _expect(text: str, at: int, what: str) -> int:
    if not text.startswith(what, at):
        raise ValueError(f"{what} is missing")
    return at + len(what)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
