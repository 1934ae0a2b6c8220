"""What MLX takes of a machine's memory for a text model. Pure arithmetic; mlx-lm 0.32.2.

A context is filled as mlx-lm fills it: the prompt in steps, then its last token. Sources:

- mlx_lm/models/cache.py: ``KVCache`` grows by multiples of 256 cells and is copied when it grows;
  ``RotatingKVCache`` holds ``window - 1`` cells and the step during a prompt, ``window`` after it.
- ``make_cache`` in mlx_lm/models/gemma3_text.py, gemma3n.py, gemma4_text.py: which layer has which.
- ml-explore/mlx ``mlx/fast.cpp``: without a fused kernel, attention holds a score for each head,
  token of the step and cell.
- mlx/transforms.cpp (``eval_impl``): work is handed out ahead of what is computed, up to ten tasks,
  and results are allocated when it is handed out; above the memory limit it waits instead.

Checked with ``mx.get_peak_memory()`` on small models on a CPU (tests/test_memory.py): held to the
limit (option ``hold_memory``) the peak is within 10 % of the formula; else it stays below it. On
Metal and CUDA nothing was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.memory import LayerShape
    from gemmahub_mlx.header import ModelHeader

GROWTH: Final = 256
"""Cells by which a cache grows (``KVCache.step``)."""

# Head sizes that Metal's fused kernel takes for a prompt: mlx/backend/metal/
# scaled_dot_product_attention.cpp, ``sdpa_full_supported_head_dim``. Gemma's 256 and 512 are none.
_FUSED_ON_METAL: Final = frozenset({64, 80, 128})


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """How keys and values are stored: packed ``bits`` with scale and bias for each group, or plain.

    ``bits`` None: numbers of ``item_bytes``, as the model computes. Windows are always plain.
    """

    item_bytes: int
    bits: int | None = None
    group_size: int = 64

    def row_bytes(self, layer: LayerShape) -> int:
        """Keys and values of one position of a layer."""
        width = layer.key_width + layer.value_width
        if self.bits is None or layer.attention == "window":
            return width * self.item_bytes
        return width * self.bits // 8 + 2 * width // self.group_size * self.item_bytes


@dataclass(frozen=True, slots=True)
class Run:
    """How the model is run: prompt steps of ``step`` tokens, with caches of the form ``cache``.

    ``held``: the memory limit keeps MLX from working ahead. ``metal``: with Metal's fused kernels.
    """

    step: int
    cache: CacheFormat
    held: bool = False
    metal: bool = False


@dataclass(frozen=True, slots=True)
class MlxMemory:
    """Bytes by part, when the context is full; together what ``mx.get_peak_memory()`` shows.

    ``kv_cache_bytes`` is the most that the caches hold; ``compute_bytes`` what a step takes beside
    weights and caches; ``output_bytes`` the logits of a token and what is made of them.
    """

    weights_bytes: int
    kv_global_bytes: int
    kv_window_bytes: int
    cells_global: int
    cells_window: int
    compute_bytes: int
    output_bytes: int

    @property
    def kv_cache_bytes(self) -> int:
        """Both kinds of caches."""
        return self.kv_global_bytes + self.kv_window_bytes


def plan(header: ModelHeader, context: int, run: Run) -> MlxMemory:
    """The memory of a model whose context of so many tokens is filled by one prompt.

    A conversation of several turns may hold up to 255 cells more in each global layer.
    """
    layers = header.known.layers
    owners = [layer for layer in layers if layer.owns_cache]
    widths = {kind: _row_bytes(owners, kind, run.cache) for kind in ("global", "window")}
    cells = _Cells(0, 0, 0)
    most_global = most_window = 0
    # Of steps of one size that let the caches grow by as much, the last takes the most: its caches
    # are the largest, and all else is equal. So few steps go through the layers, however many the
    # model's context has.
    last: dict[tuple[int, int, int], tuple[_Cells, _Cells]] = {}
    for count in _steps(context, run.step):
        after = cells.after(count, header.known.sliding_window)
        grown = after.growing - cells.growing, after.rotating - cells.rotating
        last[count, *grown] = cells, after
        cells = after
        most_global = max(most_global, cells.growing)
        most_window = max(most_window, cells.rotating)
    most = max(_step_peak(header, *last[kind], kind[0], run) for kind in last)
    kv_global = most_global * widths["global"]
    kv_window = most_window * widths["window"]
    return MlxMemory(
        weights_bytes=header.weights_bytes,
        kv_global_bytes=kv_global,
        kv_window_bytes=kv_window,
        cells_global=most_global if widths["global"] else 0,
        cells_window=most_window if widths["window"] else 0,
        compute_bytes=max(0, most - kv_global - kv_window),
        output_bytes=output_bytes(header),
    )


def output_bytes(header: ModelHeader) -> int:
    """Logits of two tokens (the next one is begun before this one is read), in single precision."""
    return 2 * header.vocabulary * (header.item_bytes + 4)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of a growing and a rotating cache after ``used`` tokens."""

    used: int
    growing: int
    rotating: int

    def after(self, count: int, window: int) -> _Cells:
        """After ``count`` more tokens."""
        return _Cells(self.used + count, self._grown(count), self._rotated(count, window))

    def _grown(self, count: int) -> int:
        if self.used + count <= self.growing:
            return self.growing
        kept = self.used if self.used % GROWTH else self.growing
        return kept + -(-count // GROWTH) * GROWTH

    def _rotated(self, count: int, window: int) -> int:
        if not window:
            return 0
        if count > 1:
            return min(self.used, self.rotating, window - 1) + count if self.used else count
        grown = self.rotating
        if self.used >= grown and grown < window:
            grown += min(GROWTH, window - self.used)
        return min(grown, window)


def _steps(context: int, step: int) -> Iterator[int]:
    """Tokens of each computation that fills the context: the prompt, and its last token alone."""
    prompt = context - 1
    for start in range(0, prompt, step):
        yield min(step, prompt - start)
    yield 1


def _row_bytes(layers: list[LayerShape], kind: str, form: CacheFormat) -> int:
    return sum(form.row_bytes(layer) for layer in layers if layer.attention == kind)


def _step_peak(header: ModelHeader, before: _Cells, after: _Cells, count: int, run: Run) -> int:
    """The most that caches and results take while one step goes through the layers."""
    layers, form = header.known.layers, run.cache
    held = sum(
        form.row_bytes(layer) * (before.growing if layer.attention == "global" else before.rotating)
        for layer in layers
        if layer.owns_cache
    )
    always = _inputs(header, count)
    most = 0
    for number, layer in enumerate(layers):
        old, new = before.growing, after.growing
        if layer.attention == "window":
            old, new = before.rotating, after.rotating
        if layer.owns_cache:
            row = form.row_bytes(layer)
            # Old keys and values, and the new keys, are there at once.
            most = max(most, held + always + row * new // 2 if new != old else 0)
            held += row * (new - old)
        if number == len(layers) - 1 and count > 1:
            break  # of the last layer, a prompt needs the keys and values only
        cells = after.used if layer.attention == "global" else new
        parts = (
            _attention(header, layer, count, cells, run),
            _feed_forward(header, layer, count, run),
        )
        most = max(most, held + always + (max(parts) if run.held else _ahead(header, count, parts)))
    return most


def _ahead(header: ModelHeader, count: int, parts: tuple[int, int]) -> int:
    """All results of a layer at once: scores before and after the softmax, norms of every kind.

    About what ten tasks of ten operations each are; more was not seen.
    """
    attention, feed_forward = parts
    return 2 * attention + feed_forward + 12 * count * header.known.embedding_length * 4


def _inputs(header: ModelHeader, count: int) -> int:
    """What lives through all layers: the hidden state, and each layer's own inputs."""
    a = header.known
    own = 2 * len(a.layers) * a.per_layer_embedding_length
    return count * (a.embedding_length + own) * header.item_bytes


def _attention(header: ModelHeader, layer: LayerShape, count: int, cells: int, run: Run) -> int:
    """Scores and mask, queries and what they come from and go to."""
    quantised = run.cache.bits is not None and layer.attention == "global"
    fused = run.metal and not quantised and (count == 1 or layer.key_length in _FUSED_ON_METAL)
    scores = 0 if fused else layer.heads * count * cells * header.item_bytes
    mask = count * cells if count > 1 else 0
    rows = 2 * layer.query_width + header.known.embedding_length
    return scores + mask + count * rows * header.item_bytes


def _feed_forward(header: ModelHeader, layer: LayerShape, count: int, run: Run) -> int:
    """Gate, its activation, and up; of a mixture, those of the chosen experts.

    In a narrow one the norm before it takes more: without a kernel of its own it is computed in
    single precision, in several steps.
    """
    a = header.known
    width = max(layer.feed_forward_length, a.experts_used * a.expert_feed_forward_length)
    norm = 2 * header.item_bytes if run.metal else 3 * 4
    return count * max(3 * width * header.item_bytes, norm * a.embedding_length)
