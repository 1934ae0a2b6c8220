"""What the sessions of engines that score texts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.engines.token_session import TokenSession
from gemmahub.errors import ContextExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.engines.contract import ScoredText


class ScoringSession(TokenSession):
    """Write :meth:`score_at` as well: ``score`` is the same for all windows and no named token."""

    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        """How probable the tokens of a text are, as ``llama-perplexity`` computes it.

        Raises: as ``score_at``.
        """
        return self.score_at(text, window=window, top=top)

    def check_window(self, window: int) -> None:
        """Raises: ContextExceeded for a window that the context has no room for."""
        if window > self.context_size:
            raise ContextExceeded(
                f"a window of {window:,} tokens does not fit the context of {self.context_size:,}",
                "score in smaller windows, or load the model with a larger context",
            )


def windows_asked(count: int, first: int, at: Sequence[Any]) -> range:
    """The windows from ``first`` on, of ``count``: as many as have named tokens, else all."""
    return range(first, min(count, first + len(at)) if at else count)
