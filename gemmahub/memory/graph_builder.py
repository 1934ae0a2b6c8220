"""The parts of the graphs that llama.cpp builds for a step, in sizes and dependencies.

Source: ``src/llama-graph.cpp`` of ggml-org/llama.cpp@0c1e57098, and what other builds print of
their graphs (``GGML_SCHED_DEBUG=2``). All results are F32. Each family
puts them together in its own module of :mod:`gemmahub.memory.families`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmahub.memory.settings import is_quantised
from gemmahub.memory.step_graph import (
    Graph,
    Node,
    Unit,
    combine,
    given,
    norm,
    placed,
    reuse,
    store,
    tensor,
    view,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gemmahub.memory.architecture import Attention, LayerShape, MemoryArchitecture
    from gemmahub.memory.builds import EngineBuild
    from gemmahub.memory.settings import MemorySettings

# Two Hadamard matrices turn quantised caches; the one for values has this many rows.
_VALUE_ROTATION = 64


@dataclass(frozen=True, slots=True)
class GraphSettings:
    """What the shape of a graph depends on, besides the model."""

    flash_attention: bool
    quantised_k: bool
    quantised_v: bool
    build: EngineBuild

    @classmethod
    def of(cls, settings: MemorySettings, build: EngineBuild) -> GraphSettings:
        """The part of the settings of a plan that is meant here."""
        return cls(
            settings.flash_attention,
            is_quantised(settings.cache_type_k),
            is_quantised(settings.cache_type_v),
            build,
        )


@dataclass(slots=True)
class CacheInputs:
    """Inputs of the layers of one attention kind: mask, indexes to store at, rotations."""

    mask: Node
    key_indexes: Node
    value_indexes: Node
    key_rotation: Node | None
    value_rotation: Node | None


@dataclass(slots=True)
class Builder:
    """What the graphs of all families have in common.

    ``numbers`` are the layers that are built, of which each is a segment of the graph. ``unit`` is
    what results have one of: a token, until rows are picked.
    """

    architecture: MemoryArchitecture
    settings: GraphSettings
    numbers: Sequence[int]
    unit: Unit = Unit.TOKEN
    graph: Graph = field(default_factory=Graph)
    positions: Node = field(default_factory=lambda: given(Unit.TOKEN, 4))
    output_ids: Node = field(default_factory=lambda: given(Unit.ROW, 4))
    caches: dict[Attention, CacheInputs] = field(default_factory=dict)

    def layers(self) -> Iterator[tuple[int, LayerShape]]:
        """Number and shape of each layer to be built."""
        for number in self.numbers:
            self.graph.cut()
            yield number, self.architecture.layers[number]

    def width(self, numbers: int, *sources: Node) -> Node:
        """A result of ``numbers`` F32 a token, or a row."""
        return tensor(self.unit, 4 * numbers, *sources)

    def rows(self, source: Node) -> Node:
        """The rows of a result that logits are wanted for (``ggml_get_rows``); from here on all
        results are of rows."""
        self.unit = Unit.ROW
        return tensor(Unit.ROW, source.size, source, self.output_ids)

    def embeddings(self, *, scaled: bool = True, by_token: bool = True) -> Node:
        """Token embeddings; the unused input for image embeddings is allocated, too.

        ``scaled``: by a constant; ``by_token``: by one for each token, where a step can mix tokens
        and images.
        """
        width = self.architecture.embedding_length
        looked_up = self.width(width, given(Unit.TOKEN, 4))
        self.graph.expand(looked_up)
        self.graph.expand(given(Unit.TOKEN, 4 * width))
        if not self.settings.build.mixed_input:
            return reuse(looked_up) if scaled else looked_up
        # Tokens and image embeddings in one step: also allocated where there are only tokens.
        tokens = self.width(width, given(Unit.TOKEN, 4))
        both = self.width(width, given(Unit.TOKEN, 4 * width))
        slots = given(Unit.TOKEN, 8)
        self.graph.expand(placed(both, tokens, slots))
        chosen = reuse(looked_up, given(Unit.TOKEN, 4)) if by_token else looked_up
        if scaled and not by_token:
            chosen = reuse(looked_up)
        self.graph.expand(chosen)
        return chosen

    def per_layer_inputs(self, embeddings: Node) -> Node | None:
        """Inputs of all layers from the table of per-layer embeddings, None without one."""
        width = self.architecture.per_layer_embedding_length * len(self.architecture.layers)
        if not width:
            return None
        looked_up = reuse(view(self.width(width, given(Unit.TOKEN, 4))))
        self.graph.expand(looked_up)
        projected = norm(view(reuse(self.width(width, embeddings))))
        return self.width(width, view(reuse(combine(projected, looked_up))))

    def cache(self, layer: LayerShape) -> CacheInputs:
        """The inputs of the layer's attention kind, made at the first layer of that kind."""
        if layer.attention not in self.caches:
            flash = self.settings.flash_attention
            unit = Unit.WINDOW if layer.attention == "window" else Unit.GLOBAL
            # Transposed values are stored number by number, each with an index.
            indexes = 8 if flash else 8 * self.architecture.max_value_width
            # The largest power of two that divides a head, from 64 on (build_input_k_rot).
            rotation = layer.key_length & -layer.key_length
            turn_k = self.settings.quantised_k and rotation >= _VALUE_ROTATION
            turn_v = self.settings.quantised_v and layer.value_length % _VALUE_ROTATION == 0
            self.caches[layer.attention] = CacheInputs(
                mask=given(unit, 2 if flash else 4),
                key_indexes=given(Unit.TOKEN, 8),
                value_indexes=given(Unit.TOKEN, indexes),
                key_rotation=_matrix(rotation) if turn_k else None,
                value_rotation=_matrix(_VALUE_ROTATION) if turn_v else None,
            )
        return self.caches[layer.attention]

    def rotated(self, source: Node, rotation: Node | None) -> Node:
        """``llama_mul_mat_hadamard``: needed where the cache is quantised."""
        if rotation is None:
            return source
        return view(tensor(source.unit, source.size, rotation, view(source)))

    def attention(
        self, layer: LayerShape, query: Node, key: Node | None, value: Node | None
    ) -> Node:
        """Store keys and values, attend, project (``build_attn``); None reuses a cache."""
        inputs = self.cache(layer)
        query = self.rotated(query, inputs.key_rotation)
        key = self.rotated(key, inputs.key_rotation) if key else None
        value = self.rotated(value, inputs.value_rotation) if value else None
        # Models with one cache only (Gemma 3 without a window) order values before keys.
        two_caches = self.architecture.has_window_cache
        for node in (query, key, value) if two_caches else (query, value, key):
            if node:
                self.graph.expand(node)
        if key:
            self.graph.expand(store(view(key), inputs.key_indexes))
        if value:
            self.graph.expand(store(self._stored_value(layer, value), inputs.value_indexes))
        mixed = self._mixed(layer, view(view(query)), inputs.mask)
        mixed = self.rotated(mixed, inputs.value_rotation)
        return self.width(self.architecture.embedding_length, mixed)

    def _stored_value(self, layer: LayerShape, value: Node) -> Node:
        widest = self.architecture.max_value_width
        if self.settings.flash_attention:
            return view(value)
        value = view(value)
        if layer.value_width < widest:
            value = self.width(widest, value)
        return view(value)

    def _mixed(self, layer: LayerShape, query: Node, mask: Node) -> Node:
        """Values weighted by attention (``build_attn_mha``)."""
        width = layer.heads * layer.value_length
        if self.settings.flash_attention:
            return view(self.width(width, query, mask))
        scores = reuse(tensor(mask.unit, 4 * layer.heads, query), mask)
        return self.width(width, view(self.width(width, scores)))

    def feed_forward(self, layer: LayerShape, source: Node) -> Node:
        """Gate and up, multiplied, and down (``build_ffn`` with GEGLU)."""
        width = layer.feed_forward_length
        gate, up = self.width(width, source), self.width(width, source)
        return self.width(self.architecture.embedding_length, self.width(width, gate, up))

    def logits(self, source: Node, *, softcap: bool) -> None:
        """The output layer: a row of the vocabulary for each row wanted."""
        source.output = True
        found = tensor(Unit.ROW, 4 * self.architecture.vocabulary, source)
        if softcap:
            found = reuse(reuse(reuse(found)))
        self.graph.expand(found)


def _matrix(rows: int) -> Node:
    return given(Unit.ONE, 4 * rows * rows)


def heads(width: Node) -> Node:
    """Split into heads, normed, and turned by position later."""
    return norm(view(width))
