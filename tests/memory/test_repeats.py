"""Layers left out of a graph change nothing: same segments in the same order, same buffer."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.memory import LayerShape, MemoryArchitecture, MemorySettings
from gemmahub.memory.allocator import buffer_bytes
from gemmahub.memory.builds import LIBRARY_BUILD, SERVER_BUILD
from gemmahub.memory.compute import compute_buffers, schedule_of, step_units
from gemmahub.memory.families import find
from gemmahub.memory.graph_builder import GraphSettings
from gemmahub.memory.repeats import course
from gemmahub.memory.step_graph import Graph, Schedule

if TYPE_CHECKING:
    from gemmahub.memory.step_graph import StepSegment

MODELS = tuple(
    {
        m.architecture.parameters: memory_architecture(m.architecture)
        for m in load_catalog().models
    }.values()
)
GRAPH_SETTINGS = tuple(
    GraphSettings(flash, keys, values, build)
    for build in (LIBRARY_BUILD, SERVER_BUILD)
    for flash, keys, values in product((True, False), repeat=3)
)
TYPES = ("f16", "bf16", "q8_0", "q4_0")


def whole(architecture: MemoryArchitecture, settings: GraphSettings) -> Graph:
    """The graph of all layers."""
    layers = range(len(architecture.layers))
    family = find(architecture.name)
    assert family is not None
    assert family.graph is not None
    return family.graph(architecture, settings, layers)


@cache
def in_one_piece(architecture: MemoryArchitecture, settings: GraphSettings) -> Schedule:
    """All layers in a single segment: nothing is left out and nothing remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Graph, "cut", lambda _graph: None)
        found = whole(architecture, settings).schedule()
    assert len(found.order) == 1
    return found


def segments(schedule: Schedule) -> list[StepSegment]:
    return [schedule.segments[number] for number in schedule.order]


def test_catalogued_models_are_twelve() -> None:
    assert len(MODELS) == 12


@pytest.mark.parametrize("settings", GRAPH_SETTINGS, ids=str)
def test_no_segment_of_a_catalogued_model_is_lost(settings: GraphSettings) -> None:
    for model in MODELS:
        full = whole(model, settings).schedule()
        assert len(full.order) == len(model.layers) + 1
        assert segments(schedule_of(model, settings)) == segments(full), model.name


def test_layers_are_left_out() -> None:
    for model in MODELS:
        found = course(model)
        assert len(found.order) == len(model.layers)
        assert found.built[0] == 0
        assert found.built[-1] == len(model.layers) - 1
        assert [model.layers[found.built[i]] for i in found.order] == list(model.layers)
    assert max(len(course(model).built) for model in MODELS if model.name == "gemma3") <= 18


@st.composite
def architectures(draw: st.DrawFn) -> MemoryArchitecture:
    """Models that do not exist: any pattern of layers, now and then with one that breaks it."""
    name = draw(st.sampled_from(["gemma3", "gemma3n", "gemma4"]))
    shape = st.builds(
        LayerShape,
        attention=st.sampled_from(["global", "window"]),
        owns_cache=st.just(value=True),
        heads=st.just(8),
        kv_heads=st.sampled_from([1, 4]),
        key_length=st.sampled_from([80, 128]),
        value_length=st.just(128),
        feed_forward_length=st.sampled_from([512, 1024]),
        has_value_weights=st.booleans() if name == "gemma4" else st.just(value=True),
    )
    period = draw(st.lists(shape, min_size=1, max_size=6))
    count = draw(st.integers(1, 40))
    layers = [period[i % len(period)] for i in range(count)]
    if draw(st.booleans()):
        layers[draw(st.integers(0, count - 1))] = draw(shape)
    if name != "gemma3":
        shared = draw(st.integers(0, count))
        layers = [replace(one, owns_cache=i < count - shared) for i, one in enumerate(layers)]
    return MemoryArchitecture(
        name,
        tuple(layers),
        embedding_length=256,
        vocabulary=1000,
        context_length=8192,
        sliding_window=512,
        per_layer_embedding_length=0 if name == "gemma3" else draw(st.sampled_from([0, 64])),
        experts=draw(st.sampled_from([0, 8])) if name == "gemma4" else 0,
        experts_used=3,
        expert_feed_forward_length=64,
    )


@given(model=architectures(), settings=st.sampled_from(GRAPH_SETTINGS))
@hypothesis_settings(max_examples=100, deadline=None)
def test_no_segment_of_any_model_is_lost(
    model: MemoryArchitecture, settings: GraphSettings
) -> None:
    full = whole(model, settings).schedule()
    assert segments(schedule_of(model, settings)) == segments(full)


@given(
    model=st.sampled_from(MODELS),
    context=st.integers(1, 200_000),
    ubatch=st.integers(1, 2048),
    parallel=st.sampled_from([1, 1, 2, 5]),
    unified=st.booleans(),
    outputs=st.sampled_from([0, 5, 64]),
    full=st.booleans(),
    types=st.tuples(st.sampled_from(TYPES), st.sampled_from(TYPES)),
    flash=st.booleans(),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_the_buffer_is_that_of_the_whole_graph(
    model: MemoryArchitecture,
    context: int,
    ubatch: int,
    parallel: int,
    unified: bool,
    outputs: int,
    full: bool,
    types: tuple[str, str],
    flash: bool,
) -> None:
    settings = MemorySettings(
        context,
        types[0],
        types[1] if flash else "f16",
        flash_attention=flash,
        full_swa_cache=full,
        ubatch=ubatch,
        parallel=parallel,
        unified=unified,
        outputs_max=outputs,
    )
    for build in (LIBRARY_BUILD, SERVER_BUILD):
        graph = GraphSettings.of(settings, build)
        expected = buffer_bytes(in_one_piece(model, graph), step_units(model, settings))
        assert compute_buffers(model, settings, build).compute_bytes == expected
