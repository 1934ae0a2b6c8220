"""llama.cpp's own sampler chain, so that 262,144 logits never come to Python."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GenerationFailed
from gemmahub_llamacpp.engine import library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Sampling

# What Google recommends for Gemma; used where the caller leaves the choice to us.
DEFAULT_TOP_K: Final = 64
DEFAULT_TOP_P: Final = 0.95
DEFAULT_MIN_P: Final = 0.0

_RANDOM_SEED: Final = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED: llama.cpp draws one


def check_sampling(sampling: Sampling) -> None:
    """Raises: GenerationFailed when a value makes no sense."""
    wrong = _wrong(sampling)
    if wrong:
        raise GenerationFailed(f"the sampling settings make no sense: {wrong}", "change that value")


def _wrong(sampling: Sampling) -> str:
    if not math.isfinite(sampling.temperature) or sampling.temperature < 0:
        return f"temperature {sampling.temperature} is not 0 or more"
    if sampling.max_tokens is not None and sampling.max_tokens < 0:
        return f"max_tokens {sampling.max_tokens} is negative"
    if sampling.top_k is not None and sampling.top_k < 0:
        return f"top_k {sampling.top_k} is negative (0 switches it off)"
    for name, value in (("top_p", sampling.top_p), ("min_p", sampling.min_p)):
        if value is not None and not 0 <= value <= 1:
            return f"{name} {value} is not between 0 and 1"
    return ""


@contextmanager
def sampler_chain(sampling: Sampling) -> Iterator[Any]:
    """llama.cpp's sampler for these settings; freed at the end.

    The filters work in llama.cpp's usual order: top-k, top-p, min-p, then temperature.
    """
    llama = library()
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    try:
        for sampler in _samplers(llama, sampling):
            llama.llama_sampler_chain_add(chain, sampler)
        yield chain
    finally:
        llama.llama_sampler_free(chain)


def _samplers(llama: Any, sampling: Sampling) -> list[Any]:
    if sampling.temperature == 0:
        return [llama.llama_sampler_init_greedy()]
    top_k = DEFAULT_TOP_K if sampling.top_k is None else sampling.top_k
    top_p = DEFAULT_TOP_P if sampling.top_p is None else sampling.top_p
    min_p = DEFAULT_MIN_P if sampling.min_p is None else sampling.min_p
    seed = _RANDOM_SEED if sampling.seed is None else sampling.seed % _RANDOM_SEED
    return [
        *([llama.llama_sampler_init_top_k(top_k)] if top_k else []),
        *([llama.llama_sampler_init_top_p(top_p, 1)] if top_p < 1 else []),
        *([llama.llama_sampler_init_min_p(min_p, 1)] if min_p else []),
        llama.llama_sampler_init_temp(sampling.temperature),
        llama.llama_sampler_init_dist(seed),
    ]
