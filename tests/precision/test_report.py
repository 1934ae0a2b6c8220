"""Precision reports of the mixes that people really meet."""

from __future__ import annotations

import pytest

from gemmahub.formats.foreign_types import FORK_LABELS
from gemmahub.formats.ggml_types import FILE_TYPE_LABELS, GGML_TYPES_BY_NAME, ggml_type
from gemmahub.formats.tensor import Tensor
from gemmahub.precision.labels import label_bits, label_in_name
from gemmahub.precision.mix import MixEntry, mix_of
from gemmahub.precision.number_formats import number_format
from gemmahub.precision.promises import promised_types
from gemmahub.precision.report import PrecisionReport, precision_report
from gemmahub.precision.stated_label import file_type_label, file_type_notes
from gemmahub.precision.training import Evidence, Training


def entry(role: str, type_: str, parameters: int) -> MixEntry:
    return MixEntry(role, type_, 1, parameters, GGML_TYPES_BY_NAME[type_].bytes_for((parameters,)))


def report(
    *mix: MixEntry,
    label: str | None = None,
    repository: str = "",
    file: str = "model.gguf",
    known: Training | None = None,
    **metadata: str,
) -> PrecisionReport:
    found = {key.replace("__", "."): value for key, value in metadata.items()}
    return precision_report(mix, label, Evidence(found, repository, file, known))


GOOGLE_27B = (
    entry("embedding", "F16", 1_409_286_144),
    entry("feed-forward", "Q4_0", 25_598_853_120),
    entry("norm", "F32", 862_976),
)


def test_google_27b_names_its_embedding() -> None:
    found = report(*GOOGLE_27B, label="Q4_0", repository="google/gemma-3-27b-it-qat-q4_0-gguf")
    assert found.bits_per_weight == 5.10
    assert found.number_format == "int4"
    assert found.short == "Q4_0 int4 QAT"
    assert found.summary == "Q4_0 · int4 QAT, F16 embedding · 5.10 bits/weight"
    assert found.mismatch == "labelled Q4_0, but the embedding (5% of the weights) is F16"
    assert found.training == Training("QAT", "repository name: google/gemma-3-27b-it-qat-q4_0-gguf")


def test_label_that_describes_little_of_the_file() -> None:
    found = report(
        entry("embedding", "Q8_0", 167_772_160),
        entry("attention", "Q5_0", 63_000_064),
        entry("feed-forward", "Q4_K", 23_592_960),
        entry("feed-forward", "Q6_K", 11_796_480),
        label="Q4_K_M",
    )
    assert found.mismatch == "labelled Q4_K_M, but 63% of the weights are Q8_0 and 9% are Q4_K"
    assert found.number_format == "mixed"
    assert found.bits == 4
    assert found.summary.startswith("Q4_K_M · mixed int4/int5/int8 · ")


def test_label_that_describes_most_of_the_file_is_not_a_mismatch() -> None:
    found = report(
        entry("embedding", "Q6_K", 256 * 10),
        entry("feed-forward", "Q4_K", 256 * 90),
        label="Q4_K_M",
    )
    assert found.mismatch is None
    assert found.number_format == "int4"


Q4_0_TENSORS = entry("feed-forward", "Q4_0", 32 * 100)
IQ2_TENSORS = (entry("feed-forward", "IQ2_S", 256 * 80), entry("attention", "Q4_K", 256 * 20))


def test_a_name_that_the_tensors_do_not_keep_is_a_mismatch() -> None:
    found = report(Q4_0_TENSORS, label="Q4_0", file="gemma-3-4b-it-Q8_0.gguf")
    assert (found.label, found.label_in_name) == ("Q4_0", "Q8_0")
    assert found.mismatch == "named Q8_0, but its metadata says Q4_0"


