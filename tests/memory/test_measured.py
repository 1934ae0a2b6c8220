"""Formulas against what each known build of llama.cpp allocates for all Gemmas, to the byte."""

from __future__ import annotations

from typing import Any

import pytest

from gemmahub.memory import (
    MemoryArchitecture,
    MemorySettings,
    compute_buffers,
    known_build,
    kv_cache,
    unknown_build,
)
from gemmahub.memory.builds import BETWEEN_BUILDS, LIBRARY_BUILD, SERVER_BUILD

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
    assert all(len(rows) >= 300 for rows in table.values())


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
        found = compute_buffers(architectures[size], row.settings, row.build)
        assert found.basis == "replay"
        assert found.compute_bytes == row.compute_bytes, row.settings
        assert found.output_bytes == row.output_bytes, row.settings
        assert 0 < found.input_bytes <= found.compute_bytes, row.settings


def usual(settings: MemorySettings) -> bool:
    rows = settings.outputs_max == settings.parallel
    return settings.flash_attention and rows and settings.ubatch >= 128


def test_what_builds_differ_by_is_as_told(table: Table) -> None:
    apart = []
    for rows in table.values():
        by_build: dict[object, dict[object, int]] = {LIBRARY_BUILD: {}, SERVER_BUILD: {}}
        for row in rows:
            if usual(row.settings):
                by_build[row.build][row.settings] = row.compute_bytes
        library, server = by_build.values()
        apart += [server[asked] / library[asked] - 1 for asked in server]
    assert len(apart) > 400
    assert -BETWEEN_BUILDS < min(apart) < -0.05
    assert 0.11 < max(apart) < BETWEEN_BUILDS


@pytest.mark.parametrize("commit", ["86a2835", "86a283532072722c5f3363d37d59a874d09fa99b"])
def test_a_build_is_known_by_its_commit(commit: str) -> None:
    assert known_build(commit) is SERVER_BUILD
    assert known_build("0c1e57098") is LIBRARY_BUILD


@pytest.mark.parametrize("commit", ["", "86a283", "1234567", "86a2836", "unknown"])
def test_other_builds_are_not(commit: str) -> None:
    assert known_build(commit) is None


def test_an_unknown_build_has_the_newest_rules_and_an_error(architectures: Architectures) -> None:
    build = unknown_build("llama-server b9123 (1234567)")
    assert build.name == "llama.cpp 86a2835, this is llama-server b9123 (1234567)"
    settings = MemorySettings(4096)
    for architecture in architectures.values():
        found = compute_buffers(architecture, settings, build)
        known = compute_buffers(architecture, settings, SERVER_BUILD)
        assert found.compute_bytes == known.compute_bytes
        assert found.error == BETWEEN_BUILDS
