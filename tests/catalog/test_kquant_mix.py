"""llama.cpp's K-quant mixes, held against a real file and against published sizes."""

from __future__ import annotations

from collections import Counter

import pytest

from gemmahub.catalog.kquant_mix import MIXES, copied_type
from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.records import Architecture, StoredTypes
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.precision.quantizer import fitting_type


def architecture(model: str) -> Architecture:
    found = load_catalog().model(model)
    assert found is not None
    return found.architecture


def types_of(model: str, types: StoredTypes) -> dict[str, str]:
    return {t.name: t.type for t in variant_tensors(architecture(model), types)}


# Read from gemma-3-270m-q4_k_m.gguf (sha256 a5fd3b62...), with the layers whose ffn_down and
# attn_v have more bits.
RAISED_270M = (0, 1, 4, 7, 10, 13, 15, 16, 17)


def test_the_real_270m_file() -> None:
    found = types_of("gemma-3-270m", StoredTypes(mix="Q4_K_M"))
    assert Counter(found.values()) == {"F32": 109, "Q5_0": 81, "Q4_K": 27, "Q8_0": 10, "Q6_K": 9}
    for layer in range(18):
        raised = layer in RAISED_270M
        # Rows of 640 weights do not fit blocks of 256; those of ffn_down and attn_output do.
        assert found[f"blk.{layer}.attn_v.weight"] == ("Q8_0" if raised else "Q5_0")
        assert found[f"blk.{layer}.ffn_down.weight"] == ("Q6_K" if raised else "Q4_K")
        assert found[f"blk.{layer}.attn_output.weight"] == "Q4_K"
        assert found[f"blk.{layer}.attn_q.weight"] == "Q5_0"
        assert found[f"blk.{layer}.attn_norm.weight"] == "F32"
    assert found["token_embd.weight"] == "Q8_0"


def test_the_real_270m_file_has_these_tensors_and_bytes() -> None:
    tensors = variant_tensors(architecture("gemma-3-270m"), StoredTypes(mix="Q4_K_M"))
    by_name = {t.name: t for t in tensors}
    assert len(tensors) == 236
    assert sum(t.bytes or 0 for t in tensors) == 246_587_904
    assert by_name["token_embd.weight"].shape == (640, 262_144)
    assert by_name["blk.0.attn_output.weight"].shape == (1024, 640)
    assert by_name["blk.0.ffn_down.weight"].bytes == 1_075_200


def test_gemma_4_counts_only_the_values_that_exist() -> None:
    # 26B-A4B: every sixth layer has no attn_v, so the 25 values are counted, not the 30 layers.
    found = types_of("gemma-4-26b-a4b", StoredTypes(mix="Q4_K_M"))
    values = [found[f"blk.{n}.attn_v.weight"] for n in range(30) if n % 6 != 5]
    assert "blk.5.attn_v.weight" not in found
    assert [n for n, kind in enumerate(values) if kind == "Q6_K"] == [
        *(0, 1, 2),
        *(5, 8, 11, 14, 17, 20),
        *(21, 22, 23, 24),
    ]


def test_experts_fall_back_and_the_router_stays() -> None:
    found = types_of("gemma-4-26b-a4b", StoredTypes(mix="Q4_K_M"))
    assert found["blk.0.ffn_down_exps.weight"] == "Q8_0"  # rows of 704 weights, raised
    assert found["blk.3.ffn_down_exps.weight"] == "Q5_0"
    assert found["blk.0.ffn_gate_up_exps.weight"] == "Q4_K"
    assert found["blk.0.ffn_gate_inp.weight"] == "F32"
    assert found["blk.0.ffn_down_exps.scale"] == "F32"


def test_tables_and_small_matrices_of_the_e_models() -> None:
    found = types_of("gemma-4-e4b", StoredTypes(mix="Q4_K_M", kept="F16"))
    assert found["token_embd.weight"] == found["per_layer_token_embd.weight"] == "Q6_K"
    assert found["per_layer_model_proj.weight"] == "F16"
    assert found["blk.0.proj.weight"] == found["blk.0.inp_gate.weight"] == "Q4_K"
    small = types_of("gemma-3n-e2b", StoredTypes(default="Q8_0", kept="F16"))
    assert small["altup_proj.weight"] == small["blk.0.laurel_l.weight"] == "F16"
    assert small["blk.0.altup_predict_coef.weight"] == "F32"


def test_an_importance_matrix_raises_the_first_ffn_down_of_q4_0() -> None:
    # 34 layers: the first 34 // 8 (llama-quant.cpp, ffn_down of Q4_0 with an importance matrix).
    found = types_of("gemma-3-4b", StoredTypes(mix="Q4_0 with imatrix"))
    downs = [found[f"blk.{n}.ffn_down.weight"] for n in range(34)]
    assert downs == ["Q4_1"] * 4 + ["Q4_0"] * 30
    assert {found[f"blk.{n}.attn_v.weight"] for n in range(34)} == {"Q4_0"}
    assert found["token_embd.weight"] == "Q6_K"


def test_the_single_type_mix() -> None:
    assert set(types_of("gemma-3-4b", StoredTypes(mix="Q6_K")).values()) == {"Q6_K", "F32"}


@pytest.mark.parametrize(
    ("mix", "values", "downs"),
    [
        ("Q4_K_S", [0, 1, 2, 3], [0, 1, 2, 3]),
        ("Q5_K_S", [], []),
        ("Q5_K_M", "as Q4_K_M", "as Q4_K_M"),
    ],
)
def test_which_layers_the_mixes_raise(mix: str, values: object, downs: object) -> None:
    rule = MIXES[mix]
    found = types_of("gemma-3-4b", StoredTypes(mix=mix))
    reference = types_of("gemma-3-4b", StoredTypes(mix="Q4_K_M"))
    for part, expected in (("attn_v", values), ("ffn_down", downs)):
        kinds = [found[f"blk.{n}.{part}.weight"] for n in range(34)]
        raised = [n for n, kind in enumerate(kinds) if kind != rule.base]
        if expected == "as Q4_K_M":
            names = [f"blk.{n}.{part}.weight" for n in range(34)]
            expected = [n for n, name in enumerate(names) if reference[name] == "Q6_K"]
        assert raised == expected


def test_fallbacks() -> None:
    assert fitting_type("Q4_K", 2560) == "Q4_K"
    assert fitting_type("Q4_K", 640) == "Q5_0"
    assert fitting_type("Q5_K", 640) == "Q5_1"
    assert fitting_type("Q6_K", 1152) == "Q8_0"
    assert fitting_type("Q4_0", 100) == "F16"


def test_what_is_never_quantised() -> None:
    assert copied_type("output_norm.weight", (640,), "BF16") == "F32"
    assert copied_type("rope_freqs.weight", (256,), "BF16") == "F32"
    assert copied_type("blk.0.ffn_gate_inp.weight", (2816, 128), "BF16") == "F32"
    assert copied_type("per_layer_model_proj.weight", (1536, 8960), "BF16") == "BF16"
    assert copied_type("blk.0.ffn_up.weight", (640, 2048), "BF16") is None
