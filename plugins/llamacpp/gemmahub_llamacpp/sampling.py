"""llama.cpp's own sampler chain, so that 262,144 logits never come to Python."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.engines.sampling import DEFAULT_MIN_P, DEFAULT_TOP_K, DEFAULT_TOP_P
from gemmahub_llamacpp.engine import library
from gemmahub_llamacpp.grammar import Grammar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.engines.contract import Sampling
    from gemmahub_llamacpp.context import Context

_RANDOM_SEED: Final = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED: llama.cpp draws one


@dataclass(frozen=True, slots=True)
class TokenSampler:
    """Takes the next token: of all with ``chain``; where a ``grammar`` refuses that one, of those
    that it allows with ``held``. To try all tokens each time would take far longer."""

    chain: Any
    grammar: Grammar | None = None
    held: Any = None

    def sample(self, context: Context) -> int:
        """The next token of a context."""
        token = context.sample(self.chain)
        if self.grammar is None:
            return token
        if not self.grammar.allows(token):
            return context.sample(self.held)
        self.grammar.accept(token)
        return token


@contextmanager
def token_sampler(sampling: Sampling, vocab: Any) -> Iterator[TokenSampler]:
    """llama.cpp's samplers for these settings; freed at the end.

    The filters work in llama.cpp's usual order: top-k, top-p, min-p, then temperature.

    Raises: GenerationFailed for what is no grammar.
    """
    with ExitStack() as ended:
        chain = _chain(sampling, ended)
        if sampling.grammar is None:
            yield TokenSampler(chain)
            return
        grammar = Grammar(vocab, sampling.grammar)
        yield TokenSampler(chain, grammar, _chain(sampling, ended, grammar.sampler))


def _chain(sampling: Sampling, ended: ExitStack, *first: Any) -> Any:
    """A chain, which frees its samplers."""
    llama = library()
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    ended.callback(llama.llama_sampler_free, chain)
    for sampler in (*first, *_samplers(llama, sampling)):
        llama.llama_sampler_chain_add(chain, sampler)
    return chain


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
