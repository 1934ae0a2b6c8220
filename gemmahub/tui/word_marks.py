"""The words in which two answers differ, found and marked where they stand on the screen."""

from __future__ import annotations

import asyncio
import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from textual.content import Content
from textual.widgets._markdown import MarkdownTable
from textual.widgets.markdown import MarkdownBlock

from gemmahub.tui.widgets.turns import PlainText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.widget import Widget

MARK: Final = "bold underline"
"""Readable without colour."""
LEAST_SHARED: Final = 0.3
"""Answers that share a smaller part of their words are different ones: marks would say nothing."""
MOST_WORDS: Final = 2000
"""Longer answers are compared up to here: the time grows with the square."""
_WORD: Final = re.compile(r"\S+")


class Differing(NamedTuple):
    """Which words, by their numbers, one text has and the other has not; ``shared`` is the part of
    all words that both have in the same order, 0 to 1."""

    one: frozenset[int]
    other: frozenset[int]
    shared: float


def differing(one: Sequence[str], other: Sequence[str]) -> Differing:
    """The words in which two texts differ."""
    one, other = one[:MOST_WORDS], other[:MOST_WORDS]
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    left, right = set(range(len(one))), set(range(len(other)))
    for block in matcher.get_matching_blocks():
        left -= set(range(block.a, block.a + block.size))
        right -= set(range(block.b, block.b + block.size))
    return Differing(frozenset(left), frozenset(right), matcher.ratio())


class ShownWord(NamedTuple):
    """A word, and where it stands: from and to a character of what a widget shows."""

    block: Any
    start: int
    end: int
    text: str


def words_shown(answer: Widget) -> list[ShownWord]:
    """The words of an answer, block by block; those of tables are not among them."""
    blocks: list[Any] = [*answer.query(MarkdownBlock), *answer.query(PlainText)]
    return [
        ShownWord(block, *match.span(), match.group())
        for block in blocks
        if (content := _content(block)) is not None
        for match in _WORD.finditer(content.plain)
    ]


def mark(words: Sequence[ShownWord], chosen: frozenset[int]) -> None:
    """Mark some words, and take older marks away."""
    spans: dict[Any, list[tuple[int, int]]] = {}
    for number, word in enumerate(words):
        found = spans.setdefault(word.block, [])
        if number in chosen:
            found.append((word.start, word.end))
    for block, places in spans.items():
        content = _content(block)
        assert content is not None
        kept = [span for span in content.spans if span.style != MARK]
        if places or len(kept) != len(content.spans):
            marked = Content(content.plain, kept)
            for start, end in places:
                marked = marked.stylize(MARK, start, end)
            block.set_content(marked)


async def mark_differences(answers: Sequence[Widget]) -> float:
    """Mark in each answer the words in which it and the first one differ, in the first one those
    that one of the others has not. Returns the part of all words that they share, 0 to 1, in the
    mean; of answers that share less than :data:`LEAST_SHARED` no word is marked."""
    words = [words_shown(answer) for answer in answers]
    texts = [[word.text for word in each] for each in words]
    first: frozenset[int] = frozenset()
    shared = []
    for place, other in enumerate(texts[1:], 1):
        found = await asyncio.to_thread(differing, texts[0], other)
        shared.append(found.shared)
        alike = found.shared >= LEAST_SHARED
        mark(words[place], found.other if alike else frozenset())
        first |= found.one if alike else frozenset()
    mark(words[0], first)
    return sum(shared) / len(shared)


def _content(block: MarkdownBlock | PlainText) -> Content | None:
    """What a block shows itself, None where its children do."""
    content: Content = block._content
    inside_a_table = any(isinstance(each, MarkdownTable) for each in block.ancestors_with_self)
    return content if content.plain.strip() and not inside_a_table else None
