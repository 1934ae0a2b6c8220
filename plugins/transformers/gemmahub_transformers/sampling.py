"""The next token from a row of logits, in llama.cpp's order: top-k, top-p, min-p, temperature.

The filters are Transformers' own; its ``generate`` applies temperature first, so that the same
settings would mean something else than in the other engines.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from gemmahub.engines.sampling import DEFAULT_MIN_P, DEFAULT_TOP_K, DEFAULT_TOP_P

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemmahub.engines.contract import Sampling
    from gemmahub_transformers.engine import TorchModules


def make_sampler(library: TorchModules, sampling: Sampling) -> Callable[[Any], int]:
    """A function from logits, shape (words,), to a token."""
    if sampling.temperature == 0:
        return lambda logits: int(logits.argmax())
    return _Random(library, sampling)


class _Random:
    """Draws on the CPU, from few words: the same seed gives the same on each device."""

    def __init__(self, library: TorchModules, sampling: Sampling) -> None:
        self._torch = library.torch
        self._top_k = DEFAULT_TOP_K if sampling.top_k is None else sampling.top_k
        top_p = DEFAULT_TOP_P if sampling.top_p is None else sampling.top_p
        min_p = DEFAULT_MIN_P if sampling.min_p is None else sampling.min_p
        kinds = library.processors
        self._filters: list[Any] = []
        if top_p < 1:
            self._filters.append(kinds.TopPLogitsWarper(float(top_p), min_tokens_to_keep=1))
        if min_p:
            self._filters.append(kinds.MinPLogitsWarper(float(min_p), min_tokens_to_keep=1))
        self._filters.append(kinds.TemperatureLogitsWarper(float(sampling.temperature)))
        self._generator = self._torch.Generator(device="cpu")
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed % 2**63
        self._generator.manual_seed(seed)

    def __call__(self, logits: Any) -> int:
        torch = self._torch
        count = min(self._top_k or logits.shape[-1], logits.shape[-1])
        values, words = torch.topk(logits.float(), count)
        scores, words = values.cpu()[None], words.cpu()
        for each in self._filters:
            scores = each(None, scores)
        place = torch.multinomial(scores.softmax(-1), 1, generator=self._generator)
        return int(words[int(place)])
