"""Buffers for one step of computing, and for the logits it leaves behind.

Where a family says how (``families/``), the graph of a step is rebuilt and ggml's allocator
replayed on it: on the CPU backend the answer is llama.cpp's own, byte for byte. Basis ``replay``.
For other architectures there is an estimate of a plain decoder, basis ``estimate``; where an engine
was asked instead, basis ``engine``.

Accelerators hold other buffers than the CPU: some operations need padding or scratch memory, inputs
lie in host memory, and layers that stay on the host have their weights copied over. That is not
measured here; see ``ACCELERATOR_DOUBT``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal

from gemmahub.memory.allocator import buffer_bytes
from gemmahub.memory.builds import LIBRARY_BUILD
from gemmahub.memory.families import embeds, find
from gemmahub.memory.graph_builder import GraphSettings
from gemmahub.memory.kv_cache import cache_cells
from gemmahub.memory.repeats import course

if TYPE_CHECKING:
    from gemmahub.memory.architecture import MemoryArchitecture
    from gemmahub.memory.builds import EngineBuild
    from gemmahub.memory.settings import MemorySettings
    from gemmahub.memory.step_graph import Schedule

Basis = Literal["replay", "estimate", "engine"]

ACCELERATOR_DOUBT: Final = 0.15
"""How far a buffer on an accelerator may lie from the CPU's. An ESTIMATE, not measured."""

ESTIMATE_DOUBT: Final = 0.5
"""How far the estimate for other architectures may be off. An ESTIMATE, not measured."""


@dataclass(frozen=True, slots=True)
class ComputeBuffers:
    """Bytes on the CPU backend; ``error`` is the relative error to expect.

    ``input_bytes`` is the part of ``compute_bytes`` that holds the inputs of a step: masks, tokens,
    positions, indexes.
    """

    compute_bytes: int
    input_bytes: int
    output_bytes: int
    basis: Basis
    error: float


def compute_buffers(
    architecture: MemoryArchitecture,
    settings: MemorySettings,
    build: EngineBuild = LIBRARY_BUILD,
) -> ComputeBuffers:
    """The buffers of a step of ``tokens_a_step`` tokens, as a build makes them.

    The output buffer has a row of F32 logits for each parallel sequence
    (``llama_context::output_reserve``, ``src/llama-context.cpp``); it grows when more rows are
    asked for at once. A model that embeds asks for one for each token of a text, and computes none.
    """
    s = settings
    units = step_units(architecture, s)
    outputs = s.tokens_a_step if embeds(architecture.name) else s.parallel
    output = 4 * architecture.vocabulary * outputs
    inputs = _input_bytes(architecture, s, units)
    replayed = _replayed(architecture, GraphSettings.of(s, build), units)
    if replayed is not None:
        return ComputeBuffers(replayed, inputs, output, "replay", build.error)
    found = _estimated(architecture, s, units)
    return ComputeBuffers(found, inputs, output, "estimate", ESTIMATE_DOUBT)


def step_units(
    architecture: MemoryArchitecture, settings: MemorySettings
) -> tuple[int, int, int, int, int]:
    """The number of each ``Unit``; tokens are shared evenly by the sequences, rounded up.

    ``llama_context::graph_reserve`` (``src/llama-context.cpp``). A mask has a row for each token
    and a column for each cell of that token's own stream.
    """
    cells = cache_cells(architecture, settings)
    parallel = settings.parallel
    tokens = -(-settings.tokens_a_step // parallel) * parallel
    rows = settings.output_rows
    return 1, tokens, rows, tokens * cells.global_, tokens * cells.window


@lru_cache(maxsize=256)
def schedule_of(architecture: MemoryArchitecture, settings: GraphSettings) -> Schedule:
    """The schedule of a whole step, of which only the layers that differ are built.

    For an architecture whose family builds a graph.
    """
    family = find(architecture.name)
    assert family is not None
    assert family.graph is not None
    found = course(architecture, family.special_layers)
    return family.graph(architecture, settings, found.built).schedule(found.order)


@lru_cache(maxsize=4096)
def _replayed(
    architecture: MemoryArchitecture, settings: GraphSettings, units: tuple[int, ...]
) -> int | None:
    """Bytes of the buffer, None for an architecture whose graph is not known."""
    family = find(architecture.name)
    if family is None or family.graph is None:
        return None
    return buffer_bytes(schedule_of(architecture, settings), units)


def _input_bytes(
    architecture: MemoryArchitecture, settings: MemorySettings, units: tuple[int, ...]
) -> int:
    """Masks (F16 with flash attention, else F32), embeddings, tokens, positions and indexes."""
    _, tokens, rows, global_, window = units
    mask = 2 if settings.flash_attention else 4
    indexes = 8 if settings.flash_attention else 8 * architecture.max_value_width
    caches = 2 if architecture.has_window_cache else 1
    a_token = 4 + 4 + 4 * architecture.embedding_length + caches * (8 + indexes)
    return mask * (global_ + window) + tokens * a_token + 4 * rows


def _estimated(
    architecture: MemoryArchitecture, settings: MemorySettings, units: tuple[int, ...]
) -> int:
    """The larger of the widest layer, with all that lives beside it, and the logits."""
    a = architecture
    _, tokens, rows, global_, window = units
    widest = max(
        4 * a.embedding_length + 2 * layer.query_width + 3 * layer.feed_forward_length
        for layer in a.shapes
    )
    scores = 0 if settings.flash_attention else max(layer.heads for layer in a.shapes) * 4
    inputs = _input_bytes(a, settings, units)
    layers = inputs + 4 * tokens * widest + scores * max(global_, window)
    logits = inputs + 4 * rows * a.vocabulary + 8 * tokens * a.embedding_length
    return max(layers, logits)
