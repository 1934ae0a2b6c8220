"""How probable the tokens of a text are, by the method of llama.cpp's ``llama-perplexity``, so that
the figures mean the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.engines.window_scores import FoundScores, WindowScorer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.engines.folder_tokenizer import Tokenizer
    from gemmahub_mlx.engine import MlxModules


class MlxScorer(WindowScorer):
    """Scores texts on a loaded model; each window has a cache of its own, of the model's kind."""

    def __init__(self, library: MlxModules, model: Any, tokenizer: Tokenizer) -> None:
        super().__init__(tokenizer)
        self._library = library
        self._model = model
        self._cache: list[Any] = []

    def begin(self, tokens: list[int]) -> None:
        """The unscored half, into a new cache."""
        self._cache = self._library.cache.make_prompt_cache(self._model)
        self._compute(tokens)
        self._library.core.eval([layer.state for layer in self._cache])

    def take(
        self,
        tokens: list[int],
        following: list[int],
        top: int,
        rows: Sequence[Sequence[int]],
        found: FoundScores,
    ) -> None:
        """Natural logarithms of the softmax of rows of logits, at some tokens."""
        core = self._library.core
        logits = self._compute(tokens)[0].astype(core.float32)
        logs = logits - core.logsumexp(logits, axis=-1, keepdims=True)
        own = core.array(following)[:, None]
        found.own += core.take_along_axis(logs, own, axis=-1)[:, 0].tolist()
        if top:
            count = min(top, logs.shape[-1])
            best = core.argpartition(-logs, count - 1, axis=-1)[:, :count]
            values = core.take_along_axis(logs, best, axis=-1)
            order = core.argsort(-values, axis=-1)
            found.top += map(tuple, core.take_along_axis(best, order, axis=-1).tolist())
            found.top_values += map(tuple, core.take_along_axis(values, order, axis=-1).tolist())
        for place, row in enumerate(rows):
            found.at_values.append(
                tuple(logs[place][core.array(list(row))].tolist()) if row else ()
            )
        core.eval([layer.state for layer in self._cache])

    def end(self) -> None:
        """Drop the cache."""
        self._cache = []
        self._library.core.clear_cache()

    def _compute(self, tokens: list[int]) -> Any:
        return self._model(self._library.core.array(tokens)[None], cache=self._cache)
