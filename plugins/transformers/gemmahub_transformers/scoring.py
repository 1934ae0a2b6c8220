"""How probable the tokens of a text are: in single precision, whatever the model computes in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gemmahub.engines.window_scores import FoundScores, WindowScorer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gemmahub.engines.folder_tokenizer import Tokenizer

    Compute = Callable[[list[int], Any, int], Any]


class TorchScorer(WindowScorer):
    """Scores texts on a loaded model, each window with a cache of its own.

    ``compute`` goes on with tokens in a cache and gives the last rows of logits, as many as it is
    told; ``make_cache`` makes an empty cache; a prompt is computed in steps of ``step`` tokens.
    """

    def __init__(
        self,
        torch: Any,
        tokenizer: Tokenizer,
        compute: Compute,
        make_cache: Callable[[], Any],
        step: int,
    ) -> None:
        super().__init__(tokenizer)
        self._torch = torch
        self._compute = compute
        self._make_cache = make_cache
        self._step = step
        self._cache: Any = None

    def begin(self, tokens: list[int]) -> None:
        """The unscored half, into a new cache."""
        self._cache = self._make_cache()
        for start in range(0, len(tokens), self._step):
            self._compute(tokens[start : start + self._step], self._cache, 1)

    def take(
        self,
        tokens: list[int],
        following: list[int],
        top: int,
        rows: Sequence[Sequence[int]],
        found: FoundScores,
    ) -> None:
        """Natural logarithms of the softmax of rows of logits, at some tokens."""
        torch = self._torch
        with torch.inference_mode():
            logs = self._compute(tokens, self._cache, len(tokens)).float().log_softmax(-1)
            own = torch.tensor(following, device=logs.device)[:, None]
            found.own += logs.gather(-1, own)[:, 0].tolist()
            if top:
                values, best = logs.topk(min(top, logs.shape[-1]), -1)
                found.top += map(tuple, best.tolist())
                found.top_values += map(tuple, values.tolist())
            for place, row in enumerate(rows):
                wanted = torch.tensor(list(row), dtype=torch.long, device=logs.device)
                found.at_values.append(tuple(logs[place][wanted].tolist()))

    def end(self) -> None:
        """Drop the cache."""
        self._cache = None
