"""What the sessions of engines that score texts share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from gemmahub.engines.token_session import TokenSession
from gemmahub.errors import BackendError, ContextExceeded, GenerationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.engines.contract import ScoredText
    from gemmahub.engines.window_scores import WindowScorer


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


class WindowScoringSession(ScoringSession):
    """For engines that score with a :class:`WindowScorer`: write :meth:`scorer` and :meth:`failed`.

    A cancel is looked at between two windows.
    """

    @abstractmethod
    def scorer(self) -> WindowScorer:
        """One for the next text."""

    @abstractmethod
    def failed(self, error: Exception) -> GenerationFailed:
        """What the engine raised, as people read it."""

    def score_at(
        self,
        text: str,
        first: int = 0,
        at: Sequence[Sequence[Sequence[int]]] = (),
        window: int = 512,
        top: int = 0,
    ) -> Iterator[ScoredText]:
        """As ``score``, of some windows, with the tokens that are named.

        Raises: ContextExceeded, GenerationFailed.
        """
        self.check_window(window)
        with self.lock:
            self._check_open()
            self.cancelled.clear()
            scorer = self.scorer()
            count = scorer.count(text, window)
        return self._scored(scorer, windows_asked(count, first, at), window, top, at)

    def _scored(
        self,
        scorer: WindowScorer,
        numbers: range,
        window: int,
        top: int,
        at: Sequence[Sequence[Sequence[int]]],
    ) -> Iterator[ScoredText]:
        for number in numbers:
            with self.lock:
                self._check_open()
                if self.cancelled.is_set():
                    raise GenerationFailed("scoring was stopped", "score the text again")
                try:
                    table = at[number - numbers[0]] if at else ()
                    found = scorer.score(number, window, top, table)
                except BackendError:
                    raise
                except Exception as error:  # noqa: BLE001 - engines raise RuntimeError and others
                    raise self.failed(error) from None
            yield found

    def _check_open(self) -> None:
        if self._closed:
            raise GenerationFailed("the session is closed", "load the model again")


def windows_asked(count: int, first: int, at: Sequence[Any]) -> range:
    """The windows from ``first`` on, of ``count``: as many as have named tokens, else all."""
    return range(first, min(count, first + len(at)) if at else count)
