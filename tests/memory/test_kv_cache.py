"""The KV cache: the design's examples, and how it grows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.errors import UsageError
from gemmahub.memory import (
    LayerShape,
    MemoryArchitecture,
    MemorySettings,
    compute_buffers,
    kv_cache,
)

MIB = 1 << 20


def model(name: str) -> MemoryArchitecture:
    found = load_catalog().model(name)
    assert found is not None
    return memory_architecture(found.architecture)


MODELS = tuple(
    model(name)
    for name in ("gemma-3-270m-it", "gemma-3-27b-it", "gemma-3n-e4b-it", "gemma-4-e2b-it")
)


def test_engine_defaults_waste_what_gemma_needs() -> None:
    """Gemma 3 27B at 32k: 15.9 GB of cache and 2.2 GB of buffers, or 1.7 GB and 0.2 GB."""
    gemma = model("gemma-3-27b-it")
    defaults = MemorySettings(
        32768, flash_attention=False, full_swa_cache=True, outputs_max=0, ubatch=512
    )
    chosen = MemorySettings(32768, "q8_0", "q8_0")
    assert kv_cache(gemma, defaults).bytes == 15872 * MIB
    assert kv_cache(gemma, chosen).bytes == pytest.approx(1691.5 * MIB, rel=1e-6)
    assert compute_buffers(gemma, defaults).compute_bytes > 2.2e9
    assert compute_buffers(gemma, chosen).compute_bytes < 0.22e9


def test_global_and_window_parts() -> None:
    cache = kv_cache(model("gemma-3-27b-it"), MemorySettings(32768))
    assert (cache.global_bytes, cache.window_bytes) == (2560 * MIB, 624 * MIB)
    assert (cache.cells.global_, cache.cells.window, cache.cells.streams) == (32768, 1536, 1)


def test_layers_that_share_a_cache_take_none() -> None:
    gemma = model("gemma-4-e2b-it")
    assert gemma.cache_widths["none"][0] == 20
    assert kv_cache(gemma, MemorySettings(8192)).bytes == 60 * MIB


def test_values_are_padded_without_flash_attention() -> None:
    """Gemma 4 31B, 32k: 1,280 MiB more."""
    gemma = model("gemma-4-31b-it")
    on = kv_cache(gemma, MemorySettings(32768)).bytes
    off = kv_cache(gemma, MemorySettings(32768, flash_attention=False)).bytes
    assert off - on == 1280 * MIB


def test_a_model_without_window_has_one_cache() -> None:
    layer = LayerShape("global", True, 32, 8, 128, 128, 14336)
    llama = MemoryArchitecture("llama", (layer,) * 32, 4096, 128256, 131072)
    cache = kv_cache(llama, MemorySettings(8192))
    assert cache.bytes == cache.global_bytes == 1024 * MIB
    assert compute_buffers(llama, MemorySettings(8192)).basis == "replay"
    unknown = replace(llama, name="llama5")
    assert compute_buffers(unknown, MemorySettings(8192)).basis == "estimate"


@pytest.mark.parametrize(
    "changes",
    [
        {"context": 0},
        {"cache_type_k": "q6_k"},
        {"cache_type_v": "q8_0", "flash_attention": False},
        {"parallel": 4, "outputs_max": 1},  # llama.cpp would abort the process
    ],
)
def test_settings_that_llama_cpp_refuses(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(MemorySettings(4096), **changes)  # type: ignore[arg-type]


@given(
    gemma=st.sampled_from(MODELS),
    context=st.integers(1, 200_000),
    more=st.integers(0, 50_000),
    ubatch=st.integers(1, 2048),
    parallel=st.integers(1, 8),
    unified=st.booleans(),
    full=st.booleans(),
    flash=st.booleans(),
)
def test_cache_grows_with_context_and_with_ubatch(
    gemma: MemoryArchitecture,
    context: int,
    more: int,
    ubatch: int,
    parallel: int,
    unified: bool,
    full: bool,
    flash: bool,
) -> None:
    settings = MemorySettings(
        context,
        flash_attention=flash,
        full_swa_cache=full,
        ubatch=ubatch,
        parallel=parallel,
        unified=unified,
        outputs_max=parallel,
    )
    small = kv_cache(gemma, settings)
    large = kv_cache(gemma, replace(settings, context=context + more))
    wide = kv_cache(gemma, replace(settings, ubatch=ubatch + more))
    assert small.bytes <= large.bytes
    assert small.bytes <= wide.bytes
    assert small.cells.global_ % 256 == small.cells.window % 256 == 0
    assert small.cells.window <= small.cells.global_


@given(gemma=st.sampled_from(MODELS), context=st.integers(256, 130_000))
def test_smaller_types_make_smaller_caches(gemma: MemoryArchitecture, context: int) -> None:
    sizes = [
        kv_cache(gemma, MemorySettings(context, name, name)).bytes
        for name in ("f32", "f16", "q8_0", "q5_1", "q4_0")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == len(sizes)
