"""Catalogue and stores joined: one row a model, its places, and what the catalogue knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.engines.contract import Artifact, BrokenEntry, Inventory
from gemmahub.errors import NotFound
from gemmahub.registry.artifacts import Inspector
from gemmahub.registry.registry import Registry
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = load_catalog()


def registry(*inventories: Inventory) -> Registry:
    return Registry(CATALOG, lambda: inventories, Inspector(None))


def header_only(folder: Path, reference: str, name: str | None = None) -> Path:
    """A file without weights, with the tensors of a catalogue variant."""
    model_name, _, variant_name = reference.partition(":")
    model, variant = CATALOG.model(model_name), CATALOG.variant(model_name, variant_name)
    assert model is not None
    assert variant is not None
    assert variant.types is not None
    tensors = variant_tensors(model.architecture, variant.types)
    metadata = {"general.architecture": model.architecture.name, "general.file_type": 2}
    folder.mkdir(exist_ok=True)
    path = folder / (name or variant.file)
    write_gguf(path, metadata, [(t.name, t.shape, t.type) for t in tensors])
    return path


def artifact(path: Path, **facts: object) -> Artifact:
    return Artifact("gguf", path, store=path.parent.name, **facts)  # type: ignore[arg-type]


def test_one_model_in_two_stores_is_one_row(tmp_path: Path) -> None:
    reference = "gemma-3-4b-it:q4_0-qat"
    sha256 = CATALOG.variant("gemma-3-4b-it", "q4_0-qat").sha256  # type: ignore[union-attr]
    places = [header_only(tmp_path / store, reference) for store in ("one", "two")]
    found = registry(*(Inventory((artifact(path, sha256=sha256),)) for path in places)).installed()
    (variant,) = found.variants
    assert variant.reference == reference
    assert [a.store for a in variant.artifacts] == ["one", "two"]
    assert variant.precision.training.value == "QAT"
    assert variant.precision.training.basis.startswith("known sha256 76aed0a8285b")


def test_googles_27b_measured_from_a_header(tmp_path: Path) -> None:
    path = header_only(tmp_path / "x", "gemma-3-27b-it:q4_0-qat", "some-file.gguf")
    variant = registry().resolve(str(path))
    assert variant.reference == str(path)
    assert variant.parameters == 27_009_002_240
    assert variant.precision.bits_per_weight == 5.10
    assert "embedding" in (variant.precision.mismatch or "")
    assert variant.precision.training.value == "unknown"


def test_the_repository_is_evidence_of_qat(tmp_path: Path) -> None:
    path = header_only(tmp_path / "x", "gemma-3-1b-it:q4_0-qat")
    known = artifact(path, repository="someone/gemma-3-1b-it-qat-GGUF")
    (variant,) = registry(Inventory((known,))).installed().variants
    assert variant.precision.training.basis == "repository name: someone/gemma-3-1b-it-qat-GGUF"


def test_broken_entries_do_not_hide_the_others(tmp_path: Path) -> None:
    good = header_only(tmp_path / "x", "gemma-3-1b-it:q4_0-qat")
    bad = tmp_path / "x" / "bad.gguf"
    bad.write_bytes(b"GGUF")
    told = BrokenEntry(tmp_path, "y", "why")
    found = registry(Inventory((artifact(bad), artifact(good)), (told,))).installed()
    assert len(found.variants) == 1
    assert [entry.path for entry in found.broken] == [tmp_path, bad]


def test_a_model_without_variant_prefers_what_is_here(tmp_path: Path) -> None:
    reference = "gemma-4-12b-it:q8_0"
    sha256 = CATALOG.variant("gemma-4-12b-it", "q8_0").sha256  # type: ignore[union-attr]
    path = header_only(tmp_path / "x", reference)
    here = registry(Inventory((artifact(path, sha256=sha256),)))
    assert here.resolve("gemma-4-12b-it").reference == reference
    assert registry().resolve("gemma-4-12b-it").reference == "gemma-4-12b-it:q4_0-qat"


@pytest.mark.parametrize(
    "text",
    [
        "google/gemma-3-4b-it-qat-q4_0-gguf",
        "hf.co/google/gemma-3-4b-it-qat-q4_0-gguf:Q4_0",
        "hf://google/gemma-3-4b-it-qat-q4_0-gguf/gemma-3-4b-it-q4_0.gguf",
        "gemma-3-4b-it:Q4_0-QAT",
        "GEMMA-3-4B-IT:q4_0-qat",
    ],
)
def test_other_names_of_a_catalogue_variant(text: str) -> None:
    assert registry().resolve(text).reference == "gemma-3-4b-it:q4_0-qat"


def test_a_base_model_without_files_says_so() -> None:
    with pytest.raises(NotFound, match="no file of it"):
        registry().resolve("gemma-3-4b")


def test_every_catalogue_variant_resolves() -> None:
    for variant in CATALOG.variants:
        found = registry().resolve(variant.reference)
        assert found.reference == variant.reference
        assert found.licence
