"""How a model is loaded, as far as memory depends on it; refuses what llama.cpp refuses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import UsageError
from gemmahub.formats.ggml_types import CACHE_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.weight_sums import Weights

DRAFTED_TOKENS: Final = 3
"""Tokens that are drafted at once: llama.cpp's default."""

_FLOATS: Final = ("f32", "f16", "bf16")


def is_quantised(cache_type: str) -> bool:
    """Whether a cache type has fewer than 16 bits a number."""
    return cache_type not in _FLOATS


def check_split(shares: Sequence[float]) -> None:
    """Raises: UsageError for what are no shares."""
    if shares and (not all(isfinite(x) and x >= 0 for x in shares) or not sum(shares)):
        raise UsageError(
            f"{','.join(f'{x:g}' for x in shares)} is not a list of GPU shares",
            "write numbers of 0 or more with commas: 3,1",
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """What of a model lies on accelerators, where there are any.

    ``gpu_layers`` counts the *last* layers, the output as one more layer behind the last; None
    means all. ``experts_in_memory`` counts the *first* layers whose experts stay in system memory
    (llama.cpp's ``--n-cpu-moe``); what else such a layer has lies where the layer lies.
    ``cache_in_memory``: keys and values stay in system memory (``--no-kv-offload``).
    """

    gpu_layers: int | None = None
    experts_in_memory: int = 0
    cache_in_memory: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """By the names of ``gemmahub run`` and of the contract's settings; None: not said."""
        return {
            "gpu_layers": self.gpu_layers,
            "experts_in_memory": self.experts_in_memory or None,
            "cache_in_memory": self.cache_in_memory,
        }

    @property
    def flags(self) -> tuple[str, ...]:
        """As llama.cpp's programs take it."""
        layers = "all" if self.gpu_layers is None else str(self.gpu_layers)
        experts = ("--n-cpu-moe", str(self.experts_in_memory)) if self.experts_in_memory else ()
        cache = ("--no-kv-offload",) if self.cache_in_memory else ()
        return ("--gpu-layers", layers, *experts, *cache)

    def in_words(self, layers: int) -> str:
        """What of a model of so many layers stays in system memory; empty where nothing does."""
        whole, parts = layers + 1, []
        if self.gpu_layers is not None and self.gpu_layers < whole:
            parts.append(f"{whole - self.gpu_layers} of {whole} layers")
        if self.experts_in_memory:
            parts.append(f"the experts of {min(layers, self.experts_in_memory)} of {layers} layers")
        if self.cache_in_memory:
            parts.append("the cache")
        return " and ".join(parts)


ON_DEVICES: Final = Placement()
"""All on the accelerators."""


@dataclass(frozen=True, slots=True)
class MemorySettings:
    """The settings of a plan, in llama.cpp's terms.

    ``context`` in tokens is the sum over all parallel sequences, as ``--ctx-size`` is.
    ``outputs_max`` is the number of rows of logits that a batch may ask for; 0 means one for each
    token of it, which is llama-cpp-python's default. ``unified``: parallel sequences share one
    cache. ``batch`` 2048 is llama.cpp's default. ``gpu_layers``, ``experts_in_memory`` and
    ``cache_in_memory`` as in :class:`Placement`. ``mmap``: weights that stay in host memory are
    mapped from the file instead of copied. ``drafter`` is the model that drafts for this one.
    ``tensor_split`` are the accelerators' shares of the layers, in their order; none: as much as
    each has free.
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
    experts_in_memory: int = 0
    cache_in_memory: bool = False
    drafter: tuple[MemoryArchitecture, Weights] | None = None
    tensor_split: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if min(self.context, self.ubatch, self.batch, self.parallel) < 1 or self.outputs_max < 0:
            raise UsageError("context, batch, ubatch and parallel must be at least 1")
        if self.experts_in_memory < 0:
            raise UsageError("experts_in_memory must be at least 0")
        check_split(self.tensor_split)
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

    def shares(self, free_bytes: Sequence[int]) -> Sequence[float]:
        """What accelerators with so much free are given of the layers.

        Raises: UsageError where another number of shares is named.
        """
        if self.tensor_split and free_bytes and len(self.tensor_split) != len(free_bytes):
            raise UsageError(
                f"{len(self.tensor_split)} shares were given for {len(free_bytes)} GPUs",
                "give --tensor-split one share per GPU: 3,1",
            )
        return self.tensor_split or free_bytes

    @property
    def flags(self) -> tuple[str, ...]:
        """How the model is divided, as llama.cpp's programs take it."""
        split = ",".join(f"{share:g}" for share in self.tensor_split)
        return (*self.placement.flags, *(("--tensor-split", split) if split else ()))

    @property
    def placement(self) -> Placement:
        """What of the model lies on accelerators."""
        return Placement(self.gpu_layers, self.experts_in_memory, self.cache_in_memory)

    def placed(self, placement: Placement) -> MemorySettings:
        """The same settings with another placement."""
        return replace(
            self,
            gpu_layers=placement.gpu_layers,
            experts_in_memory=placement.experts_in_memory,
            cache_in_memory=placement.cache_in_memory,
        )

    @property
    def checking_drafts(self) -> MemorySettings:
        """Those of a model that checks drafted tokens: rows of logits for each of them."""
        rows = self.outputs_max and max(self.outputs_max, self.parallel * (1 + DRAFTED_TOKENS))
        return replace(self, drafter=None, outputs_max=rows)

    def of_drafter(self, gpu_layers: int) -> MemorySettings:
        """Those of its drafter, where it has that many layers on accelerators itself."""
        return replace(
            self,
            drafter=None,
            outputs_max=self.parallel,
            gpu_layers=None if gpu_layers else 0,
            experts_in_memory=0,
        )

    @property
    def for_whole_texts(self) -> MemorySettings:
        """The same settings where a text is read in one step, however long it is."""
        tokens = max(1, self.context // self.parallel)
        return replace(self, ubatch=tokens, batch=tokens)

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
