"""How probable the tokens of a text are, by the method of llama.cpp's ``llama-perplexity``, so that
the figures mean the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import ScoredText
from gemmahub.errors import GenerationFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub_mlx.engine import MlxModules
    from gemmahub_mlx.tokenizer import Tokenizer

    Rows = Sequence[Sequence[int]]

_LEAST: Final = 4
_ROWS: Final = 64
"""Rows of logits that are computed at once: of 262,144 words, 64 MiB in float32."""


@dataclass(slots=True)
class _Found:
    own: list[float]
    top: list[tuple[int, ...]]
    top_values: list[tuple[float, ...]]
    at_values: list[tuple[float, ...]]


class MlxScorer:
    """Scores texts on a loaded model; each window has a cache of its own, of the model's kind."""

    def __init__(self, library: MlxModules, model: Any, tokenizer: Tokenizer) -> None:
        self._library = library
        self._model = model
        self._tokenizer = tokenizer
        self._text = ""
        self._tokens: list[int] = []

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
        core = self._library.core
        tokens = self._tokens[number * window : (number + 1) * window]
        start = self._tokenizer.tokenize("", special=False, start=True)[:1]
        tokens[: len(start)] = start
        unscored = window // 2 + 1
        cache = self._library.cache.make_prompt_cache(self._model)
        found = _Found([], [], [], [])
        self._model(core.array(tokens[: unscored - 1])[None], cache=cache)
        core.eval([layer.state for layer in cache])
        # The logits of a token are those of the next one; the last has no next one.
        for begin in range(unscored - 1, window - 1, _ROWS):
            end = min(begin + _ROWS, window - 1)
            logits = self._model(core.array(tokens[begin:end])[None], cache=cache)[0]
            rows = at[begin + 1 : end + 1] if at else ()
            self._take(logits, tokens[begin + 1 : end + 1], top, rows, found)
            core.eval([layer.state for layer in cache])
        core.clear_cache()
        return ScoredText(
            tokens=tuple(tokens),
            log_probabilities=tuple(found.own),
            unscored=unscored,
            top_tokens=tuple(found.top),
            top_log_probabilities=tuple(found.top_values),
            at_log_probabilities=tuple(found.at_values),
            windows=len(self._tokens) // window,
        )

    def _take(self, logits: Any, own: list[int], top: int, rows: Rows, found: _Found) -> None:
        """Natural logarithms of the softmax of rows of logits, at some tokens."""
        core = self._library.core
        logits = logits.astype(core.float32)
        logs = logits - core.logsumexp(logits, axis=-1, keepdims=True)
        found.own += core.take_along_axis(logs, core.array(own)[:, None], axis=-1)[:, 0].tolist()
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
