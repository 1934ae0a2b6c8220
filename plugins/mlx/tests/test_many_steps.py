"""The plan looks at few steps of a long context; it finds what a look at each of them finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from gemmahub.memory import LayerShape, MemoryArchitecture
from gemmahub_mlx import memory
from gemmahub_mlx.header import ModelHeader
from gemmahub_mlx.memory import CacheFormat, Run, plan

if TYPE_CHECKING:
    import pytest

LAYERS = st.lists(
    st.builds(
        LayerShape,
        attention=st.sampled_from(["global", "window"]),
        owns_cache=st.booleans(),
        heads=st.integers(1, 16),
        kv_heads=st.integers(1, 4),
        key_length=st.sampled_from([64, 256]),
        value_length=st.sampled_from([64, 256]),
        feed_forward_length=st.integers(0, 4096),
    ),
    min_size=1,
    max_size=6,
)


def header_of(layers: list[LayerShape], window: int) -> ModelHeader:
    architecture = MemoryArchitecture("gemma4", tuple(layers), 128, 1000, 0, window, 16)
    return ModelHeader({}, architecture, 1 << 20, "bf16", 2, 1000)


@given(
    LAYERS,
    st.integers(1, 1500),
    st.integers(2, 6000),
    st.sampled_from([1, 7, 100, 128, 255, 256, 512, 1000]),
    st.booleans(),
    st.booleans(),
)
def test_the_plan_is_the_most_that_any_step_takes(
    layers: list[LayerShape], window: int, context: int, step: int, held: bool, metal: bool
) -> None:
    context = min(context, 1000 * step)  # a look at each of 6,000 steps takes a second
    header = header_of(layers, window)
    run = Run(step, CacheFormat(2), held=held, metal=metal)
    found = plan(header, context, run)
    cells, peaks = memory._Cells(0, 0, 0), [0]
    for count in memory._steps(context, step):
        after = cells.after(count, window)
        peaks.append(memory._step_peak(header, cells, after, count, run))
        cells = after
    assert found.compute_bytes == max(0, max(peaks) - found.kv_cache_bytes)


def test_the_longest_context_of_many_layers_looks_at_few_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layers = [LayerShape("global", True, 8, 1, 64, 64, width) for width in range(512)]
    looks: list[int] = []
    look = memory._step_peak

    def counted(*about: Any) -> int:
        looks.append(1)
        return look(*about)

    monkeypatch.setattr(memory, "_step_peak", counted)
    found = plan(header_of(layers, 512), 1 << 24, Run(512, CacheFormat(2)))
    assert found.kv_cache_bytes + found.compute_bytes > 1 << 40
    assert len(looks) < 20
