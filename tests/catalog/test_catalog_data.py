"""What every catalogue entry promises: verified fields only, unique keys, sizes that add up."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from typing import Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.records import Catalog, CatalogVariant, StoredTypes
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.registry.declared import declared
from tests.catalog.file_sizes import data_bytes, table_bytes, tensor_shapes

# Bytes of a GGUF file that are neither tensors nor the tensor table: header, settings, tokenizer,
# chat template. The tokenizer makes it nearly the same for all files of a family; what varies is
# the chat template, the names and the notes that a publisher adds (imatrix, tags, licence link).
METADATA_BYTES = {
    "gemma3": (6_511_000, 6_515_000),
    "gemma3n": (6_513_000, 6_514_000),
    "gemma4": (15_780_000, 15_785_000),
}

# GGUF files whose size is known and whose composition is not, besides unsloth's dynamic mixes (UD),
# whose tables are not published: they have no `types` to check.
COMPOSITION_UNKNOWN = {
    "gemma-4-e4b-it:q4_k_m-unsloth": "no choice of types for its two tables makes its size",
}

CATALOG = load_catalog()
SIZED = [v for v in CATALOG.variants if v.bytes is not None]


def name_of(item: Any) -> str:
    return item.reference if isinstance(item, CatalogVariant) else str(item)


@pytest.fixture
def catalog() -> Catalog:
    return CATALOG


@pytest.mark.parametrize("variant", [v for v in SIZED if v.types], ids=name_of)
def test_tensors_and_metadata_add_up_to_the_published_size(variant: CatalogVariant) -> None:
    model = CATALOG.model(variant.model)
    assert model is not None
    assert variant.types is not None
    assert variant.bytes is not None
    tensors = variant_tensors(model.architecture, variant.types)
    metadata = variant.bytes - data_bytes(tensors) - table_bytes(tensors)
    least, most = METADATA_BYTES[model.family]
    assert least <= metadata <= most


def test_every_sized_variant_says_its_types_or_is_a_known_exception() -> None:
    without = {v.reference for v in SIZED if v.types is None and v.format == "gguf"}
    own_mixes = {v.reference for v in SIZED if v.label.startswith("UD-")}
    assert without - own_mixes == set(COMPOSITION_UNKNOWN)


def test_a_variant_without_types_says_what_is_inside_and_what_is_not_known() -> None:
    for variant in CATALOG.variants:
        assert ("which types its tensors have" in variant.open) == (variant.types is None)
        if variant.types is None:
            found = CATALOG.model(variant.model)
            assert found is not None
            notes = declared(CATALOG, found, variant).notes
            assert f"inside: {variant.content}" in notes
            assert any(note.startswith("unknown: ") for note in notes)


def test_types_by_a_label_alone_are_those_that_no_size_holds() -> None:
    for variant in CATALOG.variants:
        if variant.types is not None:
            assert variant.types.by_label == (variant.bytes is None)
            assert variant.checked == (variant.bytes is not None and variant.confirmed)


# Published sizes in GB, rounded, of files of which no exact size is known.
ROUNDED = {
    "gemma-3-4b-it:q4_0-qat-bartowski": 2.37,
    "gemma-3-12b-it:q4_0-qat-bartowski": 6.91,
    "gemma-3-4b-it:q4_0-qat-stduhpf": 2.36,
    "gemma-3-27b-it:q4_0-qat-stduhpf": 15.6,
}


@pytest.mark.parametrize(("reference", "gigabytes"), ROUNDED.items(), ids=name_of)
def test_derived_types_make_the_rounded_size(reference: str, gigabytes: float) -> None:
    variant = CATALOG.variant(*reference.split(":"))
    assert variant is not None
    assert variant.types is not None
    found = CATALOG.model(variant.model)
    assert found is not None
    tensors = variant_tensors(found.architecture, variant.types)
    size = data_bytes(tensors) + table_bytes(tensors) + METADATA_BYTES["gemma3"][0]
    digits = len(str(gigabytes).partition(".")[2])
    assert round(size / 1e9, digits) == gigabytes


# Tensor by tensor from llama.cpp's tensor lists; the first five are also what llama.cpp prints.
PARAMETERS = {
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 3_880_099_328,
    "gemma-3-12b": 11_765_788_416,
    "gemma-3-27b": 27_009_002_240,
    "gemma-3n-e2b": 4_455_632_480,
    "gemma-3n-e4b": 6_866_172_400,
    "gemma-4-e2b": 4_628_569_635,
    "gemma-4-e4b": 7_463_013_674,
    "gemma-4-12b-it": 11_907_350_576,
    "gemma-4-26b-a4b": 25_233_142_046,
    "gemma-4-31b": 30_697_345_596,
}


@pytest.mark.parametrize(("model", "parameters"), PARAMETERS.items(), ids=name_of)
def test_parameters_are_the_sum_of_the_tensors(model: str, parameters: int) -> None:
    found = CATALOG.model(model)
    assert found is not None
    tensors = variant_tensors(found.architecture, StoredTypes(default="F16"))
    assert sum(t.parameters for t in tensors) == parameters == found.architecture.parameters


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("gemma-4-e2b", 4_647_450_147), ("gemma-4-e4b", 7_518_069_290)],
)
def test_parameters_with_unused_keys_and_values(model: str, parameters: int) -> None:
    found = CATALOG.model(model)
    assert found is not None
    tensors = variant_tensors(found.architecture, StoredTypes(default="F16", unused_kv=True))
    assert sum(t.parameters for t in tensors) == parameters


@pytest.mark.parametrize(
    ("model", "parameters"),
    [("gemma-3n-e2b", 4_456_156_768), ("gemma-3n-e4b", 6_866_696_688)],
)
def test_parameters_with_the_rows_of_the_checkpoint(model: str, parameters: int) -> None:
    # The published GGUF files have 256 rows less than Google's checkpoint.
    found = CATALOG.model(model)
    assert found is not None
    rows = found.architecture.checkpoint_vocabulary
    tensors = variant_tensors(found.architecture, StoredTypes(default="F16", vocabulary=rows))
    assert sum(t.parameters for t in tensors) == parameters


def test_active_parameters_leave_out_the_experts_not_used(catalog: Catalog) -> None:
    for model in catalog.models:
        a = model.architecture
        unused = (a.experts - a.experts_used) * 3 * a.embedding_length
        idle = unused * a.expert_feed_forward_length * a.layers
        assert a.active_parameters == a.parameters - idle


def test_all_sizes_are_there_instruction_tuned(catalog: Catalog) -> None:
    names = {m.name for m in catalog.models}
    assert {f"{name.removesuffix('-it')}-it" for name in PARAMETERS} <= names
    assert set(PARAMETERS) <= names
    # No base checkpoint of Gemma 4 12B is known.
    assert "gemma-4-12b" not in names


def test_titles_and_names_agree(catalog: Catalog) -> None:
    for model in catalog.models:
        assert model.title.endswith("(instruction-tuned)") == model.instruction_tuned
        assert model.name.endswith("-it") == model.instruction_tuned
        assert model.architecture.size in model.name


def test_variants_of_one_model_have_names_of_their_own(catalog: Catalog) -> None:
    for model in catalog.models:
        names = [v.name for v in model.variants]
        assert len(names) == len(set(names))
        assert all(re.fullmatch(r"[a-z0-9_-]+", name) for name in names)


def test_qat_is_claimed_with_its_basis_and_says_so_in_the_name(catalog: Catalog) -> None:
    for variant in catalog.variants:
        assert variant.training_basis
        assert ("-qat" in variant.name) == (variant.training == "QAT")


def test_hashes_are_unique_and_whole(catalog: Catalog) -> None:
    hashes = [v.sha256 for v in catalog.variants if v.sha256]
    assert len(hashes) == len(set(hashes))
    extras = [f for v in catalog.variants for f in (v.projector, v.drafter) if f]
    for sha256 in [*hashes, *(f.sha256 for f in extras)]:
        assert re.fullmatch(r"[0-9a-f]{64}", sha256)
    for revision in [v.revision for v in catalog.variants] + [f.revision for f in extras]:
        assert revision is None or re.fullmatch(r"[0-9a-f]{40}", revision)


def test_only_google_gemma_3_is_gated(catalog: Catalog) -> None:
    for variant in catalog.variants:
        assert variant.gated == variant.repository.startswith("google/gemma-3-")


def test_models_that_see_or_hear_have_a_projector_and_the_others_none(catalog: Catalog) -> None:
    for variant in (each for each in catalog.variants if each.format == "gguf"):
        model = catalog.model(variant.model)
        assert model is not None
        text_only = model.architecture.capabilities == ("text",)
        # Of Gemma 3n no published projector is confirmed.
        assert (variant.projector is None) == (text_only or model.family == "gemma3n")


def test_gemma_3_projectors_weigh_their_tensors_and_the_same_metadata(catalog: Catalog) -> None:
    # SigLIP tower and projector of llama.cpp's conversion: 16 bits but for the embeddings.
    tensors = {"4b": 851_226_048, "12b": 854_175_168, "27b": 857_714_112}
    for variant in catalog.variants:
        if variant.model.startswith("gemma-3-") and variant.projector:
            model = catalog.model(variant.model)
            assert model is not None
            rest = variant.projector.bytes - tensors[model.architecture.size]
            unsloth = variant.projector.repository.startswith("unsloth/")
            assert rest == (25_280 if unsloth else 25_056)


def test_published_tags(catalog: Catalog) -> None:
    for tag in catalog.published_tags:
        model = catalog.model(tag.model)
        assert model is not None
        assert model.architecture.context_length == tag.context_length
        assert re.fullmatch(r"[\d.]+[MG]B", tag.size)
        assert "cloud" not in tag.tag
        assert tag.as_of >= "2026-05-05"
        assert (tag.digest is not None) or not tag.digest_verified
        assert ("qat" in tag.tag) == (tag.training == "QAT")


def test_nothing_unverified_is_shipped() -> None:
    def leaves(value: object) -> list[str]:
        if isinstance(value, dict):
            return [leaf for inner in value.values() for leaf in leaves(inner)]
        if isinstance(value, list):
            return [leaf for inner in value for leaf in leaves(inner)]
        return [str(value)]

    for name in ("gemma3.toml", "gemma3n.toml", "gemma4.toml"):
        text = (files("gemmahub.catalog") / name).read_text("utf-8")
        for leaf in leaves(tomllib.loads(text)):
            assert leaf not in {"U", "-", "?", ""}
            assert not leaf.startswith("~")


def test_shapes_are_named_once(catalog: Catalog) -> None:
    for model in catalog.models:
        names = [name for name, _ in tensor_shapes(model.architecture)]
        assert len(names) == len(set(names))
