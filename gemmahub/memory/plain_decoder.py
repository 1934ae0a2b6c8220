"""The graph of a plain decoder, which many families share with small differences.

Source: ``src/models/*.cpp`` of ggml-org/llama.cpp@0c1e57098.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gemmahub.memory.graph_builder import Builder, heads
from gemmahub.memory.step_graph import Graph, Node, combine, norm, reuse, view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.architecture import LayerShape, MemoryArchitecture
    from gemmahub.memory.graph_builder import GraphSettings


@dataclass(frozen=True, kw_only=True)
class PlainDecoder:
    """How a family differs; called, it builds the graph of the layers with these numbers.

    ``scales_embeddings`` and ``scales_queries``: by a constant. ``head_norms``: queries and keys
    are normed. ``biases``: of queries, keys and values. ``post_norms``: what attention and
    feed-forward add is normed before. ``fused``: one matrix makes queries, keys and values, and one
    gate and up. ``softcap``: of the logits.
    """

    scales_embeddings: bool = False
    scales_queries: bool = False
    head_norms: bool = False
    biases: bool = False
    post_norms: bool = False
    fused: bool = False
    softcap: bool = False

    def __call__(
        self, architecture: MemoryArchitecture, settings: GraphSettings, numbers: Sequence[int]
    ) -> Graph:
        b = Builder(architecture, settings, numbers)
        current = b.embeddings(scaled=self.scales_embeddings, by_token=False)
        last = len(architecture.layers) - 1
        for number, layer in b.layers():
            attended = b.attention(layer, *self._queries(b, layer, norm(current)))
            if number == last:
                attended, current = b.rows(attended), b.rows(current)
            middle = combine(norm(attended) if self.post_norms else attended, current)
            mixed = self._feed_forward(b, layer, norm(middle))
            current = combine(norm(mixed) if self.post_norms else mixed, middle)
        b.logits(norm(current), softcap=self.softcap)
        return b.graph

    def _queries(self, b: Builder, layer: LayerShape, source: Node) -> tuple[Node, Node, Node]:
        """Queries, keys and values."""
        if self.fused:
            widths = layer.query_width, layer.key_width, layer.value_width
            whole = b.width(sum(widths), source)
            query, key, value = (view(whole, 4 * width) for width in widths)
        else:
            query = b.width(layer.query_width, source)
            key = b.width(layer.key_width, source)
            value = b.width(layer.value_width, source)
            if self.biases:
                query, key, value = reuse(query), reuse(key), reuse(value)
            query, key = (heads(n) if self.head_norms else view(n) for n in (query, key))
        query, key = reuse(query, b.positions), reuse(key, b.positions)
        return reuse(query) if self.scales_queries else query, key, view(value)

    def _feed_forward(self, b: Builder, layer: LayerShape, source: Node) -> Node:
        if not self.fused:
            return b.feed_forward(layer, source)
        both = b.width(2 * layer.feed_forward_length, source)
        return b.width(b.architecture.embedding_length, b.width(layer.feed_forward_length, both))