@pytest.mark.parametrize(
    ("stated", "file", "tensors"),
    [
        ("Q4_K_S", "gemma-3-27b-it-UD-IQ2_M.gguf", IQ2_TENSORS),
        ("Q4_K_M", "gemma-3-27b-it-UD-Q2_K_XL.gguf", IQ2_TENSORS),
        ("Q4_0", "x-qat-UD-Q4_K_XL.gguf", (Q4_0_TENSORS,)),
        ("Q8_0", "x-UD-Q8_K_XL.gguf", (entry("feed-forward", "Q8_0", 320),)),
        ("Q4_K_M", "x-UD_Q5_K_XL.gguf", (entry("feed-forward", "Q6_K", 2560),)),
    ],
)
def test_a_recipe_keeps_its_name_and_promises_bits(
    stated: str, file: str, tensors: tuple[MixEntry, ...]
) -> None:
    found = report(*tensors, label=stated, file=file)
    assert found.label == found.label_in_name
    assert found.label.startswith("UD-")
    assert found.mismatch is None


def test_a_recipe_of_other_bits_is_a_mismatch() -> None:
    found = report(entry("feed-forward", "Q8_0", 320), label="Q8_0", file="x-UD-Q4_K_XL.gguf")
    assert (found.label, found.mismatch) == (
        "Q8_0",
        "named UD-Q4_K_XL, but its metadata says Q8_0",
    )
    found = report(entry("feed-forward", "Q8_0", 320), file="x-UD-Q4_K_XL.gguf")
    assert found.mismatch == (
        "labelled UD-Q4_K_XL, but 100% of the weights are Q8_0 and none are UD-Q4_K_XL"
    )


def test_of_a_name_and_a_file_type_the_tensors_choose() -> None:
    found = report(entry("feed-forward", "IQ2_S", 2560), label="Q4_K_S", file="x-IQ2_M.gguf")
    assert (found.label, found.mismatch) == ("IQ2_M", None)


@pytest.mark.parametrize(
    ("label", "tensors"),
    [
        ("Q3_K_M", (("Q3_K", 49), ("Q4_K", 28), ("Q6_K", 23))),
        ("Q2_K", (("Q2_K", 45), ("Q3_K", 32), ("Q6_K", 23))),
        ("IQ3_M", (("IQ3_S", 49), ("Q4_K", 28), ("Q6_K", 23))),
        ("IQ3_XS", (("IQ3_S", 30), ("Q4_K", 36), ("IQ3_XXS", 34))),
        ("4bit", (("Q4_0", 30), ("Q4_1", 30), ("Q6_K", 40))),
    ],
)
def test_the_largest_share_keeps_a_promise(
    label: str, tensors: tuple[tuple[str, int], ...]
) -> None:
    mix = [entry("feed-forward", type_, 256 * share) for type_, share in tensors]
    assert report(*mix, label=label).mismatch is None


def test_large_tables_of_a_better_type_break_no_promise() -> None:
    """As in Gemma 3n and 4 E2B: most weights are in tables that are looked up."""
    mix = (entry("per-layer embedding", "Q6_K", 256 * 65), entry("feed-forward", "Q4_K", 256 * 35))
    assert report(*mix, label="Q4_K_M").mismatch is None


def test_a_dominant_type_is_never_what_was_promised() -> None:
    mix = (("Q8_0", 30), ("Q8_1", 30), ("Q4_0", 40))
    found = report(*(entry("feed-forward", t, 256 * share) for t, share in mix), label="4bit")
    assert found.mismatch == "labelled 4bit, but 30% of the weights are Q8_0 and 40% are Q4_0"


@pytest.mark.parametrize("label", ["SAND5", "file type 63", "bits unknown: quantized with aqlm"])
def test_a_label_that_nobody_knows_promises_nothing(label: str) -> None:
    assert report(Q4_0_TENSORS, label=label).mismatch is None
    assert report(Q4_0_TENSORS, label=label, file="x-Q4_0.gguf").mismatch is None


@pytest.mark.parametrize(
    ("stated", "file", "type_"),
    [
        ("F8_E4M3", "gemma-3-27b-it-FP8", "F8_E4M3"),
        ("FP8", "gemma-3-27b-it-FP8-dynamic", "F8_E4M3"),
        ("IQ4_K_R4", "gemma-3-27b-it-IQ4_K", "IQ4_K_R4"),
        ("Q4_0", "gemma-3-27b-it-4bit", "Q4_0"),
        ("4-bit AWQ", "gemma-3-27b-it-AWQ-4bit", "AWQ 4-bit g128"),
        ("INT8", "gemma-3-27b-it-W8A8", "INT8"),
    ],
)
def test_a_promise_that_contains_the_other_is_the_same(stated: str, file: str, type_: str) -> None:
    mix = MixEntry("feed-forward", type_, 1, 1000, 500)
    assert report(mix, label=stated, file=file).mismatch is None


