"""The KV cache that llama.cpp allocates, to the byte.

Sources: ``src/llama-context.cpp`` (limits and padding), ``src/llama-kv-cache-iswa.cpp`` (size of
the window cache) and ``src/llama-kv-cache.cpp`` (width of a row) of ggml-org/llama.cpp@0c1e57098,
which llama-cpp-python 0.3.36 carries. The rule has changed before; it is the same in all builds
of :mod:`~gemmahub.memory.builds`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.formats.ggml_types import GGML_TYPES_BY_NAME

if TYPE_CHECKING:
    from gemmahub.memory.architecture import CacheKind, LayerShape, MemoryArchitecture
    from gemmahub.memory.builds import EngineRules
    from gemmahub.memory.settings import MemorySettings

PADDING: Final = 256
"""Cells come in multiples of this (``GGML_PAD(..., 256)``)."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Positions that the caches hold in each of ``streams`` independent parts."""

    global_: int
    window: int
    streams: int


@dataclass(frozen=True, slots=True)
class KVCache:
    """Bytes of the cache of all positions and of the window cache."""

    cells: Cells
    global_bytes: int
    window_bytes: int

    @property
    def bytes(self) -> int:
        return self.global_bytes + self.window_bytes


def saved_bytes(
    architecture: MemoryArchitecture, settings: MemorySettings, cache: KVCache, rules: EngineRules
) -> int:
    """What an engine keeps beside its caches: copies of the window's part, earlier conversations.

    A copy has the tokens of the window, however many cells there are; llama-server says so in its
    log (``created context checkpoint``). With a window cache of full size it makes none.
    """
    cells, copies = cache.cells, rules.checkpoints * settings.parallel
    if settings.full_swa_cache or not cells.window:
        return rules.prompt_cache_bytes
    row = cache.window_bytes // (cells.window * cells.streams)
    tokens = min(architecture.sliding_window, cells.window)
    return copies * tokens * row + rules.prompt_cache_bytes


def padded(cells: int) -> int:
    """The next multiple of 256."""
    return -(-cells // PADDING) * PADDING


def cache_cells(architecture: MemoryArchitecture, settings: MemorySettings) -> Cells:
    """Cells of each cache; with a unified cache the window grows with the number of sequences."""
    s = settings
    context = padded(s.context)
    streams = 1 if s.unified else s.parallel
    cells = context if s.unified else padded(context // s.parallel)
    if not architecture.has_window_cache:
        return Cells(cells, 0, streams)
    if s.full_swa_cache:
        return Cells(cells, cells, streams)
    window = architecture.sliding_window * (s.parallel if s.unified else 1) + s.tokens_a_step
    return Cells(cells, padded(min(cells, window)), streams)


def type_bytes(name: str, numbers: int) -> int:
    """Bytes of a row of ``numbers`` in that cache type (``ggml_row_size``)."""
    kind = GGML_TYPES_BY_NAME[name.upper()]
    # Every type that a cache can have is in the table with its block.
    block, size = kind.block_size or 1, kind.block_bytes or 0
    return numbers // block * size


def layer_cache_bytes(
    architecture: MemoryArchitecture, settings: MemorySettings, cells: Cells
) -> dict[LayerShape, int]:
    """Bytes of the cache of a layer of each shape, 0 for those without one of their own.

    Without flash attention values lie transposed, in rows as wide as those of the widest layer.
    """
    found = {}
    for shape in architecture.shapes:
        values = shape.value_width if settings.flash_attention else architecture.max_value_width
        row = type_bytes(settings.cache_type_k, shape.key_width) + type_bytes(
            settings.cache_type_v, values
        )
        count = cells.window if shape.attention == "window" else cells.global_
        found[shape] = count * cells.streams * row if shape.owns_cache else 0
    return found


def kv_cache(architecture: MemoryArchitecture, settings: MemorySettings) -> KVCache:
    """The whole cache in bytes, as if all of it lay on one device."""
    cells = cache_cells(architecture, settings)
    sums = []
    parts: tuple[tuple[CacheKind, int], ...] = (
        ("global", cells.global_),
        ("window", cells.window),
    )
    for kind, count in parts:
        layers, keys, values = architecture.cache_widths.get(kind, (0, 0, 0))
        if not settings.flash_attention:
            values = layers * architecture.max_value_width
        row = type_bytes(settings.cache_type_k, keys) + type_bytes(settings.cache_type_v, values)
        sums.append(cells.streams * count * row)
    return KVCache(cells, *sums)
