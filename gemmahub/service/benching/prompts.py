"""Prompts of as many tokens as are wanted, none of which an engine has in its cache."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final

from gemmahub.service.benching.timing import timed

if TYPE_CHECKING:
    from gemmahub.engines.contract import Session

# One token each to Gemma, and in other vocabularies mostly, too.
_WORDS: Final = [
    "time",
    "house",
    "water",
    "people",
    "music",
    "garden",
    "river",
    "stone",
    "light",
    "paper",
    "table",
    "window",
    "school",
    "winter",
    "summer",
    "market",
    "morning",
    "evening",
    "city",
    "country",
    "family",
    "friend",
    "letter",
    "number",
    "picture",
    "story",
    "road",
    "bridge",
    "mountain",
    "forest",
    "island",
    "ocean",
    "field",
    "village",
    "street",
    "station",
    "train",
    "engine",
    "metal",
    "glass",
    "wood",
    "bread",
    "coffee",
    "sugar",
    "butter",
    "apple",
    "orange",
    "green",
    "yellow",
    "white",
    "black",
    "silver",
    "gold",
    "doctor",
    "teacher",
    "student",
    "artist",
    "writer",
    "driver",
    "farmer",
    "soldier",
    "king",
    "queen",
    "child",
    "mother",
    "father",
    "fmt",
    "skip",
]
_FEW: Final = 8
_MORE: Final = 72


class Prompts:
    """Texts of random words, by the number of their tokens; each begins with other words than those
    before it, so that no engine finds it in its cache."""

    def __init__(self, session: Session) -> None:
        """Asks the engine how many tokens its words are. Raises: BackendError."""
        self._random = Random(20)
        self._made = 0
        few, more = (timed(session, self._words(count), 1).prompt_tokens for count in (_FEW, _MORE))
        self.counted = few is not None and more is not None and more > few
        self._each, self._offset = 1.0, 0.0
        if few is not None and more is not None and more > few:
            self._each = (more - few) / (_MORE - _FEW)
            self._offset = few - _FEW * self._each

    def fresh(self, tokens: int) -> str:
        """A text of about so many tokens, and of one word at least."""
        return self._words(max(1, round((tokens - self._offset) / self._each)))

    def longer(self, text: str, tokens: int) -> str:
        """The text, and about so many tokens more."""
        return f"{text} {self._words(max(1, round(tokens / self._each)))}"

    def _words(self, count: int) -> str:
        # The first words count up, the others are random.
        self._made += 1
        first, second = self._made % len(_WORDS), self._made // len(_WORDS)
        rest = self._random.choices(_WORDS, k=max(0, count - 2))
        return " ".join([_WORDS[first], _WORDS[second % len(_WORDS)], *rest][:count])
