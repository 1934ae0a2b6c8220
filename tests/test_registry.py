"""Catalogue and stores joined: one row a model, its places, and what the catalogue knows of it."""

from __future__ import annotations

import os
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


# --- files that their publisher replaced, files that are named without ./ -------------------------

REPLACED = "gemma-3-4b-it:q4_0-qat"


def replaced(folder: Path, sha256: str | None) -> tuple[Artifact, str]:
    """A file at the catalogue's place, with another content of the same length or not; and the
    reference that its store has for it."""
    known = CATALOG.variant("gemma-3-4b-it", "q4_0-qat")
    assert known is not None
    path = folder / "x" / known.file
    path.parent.mkdir()
    write_gguf(path, {"general.architecture": "gemma3"}, [("token_embd.weight", (64, 8), "F16")])
    reference = f"hf://{known.repository}/{known.file}"
    return artifact(
        path, repository=known.repository, revision="f" * 40, sha256=sha256, reference=reference
    ), reference


@pytest.mark.parametrize("form", ["{}", "{}@main", "{}@ffffff", "hf.co/{repository}:Q4_0"])
@pytest.mark.parametrize("sha256", [None, "ab" * 32])
def test_what_is_installed_goes_before_what_the_catalogue_knows_of_that_place(
    tmp_path: Path, form: str, sha256: str | None
) -> None:
    here, reference = replaced(tmp_path, sha256)
    repository = here.repository
    found = registry(Inventory((here,))).resolve(form.format(reference, repository=repository))
    assert [place.path for place in found.artifacts] == [here.path]
    assert found.reference == reference
    assert found.precision.bits_per_weight == 16.0


def test_another_content_of_the_same_length_is_not_the_catalogues(tmp_path: Path) -> None:
    path = header_only(tmp_path / "x", REPLACED)  # its very name, length and tensors
    known = CATALOG.variant("gemma-3-4b-it", "q4_0-qat")
    assert known is not None
    named = {"repository": known.repository, "reference": f"hf://{known.repository}/{known.file}"}
    assert known.bytes is not None
    os.truncate(path, known.bytes)
    other = artifact(path, sha256="cd" * 32, **named)
    (variant,) = registry(Inventory((other,))).installed().variants
    assert variant.reference == named["reference"]
    same = artifact(path, sha256=known.sha256, **named)
    (variant,) = registry(Inventory((same,))).installed().variants
    assert variant.reference == REPLACED


@pytest.mark.parametrize("name", ["models", "user/models", "a/b/models", "tiny.bin", "gemma:tiny"])
def test_a_file_or_folder_of_that_name_needs_no_dot(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = header_only(tmp_path / "x", REPLACED, "tiny.gguf")
    monkeypatch.chdir(tmp_path)
    place = tmp_path / name
    if name.endswith("models"):
        from gemmahub.testing.folder_writer import write_model_folder

        write_model_folder(place)
    else:
        path.rename(place)
    assert registry().resolve(name).artifacts[0].path == place.relative_to(tmp_path)


def test_a_name_of_the_catalogue_is_not_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gemma-3-4b-it").mkdir()
    assert registry().resolve("gemma-3-4b-it").reference == "gemma-3-4b-it:q4_0-qat"
