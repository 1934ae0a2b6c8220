"""The next token from a row of logits, in llama.cpp's order: top-k, top-p, min-p, temperature.

The library has methods for one of these at a time; this is one more of its ``SamplingMethod``, so
that the same settings mean the same as in the other engines. XLA compiles a step for each choice
of settings; only the seed is free.
"""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gemmahub.engines.sampling import DEFAULT_MIN_P, DEFAULT_TOP_K, DEFAULT_TOP_P

if TYPE_CHECKING:
    from gemmahub.engines.contract import Sampling
    from gemmahub_jax.engine import JaxModules


def method_of(library: JaxModules, sampling: Sampling) -> Any:
    """A ``SamplingMethod`` of the library."""
    if sampling.temperature == 0:
        return library.gm.text.Greedy()
    return _method_class(library)(
        float(sampling.temperature),
        DEFAULT_TOP_K if sampling.top_k is None else sampling.top_k,
        DEFAULT_TOP_P if sampling.top_p is None else float(sampling.top_p),
        DEFAULT_MIN_P if sampling.min_p is None else float(sampling.min_p),
    )


@lru_cache(maxsize=1)
def _method_class(library: JaxModules) -> Any:
    jax, jnp = library.jax, library.numpy

    def get_next_tokens(self: Any, logits: Any, rng: Any) -> Any:
        """Logits of the shape (batch, words) to tokens of the shape (batch,)."""
        words = logits.shape[-1]
        count = self.top_k if 0 < self.top_k < words else words
        values, places = jax.lax.top_k(logits.astype(jnp.float32), count)
        if self.top_p < 1:
            shares = jax.nn.softmax(values, axis=-1)
            before = jnp.cumsum(shares, axis=-1) - shares
            # The first one always stays: top_p 0 means the most probable word.
            kept = (before < self.top_p) | (jnp.arange(count) == 0)
            values = jnp.where(kept, values, -jnp.inf)
        if self.min_p:
            least = values[..., :1] + math.log(self.min_p)
            values = jnp.where(values < least, -jnp.inf, values)
        chosen = jax.random.categorical(rng, values / self.temperature, axis=-1)
        return jnp.take_along_axis(places, chosen[..., None], axis=-1)[..., 0].astype(jnp.int32)

    return dataclasses.make_dataclass(
        "ChosenSampling",
        [("temperature", float), ("top_k", int), ("top_p", float), ("min_p", float)],
        bases=(library.gm.text.SamplingMethod,),
        namespace={"get_next_tokens": get_next_tokens},
        frozen=True,
    )
