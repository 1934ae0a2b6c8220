"""Formulas against what llama.cpp allocates for other families, and for Gemma 1 and 2."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import pytest

from gemmahub.formats.ggml_types import GGML_TYPES_BY_NAME
from gemmahub.formats.tensor import Tensor
from gemmahub.memory import MemoryArchitecture, MemorySettings, compute_buffers, kv_cache
from gemmahub.memory.builds import LIBRARY_BUILD, SERVER_BUILD
from gemmahub.memory.families import drafts_for, every
from gemmahub.memory.gguf_architecture import from_gguf
from gemmahub.testing.decoder_writer import DECODERS, decoder_metadata, decoder_tensors

DATA = Path(__file__).parents[2] / "benchmarks" / "data"
TABLES = {
    build: json.loads((DATA / f"decoders-llamacpp-{name}.json").read_text("utf-8"))
    for build, name in ((LIBRARY_BUILD, "0.3.36"), (SERVER_BUILD, "86a2835"))
}
WITH_CACHE = [name for name in DECODERS if name != "embeddinggemma-300m"]
PRINTED_WITHIN = 2**20 // 200 + 4096  # of the output buffer: MiB with two decimals
ODD = {"phi-3-mini", "phi-4"}  # with logits of all tokens and a quantised cache


def architecture(name: str, **more: Any) -> MemoryArchitecture:
    keys = {f"{DECODERS[name].architecture}.{key}": value for key, value in more.items()}
    tensors = [
        Tensor(tensor, kind, shape, prod(shape), GGML_TYPES_BY_NAME[kind].bytes_for(shape))
        for tensor, shape, kind in decoder_tensors(DECODERS[name])
    ]
    found = from_gguf(decoder_metadata(DECODERS[name]) | keys, tensors)
    assert isinstance(found, MemoryArchitecture)
    return found


def test_each_family_is_measured() -> None:
    """A family in the list of those that memory is calculated for has its rows."""
    measured = {decoder.architecture for decoder in DECODERS.values()}
    answering = {name for name in every() if not drafts_for(name)}  # heads: test_drafter.py
    assert measured | {"gemma3", "gemma3n", "gemma4"} == answering
    for table in TABLES.values():
        assert list(table["rows"]) == WITH_CACHE
        assert all(len(rows) >= 50 for rows in table["rows"].values())


@pytest.mark.parametrize("build", TABLES, ids=lambda build: build.name)
@pytest.mark.parametrize("name", WITH_CACHE)
def test_cache_and_buffers_are_the_engines(name: str, build: Any) -> None:
    found, table = architecture(name), TABLES[build]
    others = []
    for values in table["rows"][name]:
        row = dict(zip(table["columns"], values, strict=True))
        settings = MemorySettings(**{key: row[key] for key in table["columns"][:10]})
        cache = kv_cache(found, settings)
        assert cache.bytes == row["kv_bytes"], settings
        cells = cache.cells.global_, cache.cells.window
        assert cells == (row["cells_global"], row["cells_window"]), settings
        compute = compute_buffers(found, settings, build)
        assert compute.basis == "replay"
        assert abs(compute.output_bytes - row["output_bytes"]) <= PRINTED_WITHIN
        if compute.compute_bytes != row["compute_bytes"]:
            others.append(compute.compute_bytes / row["compute_bytes"] - 1)
    assert len(others) <= (1 if name in ODD else 0)
    assert all(abs(error) < 0.12 for error in others)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen2.5-7b", "qwen3-8b", "phi-3-mini"])
def test_a_window_that_the_engine_does_not_use_is_none_here(name: str) -> None:
    pattern = {"attention.sliding_window_pattern": (True,) * DECODERS[name].layers}
    found = architecture(name, **{"attention.sliding_window": 2047}, **pattern)
    assert not found.has_window_cache
    assert kv_cache(found, MemorySettings(8192)) == kv_cache(
        architecture(name), MemorySettings(8192)
    )


def test_an_embedding_model_has_no_cache() -> None:
    assert kv_cache(architecture("embeddinggemma-300m"), MemorySettings(2048)).bytes == 0
