"""Which tokens of a text are scored, by the method of llama.cpp's ``llama-perplexity``
(``tools/perplexity/perplexity.cpp``), so that the figures of all engines mean the same.

An engine gives the rows of logits; where windows begin and which half counts is the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gemmahub.engines.contract import ScoredText
from gemmahub.errors import GenerationFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.folder_tokenizer import Tokenizer

    Rows = Sequence[Sequence[int]]

_LEAST: Final = 4
ROWS_AT_ONCE: Final = 64
"""Rows of logits that are computed at once: of 262,144 words, 64 MiB in float32."""


@dataclass(slots=True)
class FoundScores:
    """What the places of a window gave so far, one entry a place: natural logarithms of the
    softmax at its own token, at the best tokens, at the tokens named for it."""

    own: list[float] = field(default_factory=list)
    top: list[tuple[int, ...]] = field(default_factory=list)
    top_values: list[tuple[float, ...]] = field(default_factory=list)
    at_values: list[tuple[float, ...]] = field(default_factory=list)


class WindowScorer(ABC):
    """Scores texts window by window. Write :meth:`begin`, :meth:`take` and :meth:`end`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._text = ""
        self._tokens: list[int] = []

    @abstractmethod
    def begin(self, tokens: list[int]) -> None:
        """Compute these into an empty cache of the window's own; their logits are not wanted."""

    @abstractmethod
    def take(
        self, tokens: list[int], following: list[int], top: int, rows: Rows, found: FoundScores
    ) -> None:
        """Go on with ``tokens`` and add to ``found`` the logarithms of their softmax at the tokens
        ``following`` them, at the ``top`` best, and at those of ``rows``, one row a token."""

    @abstractmethod
    def end(self) -> None:
        """Give back the memory of a window."""

    def count(self, text: str, window: int) -> int:
        """How many windows a text has. Raises: GenerationFailed for a window of no use."""
        if window < _LEAST:
            raise GenerationFailed(
                f"a window of {window} tokens has nothing to score", f"use {_LEAST} or more"
            )
        if text != self._text:
            # As there: control tokens that are written out are text, <bos> comes first.
            self._tokens = self._tokenizer.tokenize(text, special=False, start=True)
            self._text = text
        return len(self._tokens) // window

    def score(self, number: int, window: int, top: int, at: Rows) -> ScoredText:
        """One window of the text that was counted last: each begins with the model's first tokens,
        the second half is scored."""
        tokens = self._tokens[number * window : (number + 1) * window]
        start = self._tokenizer.tokenize("", special=False, start=True)[:1]
        tokens[: len(start)] = start
        unscored = window // 2 + 1
        found = FoundScores()
        try:
            self.begin(tokens[: unscored - 1])
            # The logits of a token are those of the next one; the last has no next one.
            for first in range(unscored - 1, window - 1, ROWS_AT_ONCE):
                last = min(first + ROWS_AT_ONCE, window - 1)
                rows = at[first + 1 : last + 1] if at else ()
                self.take(tokens[first:last], tokens[first + 1 : last + 1], top, rows, found)
        finally:
            self.end()
        return ScoredText(
            tokens=tuple(tokens),
            log_probabilities=tuple(found.own),
            unscored=unscored,
            top_tokens=tuple(found.top),
            top_log_probabilities=tuple(found.top_values),
            at_log_probabilities=tuple(found.at_values),
            windows=len(self._tokens) // window,
        )
