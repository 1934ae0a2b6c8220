"""What the memory of a model depends on, layer by layer, and nothing else about it.

Layers differ: in attention (all positions or a sliding window), in heads, in head sizes (Gemma 4),
in the width of the feed-forward part, and in whether they have a cache of their own at all.
Lengths and widths are numbers of weights, windows and contexts are tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Attention = Literal["global", "window"]
CacheKind = Literal["global", "window", "none"]


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One decoder layer.

    ``owns_cache`` is False where it reuses the keys of an earlier layer, ``has_value_weights``
    where values are made from the key weights (they are cached all the same).
    """

    attention: Attention
    owns_cache: bool
    heads: int
    kv_heads: int
    key_length: int
    value_length: int
    feed_forward_length: int
    has_value_weights: bool = True

    @property
    def kind(self) -> CacheKind:
        """Which cache it has: of the whole context, of the window, or none of its own."""
        return self.attention if self.owns_cache else "none"

    @property
    def key_width(self) -> int:
        """Key numbers a position (``n_embd_k_gqa``)."""
        return self.kv_heads * self.key_length

    @property
    def value_width(self) -> int:
        """Value numbers a position (``n_embd_v_gqa``)."""
        return self.kv_heads * self.value_length

    @property
    def query_width(self) -> int:
        """Query numbers a position."""
        return self.heads * self.key_length


@dataclass(frozen=True)
class MemoryArchitecture:
    """A text decoder, as far as memory depends on it.

    ``name`` is llama.cpp's (``gemma3``). ``sliding_window`` is 0 where no layer has one.
    ``tied_embedding`` is None where the source of this record does not say; the list of tensors
    does. ``embedding_length_out`` is that of the model that a head drafts for. Without slots: sums
    over the layers are kept after they were made once.
    """

    name: str
    layers: tuple[LayerShape, ...]
    embedding_length: int
    vocabulary: int
    context_length: int
    sliding_window: int = 0
    per_layer_embedding_length: int = 0
    experts: int = 0
    experts_used: int = 0
    expert_feed_forward_length: int = 0
    tied_embedding: bool | None = None
    embedding_length_out: int = 0

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Made once: what is worked out for a model is looked up by it in every plan.
        return hash((self.name, self.layers, self.embedding_length, self.vocabulary))

    @cached_property
    def max_value_width(self) -> int:
        """The widest value row of all layers, those without a cache included.

        ``n_embd_v_gqa_max`` (llama.cpp ``src/llama-hparams.cpp``).
        """
        return max(layer.value_width for layer in self.layers)

    @cached_property
    def has_window_cache(self) -> bool:
        """Whether llama.cpp makes two caches (``llama_kv_cache_iswa``) instead of one."""
        return any(layer.attention == "window" for layer in self.layers)

    @cached_property
    def cache_widths(self) -> dict[CacheKind, tuple[int, int, int]]:
        """By kind of cache: number of layers, key and value numbers a position over all of them."""
        found: dict[CacheKind, tuple[int, int, int]] = {}
        for layer in self.layers:
            count, keys, values = found.get(layer.kind, (0, 0, 0))
            found[layer.kind] = (count + 1, keys + layer.key_width, values + layer.value_width)
        return found

    @property
    def shared_kv_layers(self) -> int:
        """How many layers have no cache of their own."""
        return sum(not layer.owns_cache for layer in self.layers)

    @cached_property
    def shapes(self) -> tuple[LayerShape, ...]:
        """The different layers, each once."""
        return tuple(dict.fromkeys(self.layers))


@dataclass(frozen=True, slots=True)
class UnknownArchitecture:
    """A model whose memory cannot be derived from what is known of it, and why not."""

    name: str
    reason: str
