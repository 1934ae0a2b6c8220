"""Scores that a session gets from another one."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from gemmahub.engines.contract import SessionBase

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.engines.contract import ScoredText


class HandsOnScores(SessionBase):
    """A session that asks another one for scores, by the method's name and its arguments."""

    def score(self, text: str, window: int = 512, top: int = 0) -> Iterator[ScoredText]:
        """As the engine's; closing the iterator ends it."""
        return self._scored("score", (text, window, top))

    def score_at(
        self,
        text: str,
        first: int = 0,
        at: Sequence[Sequence[Sequence[int]]] = (),
        window: int = 512,
        top: int = 0,
    ) -> Iterator[ScoredText]:
        """As the engine's; closing the iterator ends it."""
        return self._scored("score_at", (text, first, at, window, top))

    @abstractmethod
    def _scored(self, method: str, arguments: tuple[Any, ...]) -> Iterator[ScoredText]:
        """What the other session gives, checked."""
