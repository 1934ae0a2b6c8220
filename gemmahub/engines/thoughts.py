"""Thoughts in the text of an answer: Gemma 4 puts them between two tokens, a channel.

``<|channel>thought`` and a line break begin one, ``<channel|>`` ends it; the rest is the answer.
Source: the chat template of google/gemma-4-E2B-it, and its reference documentation.
"""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import Chunk, ChunkKind

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

OPENS: Final = "<|channel>"
CLOSES: Final = "<channel|>"
MARKERS: Final = (OPENS, CLOSES)
"""Control tokens, which an engine has to write out for :class:`ThoughtStream` to see them."""

NAME: Final = "thought\n"
"""What stands behind the first marker, and is no part of the thought."""

_MARKER: Final = re.compile(f"({re.escape(OPENS)}|{re.escape(CLOSES)})")
_NAMED: Final = re.compile(r"\Athought(?:\n|\Z)")


class ThoughtStream:
    """Takes the text of one answer in pieces, and tells thoughts from the rest.

    No marker comes through, whether or not it stands where it should. ``inside`` says whether a
    thought has begun and not ended. ``tokens`` counts pieces that are of thoughts and no marker or
    name: tokens, where each is given by itself.
    """

    def __init__(self) -> None:
        self.inside = False
        self.tokens = 0
        self._named = False
        self._held = ""

    def feed(self, piece: str) -> list[Chunk]:
        """What can be said of the text so far; what may be half a marker waits for the next."""
        if not self.inside and not self._held and "<" not in piece:
            return [Chunk(piece)] if piece else []
        thinks = self.inside and self._named
        self._held += piece
        chunks = self._cut(len(self._held) - half_of(self._held, MARKERS))
        self.tokens += thinks and self.inside and bool(piece)
        return chunks

    def finish(self) -> list[Chunk]:
        """The rest."""
        return self._cut(len(self._held), last=True)

    def _cut(self, end: int, *, last: bool = False) -> list[Chunk]:
        """Chunks of the text up to ``end``; the rest is held."""
        chunks: list[Chunk] = []
        text, self._held = self._held[:end], self._held[end:]
        parts = _MARKER.split(text)
        for left, part in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
            if part in MARKERS:
                self.inside = part == OPENS
                self._named = False
                continue
            if self.inside and not self._named:
                if not left and not last and NAME.startswith(part) and part != NAME:
                    self._held = part + self._held  # decided when more comes, or a marker
                    continue
                part, self._named = _NAMED.sub("", part), True
            if part:
                kind = ChunkKind.REASONING if self.inside else ChunkKind.ANSWER
                chunks.append(Chunk(part, kind=kind))
        return chunks


def half_of(text: str, markers: Sequence[str]) -> int:
    """Length of the longest end of the text that one of the markers begins with."""
    longest = max(map(len, markers)) - 1
    for length in range(min(longest, len(text)), 0, -1):
        if any(marker.startswith(text[-length:]) for marker in markers):
            return length
    return 0


def told_apart(chunks: Generator[Chunk, None, None]) -> Iterator[Chunk]:
    """The chunks of an answer, with thoughts that still stand in its text as chunks of their kind.

    For engines of any kind; those whose sessions tell thoughts apart give nothing to do.
    """
    stream = ThoughtStream()
    with closing(chunks):
        for chunk in chunks:
            if chunk.kind is not ChunkKind.ANSWER:
                yield chunk
                continue
            found = stream.feed(chunk.text)
            if chunk.usage is not None:
                yield from joined([*found, *stream.finish()], chunk)
            else:
                yield from found


def joined(found: Sequence[Chunk], last: Chunk) -> Iterator[Chunk]:
    """The rest of an answer, and its last chunk, which carries the usage and text of the answer."""
    *before, end = found or [Chunk("")]
    if end.kind is not ChunkKind.ANSWER:
        before, end = [*before, end], Chunk("")
    yield from before
    yield replace(last, text=end.text)


class ThoughtLimit:
    """Ends thoughts that become longer than they may, for engines that give token after token."""

    def __init__(self, most: bool | int | None, closing: Sequence[int]) -> None:
        """``most`` is :attr:`gemmahub.engines.contract.Sampling.thinking`; ``closing`` are the
        tokens of what ends a thought."""
        self._most = most if type(most) is int else None
        self._closing = tuple(closing)
        self._stream = ThoughtStream()
        self._forced: list[int] = []

    def saw(self, piece: bytes) -> None:
        """The text of the token that came."""
        if self._most is None:
            return
        self._stream.feed(piece.decode(errors="replace"))
        if not self._forced and self._stream.inside and self._stream.tokens >= self._most:
            self._forced = list(self._closing)

    def forced(self) -> int | None:
        """The token that must come next, whatever the model would say."""
        return self._forced.pop(0) if self._forced else None
