"""A new family is one data file and one module: all else follows, without other product code."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gemmahub.catalog
from gemmahub.catalog.header import write_catalog_header
from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.table import CatalogError
from gemmahub.engines import llama_files
from gemmahub.memory import MemoryArchitecture, UnknownArchitecture, families, from_config
from gemmahub.memory.projector import image_buffer_bytes
from tests.catalog.file_sizes import tensor_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gemmahub.catalog.records import CatalogVariant, Model

FOLDER = Path(__file__).parent / "orchid"
REFERENCE = "orchid-9-small:q8_0"
CONTEXT = 8192

Command = Any


def forget() -> None:
    for cached in (families.names, families._load, load_catalog):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def orchid9(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The family's two files lie in a folder beside those that are shipped."""
    for package in (families, gemmahub.catalog):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(FOLDER)])
    # No llama.cpp knows it: one that does is another build, of which nothing is known.
    monkeypatch.setattr(llama_files, "ARCHITECTURES", llama_files.ARCHITECTURES | {"orchid9"})
    forget()
    yield
    forget()


@pytest.fixture
def entry() -> tuple[Model, CatalogVariant]:
    catalog = load_catalog()
    model, variant = catalog.model("orchid-9-small"), catalog.variant("orchid-9-small", "q8_0")
    assert model is not None
    assert variant is not None
    return model, variant


@pytest.fixture
def file(tmp_path: Path, entry: tuple[Model, CatalogVariant]) -> Path:
    """A GGUF file of that model, without weights."""
    path = tmp_path / entry[1].file
    write_catalog_header(*entry, path)
    return path


def of(command: Command, *arguments: object) -> dict[str, Any]:
    result = command(*arguments, "--json")
    assert result.code == 0, result
    found: dict[str, Any] = json.loads(result.out)
    return found


def expected_cache_bytes(context: int) -> tuple[int, int]:
    """Of two global layers and of four with a window, in f16: llama.cpp's rule by hand."""
    a_cell = 2 * 2 * 64 * 2  # keys and values, two heads of 64 numbers, two bytes
    return 2 * context * a_cell, 4 * (1024 + 512) * a_cell


def test_the_catalogue_takes_it_and_checks_it(entry: tuple[Model, CatalogVariant]) -> None:
    architecture = entry[0].architecture
    shapes = dict(tensor_shapes(architecture))
    assert sum(prod(shape) for shape in shapes.values()) == architecture.parameters
    assert shapes["blk.8.petal.weight"] == (512,)
    assert "blk.5.attn_k.weight" in shapes
    assert "blk.6.attn_k.weight" not in shapes


def test_the_catalogue_refuses_a_family_without_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "__path__", families.__path__[:-1])
    forget()
    with pytest.raises(
        CatalogError, match="architecture = 'orchid9' is not one of gemma, gemma-embedding, gemma2"
    ):
        load_catalog()


def test_inspect_says_what_it_is(command: Command, file: Path) -> None:
    found = of(command, "inspect", file)
    assert found["architecture"] == {
        "name": "orchid9", "layers": 9, "embedding_length": 512, "context_length": 65536,
        "sliding_window": 1024,
    }  # fmt: skip
    assert found["precision"]["label"] == "Q8_0"


def test_a_file_and_the_catalogue_get_the_same_plan(command: Command, file: Path) -> None:
    plans = [of(command, "plan", name, "--context", CONTEXT) for name in (REFERENCE, file)]
    for found in plans:
        global_, window = expected_cache_bytes(CONTEXT)
        assert found["basis"] == "formula"
        assert found["memory"]["kv_cache_global_bytes"] == global_
        assert found["memory"]["kv_cache_window_bytes"] == window
        assert found["largest_context"] == 65536
    assert plans[0]["memory"]["total_bytes"] == plans[1]["memory"]["total_bytes"]


def test_it_is_recommended(command: Command) -> None:
    found = of(command, "recommend", "--model", "orchid-9-small", "--memory", "4GiB", "--limit", 9)
    references = [item["reference"] for item in found["recommendations"]]
    assert sorted(references) == ["orchid-9-small:bf16", REFERENCE]


def test_its_configuration_has_its_own_defaults() -> None:
    found = from_config({"model_type": "orchid9_text"})
    assert isinstance(found, MemoryArchitecture)
    assert [layer.attention for layer in found.layers] == ["window", "window", "global"] * 3
    assert [layer.owns_cache for layer in found.layers] == [True] * 6 + [False] * 3
    assert found.vocabulary == 50_000
    refused = from_config({"model_type": "tulip"})
    assert isinstance(refused, UnknownArchitecture)
    assert "Orchid 9" in refused.reason


def test_its_image_projector_is_known() -> None:
    metadata = {
        "clip.projector_type": "orchid9v",
        "clip.vision.embedding_length": 256,
        "clip.vision.image_size": 448,
    }
    assert image_buffer_bytes(metadata, ()) == 12_345_678


@pytest.mark.parametrize("name", ["..stores", "orchid9.toml", "__init__", "os", "", "gemma3.x"])
def test_no_name_of_a_file_imports_anything_else(name: str) -> None:
    assert families.find(name) is None