def test_label_without_any_such_tensor() -> None:
    found = report(entry("feed-forward", "Q8_0", 320), label="Q4_K_M")
    assert found.mismatch == "labelled Q4_K_M, but 100% of the weights are Q8_0 and none are Q4_K_M"


def test_unknown_size_gives_no_figure() -> None:
    name = ggml_type(96).name
    found = report(MixEntry("feed-forward", name, 1, 1000, None), label="Q4_0")
    assert found.bits_per_weight is None
    assert name == "type 96 (unknown)"
    assert found.summary.endswith("unknown bits/weight")


def test_without_any_label_the_file_name_and_then_the_type_serve() -> None:
    q4 = entry("feed-forward", "Q4_0", 320)
    assert report(q4, file="gemma-Q4_0.gguf").label == "Q4_0"
    assert report(q4, file="gemma.gguf").label == "Q4_0"


def test_what_was_not_measured_says_so() -> None:
    found = report(label="Q4_K_M", repository="x/y-qat")
    assert found.short == "Q4_K_M QAT (not measured)"
    assert found.summary == "Q4_K_M QAT · not measured"


def test_an_empty_file_has_a_report() -> None:
    assert report().bits_per_weight is None
    assert report().mismatch is None


# --- training ----------------------------------------------------------------------------------

Q4_0 = entry("feed-forward", "Q4_0", 320)
Q4_K = entry("feed-forward", "Q4_K", 2560)
BF16 = entry("feed-forward", "BF16", 320)


def test_no_evidence() -> None:
    found = report(Q4_0, label="Q4_0")
    assert found.training == Training(
        "unknown", "no evidence in repository name, metadata or known hashes"
    )


def test_known_content_beats_names() -> None:
    known = Training("PTQ", "known sha256 abc")
    assert report(Q4_0, repository="x/gemma-qat", known=known).training == known


def test_base_model_metadata_beats_the_repository() -> None:
    found = report(
        Q4_0,
        repository="x/gemma-qat",
        general__base_model__0__repo_url="https://huggingface.co/google/gemma-3-4b-it-qat-q4_0-unquantized",
    )
    assert found.training.basis.startswith("base-model metadata: general.base_model.0.repo_url")


def test_requantized_qat_weights_are_flagged() -> None:
    found = report(Q4_K, label="Q4_K_M", repository="x/gemma-3-4b-it-qat-GGUF")
    assert found.training.value == "QAT"
    assert "not guaranteed" in found.training.note
    assert "stored in another type" in found.summary


def test_unquantized_qat_checkpoint_says_so() -> None:
    assert "before quantization" in report(BF16, repository="x/y-qat-unquantized").training.note


def test_sixteen_bits_need_no_training() -> None:
    assert report(BF16, label="BF16").training.value == "none"


def test_qat_is_its_own_word() -> None:
    assert report(Q4_0, repository="x/aquatic").training.value == "unknown"


# --- labels and formats --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("gemma-3-4b-it-Q4_K_M.gguf", "Q4_K_M"),
        ("gemma-3-4b-it-q4_0.gguf", "Q4_0"),
        ("gemma-3-4b-it-qat-q4_0-gguf", "Q4_0"),
        ("gemma-4-E2B-it-qat-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("gemma-3-4b-it-qat-4bit", "4bit"),
        ("model-bf16", "BF16"),
        ("gemma-3-4b-it", None),
        ("x-IQ3_XXS.gguf", "IQ3_XXS"),
        ("gemma-2-2b-it-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("gemma-2-2b-it-Q4_0_8_8.gguf", "Q4_0_8_8"),
        ("gemma-3-4b-it-IQ4_K.gguf", "IQ4_K"),
        ("gemma-3-4b-it-IQ4_KSS.gguf", "IQ4_KSS"),
        ("gemma-3-4b-it-IQ2_K_R4.gguf", "IQ2_K_R4"),
        ("gemma-3-4b-it-qat-q4_0-uncensored-NVFP4.gguf", "NVFP4"),
        ("gemma-3-4b-it-quantized.w4a16", "W4A16"),
        ("gemma-3-1b-it-GPTQ-Int4", "INT4"),
    ],
)
def test_labels_in_names(name: str, label: str | None) -> None:
    assert label_in_name(name) == label


