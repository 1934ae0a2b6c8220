"""How probable the tokens of a text are, by the method of llama.cpp's ``llama-perplexity``
(``tools/perplexity/perplexity.cpp``), so that the figures mean the same."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.contract import ScoredText
from gemmahub.errors import GenerationFailed
from gemmahub_llamacpp.context import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub_llamacpp.context import Context, ContextSettings
    from gemmahub_llamacpp.model import LlamaModel

    Rows = Sequence[Sequence[int]]

_PART: Final = 512
_MOST_ROWS: Final = 256
"""Of the tokens that are computed at once, those with logits, of 262,144 words for example: 256 MiB
in llama.cpp's graph, and as much where they are read from."""

_LEAST: Final = 4
_SAMPLE: Final = 64  # every so many-th logit says where about the best ones begin


@dataclass(frozen=True, slots=True)
class _Row:
    """What one place gave: of its own token, of the best, of those that were named."""

    own: float
    top: tuple[int, ...] = ()
    top_values: tuple[float, ...] = ()
    at_values: tuple[float, ...] = ()


class LlamaScorer:
    """Scores texts on a loaded model, with a context of its own that is made for the first one.

    Its settings are ``usual``, but for its sizes. One window at a time; only ``abort`` comes from
    any thread.
    """

    def __init__(
        self,
        model: LlamaModel,
        make_context: Callable[[ContextSettings], Context],
        usual: ContextSettings,
    ) -> None:
        self._model = model
        self._make_context = make_context
        self._usual = usual
        self._window = 0
        self._context: Context | None = None
        self._text = ""
        self._tokens: list[int] = []
        self._making = threading.Lock()
        self._stopped = False

    def abort(self) -> None:
        """Stop what is computed; the next text is scored again."""
        self._stopped = True
        with self._making:
            if self._context is not None:
                self._context.abort()

    def resume(self) -> None:
        """Take back ``abort``."""
        self._stopped = False
        if self._context is not None:
            self._context.resume()

    def close(self) -> None:
        """Free the context; twice is fine."""
        with self._making:
            context, self._context = self._context, None
            if context is not None:
                context.close()

    def count(self, text: str, window: int) -> int:
        """How many windows a text has. Raises: GenerationFailed for a window of no use."""
        if window < _LEAST:
            raise GenerationFailed(
                f"a window of {window} tokens has nothing to score", f"use {_LEAST} or more"
            )
        if text != self._text:
            # As there: control tokens that are written out are text, <bos> comes first.
            self._tokens = self._model.tokenize(text, special=False, start=True)
            self._text = text
        return len(self._tokens) // window

    def score(self, number: int, window: int, top: int, at: Rows) -> ScoredText:
        """One window of the text that was counted last.

        Raises: GenerationFailed, LoadFailed.
        """
        context = self._context_for(window)
        begin = number * window
        tokens = self._tokens[begin : begin + window]
        if (start := self._model.start) is not None:
            tokens[0] = start
        context.clear()
        unscored = window // 2 + 1
        rows: list[_Row] = []
        with ThreadPoolExecutor(self._usual.threads) as threads:
            for begin in range(0, window, context.ubatch):
                part = tokens[begin : begin + context.ubatch]
                # The logits of a token are those of the next one; the last has no next one.
                wanted = range(max(unscored - 1 - begin, 0), min(len(part), window - 1 - begin))
                if context.compute(part, wanted) is not Status.DONE:
                    raise GenerationFailed("scoring was stopped", "score the text again")
                if not wanted:
                    continue
                logits = context.logits(len(wanted), self._model.words)
                following = [begin + place + 1 for place in wanted]
                own = [tokens[place] for place in following]
                named = [at[place] for place in following] if at else [()] * len(own)
                rows += threads.map(_row, logits, own, [top] * len(own), named)
        return ScoredText(
            tokens=tuple(tokens),
            log_probabilities=tuple(row.own for row in rows),
            unscored=unscored,
            top_tokens=tuple(row.top for row in rows) if top else (),
            top_log_probabilities=tuple(row.top_values for row in rows) if top else (),
            at_log_probabilities=tuple(row.at_values for row in rows) if at else (),
            windows=len(self._tokens) // window,
        )

    def _context_for(self, window: int) -> Context:
        with self._making:
            if self._context is None or self._window != window:
                if self._context is not None:
                    self._context.close()
                    self._context = None
                part = window if window <= _PART else _MOST_ROWS
                rows = min(part, _MOST_ROWS)
                sizes = replace(self._usual, cells=window, ubatch=part, outputs_max=rows)
                self._context = self._make_context(sizes)
                self._window = window
            if self._stopped:
                self._context.abort()
            return self._context


def _row(logits: Any, own: int, top: int, named: Sequence[int]) -> _Row:
    """Natural logarithms of the softmax of one row of logits, at some tokens."""
    import numpy as np

    most = logits.max()
    powers = _scratch(len(logits))
    np.subtract(logits, most, out=powers)
    np.exp(powers, out=powers)
    # Sums of float32 in pairs: their error is some 1e-7 of the sum.
    beyond = most + np.log(powers.sum())
    best = _best(logits, top) if top else []
    return _Row(
        own=float(logits[own] - beyond),
        top=tuple(int(token) for token in best),
        top_values=tuple((logits[best] - beyond).tolist()) if top else (),
        at_values=tuple((logits[np.asarray(named, dtype=np.intp)] - beyond).tolist()),
    )


_OF_THREAD: Final = threading.local()


def _scratch(count: int) -> Any:
    """Room for that many numbers, one for each thread: new memory for each row takes three times as
    long as what is computed in it."""
    import numpy as np

    if len(getattr(_OF_THREAD, "room", ())) != count:
        _OF_THREAD.room = np.empty(count, dtype=np.float32)
    return _OF_THREAD.room


def _best(logits: Any, count: int) -> Any:
    """The places of the largest numbers, the largest first, of equals the first."""
    import numpy as np

    count = min(count, len(logits))
    # A sample tells about where the best begin: to partition all of them takes far longer.
    sample = np.sort(logits[::_SAMPLE])
    rank = 2 * count // _SAMPLE + 8
    found = np.flatnonzero(logits >= sample[-rank]) if rank < len(sample) else ()
    if len(found) < count:
        found = np.arange(len(logits))
    values = logits[found]
    if len(found) > count:
        least = np.partition(values, len(found) - count)[len(found) - count]
        found, values = found[values >= least], values[values >= least]
    return found[np.argsort(-values, kind="stable")][:count]
