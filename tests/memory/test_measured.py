"""Formulas against what llama.cpp 0.3.36 allocates for all Gemmas, byte for byte."""

from __future__ import annotations

from typing import Any

import pytest

from gemmahub.memory import MemoryArchitecture, compute_buffers, kv_cache

SIZES = (
    "gemma3-270m",
    "gemma3-1b",
    "gemma3-4b",
    "gemma3-12b",
    "gemma3-27b",
    "gemma3n-e2b",
    "gemma3n-e4b",
    "gemma4-e2b",
    "gemma4-e4b",
    "gemma4-12b",
    "gemma4-26b-a4b",
    "gemma4-31b",
)

Table = dict[str, list[Any]]
Architectures = dict[str, MemoryArchitecture]


def test_every_size_of_the_catalogue_is_measured(
    table: Table, architectures: Architectures
) -> None:
    assert set(SIZES) == set(table) == set(architectures)
    assert all(len(rows) >= 150 for rows in table.values())


@pytest.mark.parametrize("size", SIZES)
def test_kv_cache_is_exact(size: str, table: Table, architectures: Architectures) -> None:
    for row in table[size]:
        found = kv_cache(architectures[size], row.settings)
        assert found.bytes == row.kv_bytes, row.settings
        assert (found.cells.global_, found.cells.window) == row.cells, row.settings


@pytest.mark.parametrize("size", SIZES)
def test_compute_and_output_buffers_are_exact(
    size: str, table: Table, architectures: Architectures
) -> None:
    for row in table[size]:
        found = compute_buffers(architectures[size], row.settings)
        assert found.basis == "replay"
        assert found.compute_bytes == row.compute_bytes, row.settings
        assert found.output_bytes == row.output_bytes, row.settings
        assert 0 < found.input_bytes <= found.compute_bytes, row.settings