def test_what_labels_promise() -> None:
    assert promised_types("Q6_K") == {"Q6_K"}
    assert promised_types("IQ3_M") == {"IQ3_S"}
    assert [
        label_bits(x)
        for x in ("Q4_K_M", "8bit", "BF16", "IQ2_XS", "SFP", "what", "4-bit AWQ", "W4A16", "INT8")
    ] == [4, 8, 16, 2, 8, None, 4, 4, 8]


@pytest.mark.parametrize("label", ["SANDQ4X", "Q5_SAND", "Q5SAND", "BF16X", "sand5", "XF16"])
def test_a_label_that_nobody_knows_names_no_bits(label: str) -> None:
    assert label_bits(label) is None


def test_every_label_of_a_file_type_names_its_bits() -> None:
    assert all(label_bits(label) for label in FILE_TYPE_LABELS.values())
    fork = set(FORK_LABELS.values()) - {"BF16_R16"}
    assert [label for label in fork if not label_bits(label) or not label_in_name(label)] == []


@pytest.mark.parametrize("type_", ["Q4_0_4_4", "IQ4_NL_4_4"])
def test_a_removed_type_names_what_to_fetch(type_: str) -> None:
    instead = type_.removesuffix("_4_4")
    mix = [MixEntry("feed-forward", type_, 1, 1000, None)]
    assert file_type_notes({}, mix) == (f"llama.cpp no longer reads {type_}: fetch {instead}",)


def test_a_type_of_the_fork_is_known_by_name() -> None:
    mix = [MixEntry("feed-forward", ggml_type(139).name, 1, 1000, None)]
    assert file_type_label({"general.file_type": 140}) == mix[0].type == "IQ4_K"
    assert file_type_notes({"general.file_type": 140}, mix) == (
        "llama.cpp does not read IQ4_K, which is a type of ik_llama.cpp",
    )


def test_an_unknown_file_type_states_no_label() -> None:
    assert file_type_label({"general.file_type": 63}) is None
    assert file_type_notes({"general.file_type": 63}, []) == (
        "file type 63 is unknown: the tensors decide",
    )


def test_every_ggml_type_has_a_number_format() -> None:
    for name in GGML_TYPES_BY_NAME:
        found = number_format(name)
        assert found.bits > 0, name
        assert found.name != name


@pytest.mark.parametrize(
    ("type_", "name", "bits"),
    [("Q4_0_4_4", "int4", 4), ("Q6_K_R4", "int6", 6), ("IQ4_KSS", "codebook4", 4),
     ("EXL3 3-bit", "codebook3", 3), ("packed by aqlm", "packed by aqlm", 0)],
)  # fmt: skip
def test_number_formats_of_types_that_llamacpp_does_not_have(
    type_: str, name: str, bits: int
) -> None:
    assert number_format(type_) == (name, bits)


def test_roles_are_counted_apart() -> None:
    names = {
        "token_embd.weight": "embedding",
        "per_layer_token_embd.weight": "per-layer embedding",
        "blk.0.attn_q.weight": "attention",
        "blk.0.attn_q_norm.weight": "norm",
        "blk.0.ffn_up.weight": "feed-forward",
        "blk.0.ffn_up_exps.weight": "expert",
        "blk.0.ffn_gate_inp.weight": "expert",
        "blk.0.inp_gate.weight": "per-layer embedding",
        "output.weight": "output",
        "output_norm.weight": "norm",
        "v.blk.0.attn_q.weight": "vision",
        "mm.input_projection.weight": "projector",
        "model.embed_tokens.weight": "embedding",
        "language_model.model.layers.0.self_attn.q_proj.weight": "attention",
        "model.layers.0.mlp.down_proj.weight": "feed-forward",
        "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight": "vision",
        "multi_modal_projector.mm_input_projection_weight": "projector",
        "lm_head.weight": "output",
        "strange": "other",
    }
    for name, role in names.items():
        (found,) = mix_of([Tensor(name, "F32", (4,), 4, 16)])
        assert found.role == role, name
