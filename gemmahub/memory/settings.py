"""How a model is loaded, as far as memory depends on it; refuses what llama.cpp refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gemmahub.errors import UsageError
from gemmahub.formats.ggml_types import CACHE_TYPES

_FLOATS: Final = ("f32", "f16", "bf16")


def is_quantised(cache_type: str) -> bool:
    """Whether a cache type has fewer than 16 bits a number."""
    return cache_type not in _FLOATS


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """The settings of a plan, in llama.cpp's terms.

    ``context`` in tokens is the sum over all parallel sequences, as ``--ctx-size`` is.
    ``outputs_max`` is the number of rows of logits that a batch may ask for; 0 means one for each
    token of it, which is llama-cpp-python's default. ``unified``: parallel sequences share one
    cache. ``batch`` 2048 is llama.cpp's default. ``gpu_layers`` counts layers on accelerators, the
    output as one more layer behind the last; None means all. ``mmap``: weights that stay in host
    memory are mapped from the file instead of copied.
    """

    context: int
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    flash_attention: bool = True
    full_swa_cache: bool = False
    ubatch: int = 512
    batch: int = 2048
    parallel: int = 1
    unified: bool = False
    outputs_max: int = 1
    gpu_layers: int | None = None
    mmap: bool = True

    def __post_init__(self) -> None:
        if min(self.context, self.ubatch, self.batch, self.parallel) < 1 or self.outputs_max < 0:
            raise UsageError("context, batch, ubatch and parallel must be at least 1")
        for name in (self.cache_type_k, self.cache_type_v):
            if name not in CACHE_TYPES:
                raise UsageError(
                    f"unknown cache type {name!r}", f"llama.cpp has {', '.join(CACHE_TYPES)}"
                )
        if not self.flash_attention and is_quantised(self.cache_type_v):
            raise UsageError(
                f"a {self.cache_type_v} value cache needs flash attention",
                "switch flash attention on, or use --cache-type f16",
            )
        if 0 < self.outputs_max < self.parallel:
            # llama.cpp ends the whole process at such settings.
            raise UsageError(
                "fewer rows of logits than parallel sequences",
                f"set outputs_max to {self.parallel} or more",
            )

    @property
    def tokens_a_step(self) -> int:
        """Tokens that are computed at once: ``n_ubatch`` after llama.cpp's limits."""
        return min(self.ubatch, self.batch, self.context)

    @property
    def output_rows(self) -> int:
        """Rows of logits that a step reserves: ``min(n_ubatch, n_outputs_max)``."""
        return min(self.tokens_a_step, self.outputs_max or min(self.batch, self.context))

    def as_json(self, gpu_layers: int) -> dict[str, Any]:
        """The contract's ``settings`` object; ``gpu_layers`` is what None came to."""
        return {
            "context": self.context,
            "cache_type_k": self.cache_type_k,
            "cache_type_v": self.cache_type_v,
            "flash_attention": self.flash_attention,
            "full_swa_cache": self.full_swa_cache,
            "ubatch": self.ubatch,
            "parallel": self.parallel,
            "outputs_max": self.outputs_max,
            "gpu_layers": gpu_layers,
        }
