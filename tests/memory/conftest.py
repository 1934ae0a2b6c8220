"""The measured table (``benchmarks/data``) as settings and answers, and the catalogue's models."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.memory import MemoryArchitecture, MemorySettings
from gemmahub.memory.builds import LIBRARY_BUILD, SERVER_BUILD, EngineBuild

if TYPE_CHECKING:
    from gemmahub.catalog.records import Architecture

DATA = Path(__file__).parents[2] / "benchmarks" / "data"
TABLES = {
    LIBRARY_BUILD: DATA / "memory-llamacpp-0.3.36.json",
    SERVER_BUILD: DATA / "memory-llamacpp-86a2835.json",
}
ASKED = 10


@dataclass(frozen=True)
class Row:
    """What was asked for and what llama.cpp answered."""

    build: EngineBuild
    settings: MemorySettings
    cells: tuple[int, int]
    kv_bytes: int
    compute_bytes: int
    output_bytes: int


@pytest.fixture(scope="session")
def table() -> dict[str, list[Row]]:
    """All rows of all builds by size (``gemma3-4b``)."""
    found: dict[str, list[Row]] = {}
    for build, path in TABLES.items():
        data = json.loads(path.read_text("utf-8"))
        for part in ("rows", "earlier"):
            for size, rows in data[part].items():
                for values in rows:
                    asked = dict(zip(data["columns"][:ASKED], values, strict=False))
                    cells, answers = values[ASKED : ASKED + 2], values[ASKED + 2 :]
                    row = Row(build, MemorySettings(**asked), (cells[0], cells[1]), *answers)
                    found.setdefault(size, []).append(row)
    return found


@pytest.fixture(scope="session")
def catalogued() -> dict[str, Architecture]:
    """All sizes of the catalogue."""
    models = load_catalog().models
    return {f"{m.architecture.name}-{m.architecture.size}": m.architecture for m in models}


@pytest.fixture(scope="session")
def architectures(catalogued: dict[str, Architecture]) -> dict[str, MemoryArchitecture]:
    """The memory records of all sizes of the catalogue."""
    return {size: memory_architecture(found) for size, found in catalogued.items()}
