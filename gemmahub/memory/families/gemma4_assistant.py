"""The head that drafts for Gemma 4: its rules, and the graph that llama.cpp builds for it.

It has no cache: it reads those of the last layers of its model, and the model's table of words.
Source: ``src/models/gemma4-assistant.cpp`` of ggml-org/llama.cpp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.memory.family import FamilyRules
from gemmahub.memory.graph_builder import Builder, heads
from gemmahub.memory.step_graph import Graph, Unit, combine, given, norm, reuse, tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.graph_builder import GraphSettings


def _graph(
    architecture: MemoryArchitecture, settings: GraphSettings, numbers: Sequence[int]
) -> Graph:
    """``llama_model_gemma4_assistant::graph``, of the layers with these numbers."""
    b = Builder(architecture, settings, numbers)
    wide = architecture.embedding_length_out
    words = reuse(b.width(wide, given(Unit.TOKEN, 4)))
    both = b.width(2 * wide, words, given(Unit.TOKEN, 4 * wide))
    current = b.width(architecture.embedding_length, both)
    last = len(architecture.layers) - 1
    for number, layer in b.layers():
        query = reuse(heads(b.width(layer.query_width, norm(current))), b.positions)
        attended = b.attention(layer, query, None, None)
        if number == last:
            attended, current = b.rows(attended), b.rows(current)
        middle = combine(norm(attended), current)
        mixed = b.feed_forward(layer, norm(middle))
        current = reuse(combine(norm(mixed), middle))
    final = norm(current)
    b.graph.expand(tensor(Unit.ROW, 4 * architecture.vocabulary, final))
    carried = b.width(wide, final)  # from one drafted token to the next
    carried.output = True
    b.graph.expand(carried)
    return b.graph


FAMILY = FamilyRules(
    title="Gemma 4's draft head",
    period=6,
    pattern="required",
    own_caches=0,
    drafts_for="gemma4",
    graph=_graph,
)
