"""The types that llama.cpp's quantizer gives, held against what its own tool wrote."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.records import StoredTypes
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.formats.detect import open_model
from gemmahub.formats.ggml_types import FILE_TYPE_LABELS, GGML_TYPES_BY_NAME
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.gguf_size import written_size
from gemmahub.formats.source import LocalFile
from gemmahub.formats.tensor import Tensor
from gemmahub.planning.quantized import quantized_file
from gemmahub.precision.quantizer import (
    BASE_TYPES,
    Recipe,
    file_type,
    fitting_type,
    is_quantizable,
    planned_tensors,
)
from gemmahub.testing.decoder_writer import DECODERS, decoder_metadata, decoder_tensors

if TYPE_CHECKING:
    from pathlib import Path

# Of gemma-3-270m-q4_k_m.gguf, by `llama-quantize --allow-requantize` of llama.cpp@0c1e57098:
# bytes of the file, and the sha256 of its tensors' names and types in their order.
TOOL = {
    "BF16": (542833344, "15f33263e6e0d22d"),
    "F32": (1078917824, "e4ca171e1f0970b1"),
    "IQ3_M": (238992064, "7eb1ef64d1ca9ee7"),
    "IQ3_S": (237077184, "0be5f6473bc69cf1"),
    "IQ3_XS": (237077184, "0be5f6473bc69cf1"),
    "IQ3_XXS": (237425344, "16fa7891556a887c"),
    "IQ4_NL": (242289344, "2e35ef46d78fe104"),
    "IQ4_XS": (241265344, "a15eba7b03bce9d4"),
    "MXFP4_MOE": (291543744, "3faabe14df6e1c3d"),
    "Q1_0": (199107264, "b974d4cf1791ca37"),
    "Q2_0": (213207744, "aa7763c1adf54494"),
    "Q2_K": (237077184, "0503655ff6aa0300"),
    "Q3_K_L": (246385344, "396bfe0a487e3712"),
    "Q3_K_M": (241961664, "f6863a9bc06bd086"),
    "Q3_K_S": (236708544, "9b9494f2876aa441"),
    "Q4_0": (241408704, "e46636ad30c8e20c"),
    "Q4_1": (247675584, "d29b157915560ac2"),
    "Q4_K_M": (253113024, "deb72d491c08cac1"),
    "Q4_K_S": (249887424, "bf736cdd57c36d28"),
    "Q5_0": (253942464, "cfbc848f6f9adba1"),
    "Q5_1": (260209344, "a06c808c85beed07"),
    "Q5_K_M": (260025024, "9dad54c60c351f4a"),
    "Q5_K_S": (257997504, "15956bdae46b38fc"),
    "Q6_K": (282972864, "55db668ab5ab47db"),
    "Q8_0": (291543744, "3faabe14df6e1c3d"),
    "TQ1_0": (228967104, "e81970fc00d1cda0"),
    "TQ2_0": (230625984, "19f489db6a68ef11"),
    "F16": (542833344, "67f313277cdb5c58"),
}


# Headers of other families: sha256 of names and types for MIXES without and with an importance
# matrix, each of which was the same with `llama-quantize --dry-run` of that build.
DRY = {
    "llama-3.2-1b": "bcc6659a01f86099",
    "qwen2.5-7b": "6e26530bc5eef2f5",
    "gemma-2-9b": "ffa02acfd3da70a0",
    "phi-4": "7cdc77167af3200c",
    "mistral-7b": "6919193079f2b9fd",
    "8 experts": "c78d1b3a497dad72",
    "64 experts": "26f43d0563be2839",
}
MIXES = ("Q4_K_M", "Q3_K_M", "Q2_K", "IQ4_XS", "IQ3_XS", "IQ2_M", "Q3_K_L", "Q5_K_M", "Q4_K_S",
         "IQ3_M", "TQ1_0", "IQ3_XXS", "Q5_0")  # fmt: skip


@pytest.mark.parametrize("name", DRY)
def test_other_families_are_as_the_tool_has_them(name: str) -> None:
    small = DECODERS["llama-3.2-1b"]
    mixed = {
        "8 experts": replace(small, experts=8),
        "64 experts": replace(small, experts=64, feed_forward=704),
    }
    decoder = (DECODERS | mixed)[name]
    tensors = [
        Tensor(each, kind, shape, prod(shape), GGML_TYPES_BY_NAME[kind].bytes_for(shape))
        for each, shape, kind in decoder_tensors(decoder)
    ]
    whole = hashlib.sha256()
    for importance in (False, True):
        for label in MIXES:
            recipe = Recipe(label, {}, importance)
            for each in planned_tensors(tensors, decoder_metadata(decoder), recipe):
                whole.update(f"{each.tensor.name} {each.tensor.type}\n".encode())
    assert whole.hexdigest()[:16] == DRY[name]


@pytest.mark.parametrize("label", TOOL)
def test_types_and_size_are_those_of_the_tool(real_model: Path, label: str) -> None:
    model = open_model(real_model)
    with LocalFile(real_model) as source:
        header = read_gguf(source)
    planned = planned_tensors(model.tensors, model.metadata, Recipe(label))
    text = "\n".join(f"{each.tensor.name} {each.tensor.type}" for each in planned)
    number = file_type(label, model.metadata, model.tensors)
    size = written_size(
        [header],
        [each.tensor for each in planned],
        {"general.file_type": number, "general.quantization_version": 2},
    )
    assert (size, hashlib.sha256(text.encode()).hexdigest()[:16]) == TOOL[label]


def test_what_falls_back_is_reported(real_model: Path, tmp_path: Path) -> None:
    """At a width of 640 the K types fall back: Q3_K_M is the larger file than Q4_0."""
    model = open_model(real_model)
    file = quantized_file(model, tmp_path / "x.gguf", Recipe("Q3_K_M"), {})
    assert {each.text for each in file.fallbacks} == {
        "1 of embedding: Q8_0 in place of Q6_K (rows of 640 weights)",
        "36 of attention: Q4_0 in place of Q3_K (rows of 640 weights)",
        "36 of feed-forward: Q4_0 in place of Q3_K (rows of 640 weights)",
        "2 of attention: Q5_1 in place of Q5_K (rows of 640 weights)",
        "16 of attention: Q5_0 in place of Q4_K (rows of 640 weights)",
    }
    smaller = quantized_file(model, tmp_path / "x.gguf", Recipe("Q4_0"), {})
    assert file.size_bytes > smaller.size_bytes


def test_nothing_of_a_width_of_256_falls_back() -> None:
    wide = (Tensor("blk.0.attn_q.weight", "BF16", (2560, 2048), 2560 * 2048, 2 * 2560 * 2048),)
    (planned,) = planned_tensors(wide, {}, Recipe("Q4_K_M"))
    assert planned.tensor.type == "Q4_K"
    assert not planned.falls_back


@pytest.mark.parametrize("mix", ["Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"])
def test_the_catalogue_has_the_same_types(mix: str) -> None:
    """For each model that the catalogue describes by its architecture."""
    for model in load_catalog().models:
        made = variant_tensors(model.architecture, StoredTypes(mix=mix, kept="BF16"))
        whole = variant_tensors(model.architecture, StoredTypes(default="BF16", kept="BF16"))
        name = model.architecture.name
        heads = {
            "general.architecture": name,
            f"{name}.block_count": model.architecture.layers,
            f"{name}.expert_count": model.architecture.experts,
        }
        planned = planned_tensors(whole, heads, Recipe(mix))
        found = {each.tensor.name: each.tensor.type for each in planned}
        assert found == {tensor.name: tensor.type for tensor in made}, model.name


def test_exceptions_go_before_the_rules_and_may_fall_back() -> None:
    tensors = [
        Tensor("token_embd.weight", "F16", (640, 1000), 640_000, 1_280_000),
        Tensor("blk.0.ffn_down.weight", "F16", (2048, 640), 2048 * 640, 2 * 2048 * 640),
    ]
    recipe = Recipe("Q4_0", {"token_embd.weight": "Q6_K", "blk.0.ffn_down.weight": "Q6_K"})
    down, table = sorted(planned_tensors(tensors, {}, recipe), key=lambda each: each.tensor.name)
    assert (down.tensor.type, down.falls_back) == ("Q6_K", False)
    assert (table.tensor.type, table.wanted) == ("Q8_0", "Q6_K")


def test_without_a_label_all_stays_but_the_exceptions() -> None:
    tensors = [
        Tensor("token_embd.weight", "F16", (512, 1000), 512_000, 1_024_000),
        Tensor("blk.0.ffn_down.weight", "Q4_0", (2048, 512), 2048 * 512, 589_824),
        Tensor("blk.0.ffn_norm.weight", "F32", (512,), 512, 2048),
    ]
    planned = planned_tensors(tensors, {}, Recipe("", {"token_embd.weight": "Q6_K"}))
    assert {each.tensor.name: each.tensor.type for each in planned} == {
        "token_embd.weight": "Q6_K",
        "blk.0.ffn_down.weight": "Q4_0",
        "blk.0.ffn_norm.weight": "F32",
    }


def test_low_bits_need_an_importance_matrix_but_not_the_embedding() -> None:
    tensors = [
        Tensor("token_embd.weight", "F16", (512, 1000), 512_000, 1_024_000),
        Tensor("blk.0.ffn_up.weight", "F16", (512, 2048), 2048 * 512, 2 * 2048 * 512),
    ]
    planned = planned_tensors(tensors, {}, Recipe("IQ2_XXS"))
    needs = {each.tensor.name: each.needs_importance for each in planned}
    assert needs == {"token_embd.weight": False, "blk.0.ffn_up.weight": True}


def test_vectors_and_norms_are_never_quantized() -> None:
    assert not is_quantizable(Tensor("blk.0.attn_norm.weight", "F32", (640,), 640, 2560))
    assert not is_quantizable(Tensor("blk.0.x.weight", "F32", (640, 1, 1), 640, 2560))
    assert not is_quantizable(Tensor("per_layer_model_proj.weight", "F16", (64, 64), 4096, 8192))
    assert is_quantizable(Tensor("blk.0.attn_q.weight", "F16", (64, 64), 4096, 8192))


def test_each_label_is_one_of_llama_cpp_and_rows_of_256_always_fit() -> None:
    assert set(BASE_TYPES) <= set(FILE_TYPE_LABELS.values())
    for type_ in BASE_TYPES.values():
        assert fitting_type(type_, 256) == type_
    assert fitting_type("Q4_0", 24) == "F16"
