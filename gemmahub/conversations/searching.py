"""What a search of kept conversations finds: words of titles and messages, and tags."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from gemmahub.text import one_line

if TYPE_CHECKING:
    from gemmahub.conversations.records import ConversationSummary, Saved

TAG: Final = "#"
"""Begins a word that is looked for in the tags alone: ``#duel``, ``#270m``."""
_AROUND: Final = 40
"""Characters of text shown on each side of what was searched for."""


@dataclass(frozen=True)
class SearchedText:
    """A conversation with its text made ready to be searched, once: 2,000 of them are looked
    through for each letter that is typed."""

    state: tuple[int, int]
    saved: Saved
    summary: ConversationSummary

    @cached_property
    def words(self) -> str:
        """Title and messages, case folded."""
        texts = (self.saved.shown_title, *(message.text for message in self.saved.messages))
        return "\n".join(texts).casefold()

    @cached_property
    def tags(self) -> str:
        """Tags with the reference, case folded."""
        return " ".join((self.summary.reference, *self.summary.tags)).casefold()


@dataclass(frozen=True)
class Match:
    """A conversation that a search found, and the first word of a text that was asked for."""

    summary: ConversationSummary
    saved: Saved
    word: str = ""

    @cached_property
    def turn(self) -> int:
        """The place of the first message that has the word; that of the last one without a word,
        or where it is in the title alone; 0 where there are none."""
        messages = self.saved.messages
        if self.word:
            for place, message in enumerate(messages):
                if self.word in message.text.casefold():
                    return place
        return max(len(messages) - 1, 0)

    @cached_property
    def excerpt(self) -> str:
        """The text around the word, on one line."""
        messages = self.saved.messages
        text = messages[self.turn].text if messages else self.saved.shown_title
        at = max(text.casefold().find(self.word), 0)  # folding may move it a little
        start = max(at - _AROUND, 0)
        piece = one_line(text[start : at + len(self.word) + _AROUND], 3 * _AROUND)
        return f"…{piece}" if start else piece


@dataclass(frozen=True, slots=True)
class SearchWords:
    """What is searched for: words that all have to stand in the text, tags in the tags."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> SearchWords:
        """From what a person typed; case does not matter."""
        found = text.casefold().split()
        words = tuple(word for word in found if not _is_tag(word))
        return cls(words, tuple(word.removeprefix(TAG) for word in found if _is_tag(word)))

    def match(self, kept: SearchedText) -> Match | None:
        """The conversation, if it has all of them."""
        if not all(word in kept.words for word in self.words):
            return None
        if not all(tag in kept.tags for tag in self.tags):
            return None
        return Match(kept.summary, kept.saved, self.words[0] if self.words else "")


def _is_tag(word: str) -> bool:
    return word.startswith(TAG) and len(word) > 1
