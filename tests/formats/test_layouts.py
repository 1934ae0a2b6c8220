"""Packed weights of every layout of safetensors: names, types and shapes as their tools write them.

Each matrix has 64 outputs and 256 inputs; next to it lies a norm, which stays what it is. Where the
names and shapes come from is said in the modules of ``gemmahub.formats.layouts``.
"""

from __future__ import annotations

import json
import time
from math import prod
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemmahub.formats.folder import read_config
from gemmahub.formats.layouts import with_packed_joined
from gemmahub.formats.layouts.parts import declared_in
from gemmahub.formats.mlx import read_model_folder
from gemmahub.formats.safetensors import DTYPE_BITS
from gemmahub.formats.tensor import Tensor
from gemmahub.precision.mix import mix_of
from gemmahub.precision.number_formats import number_format
from gemmahub.precision.stated_label import folder_label
from gemmahub.registry.artifacts import read_summary
from gemmahub.testing.safetensors_writer import write_safetensors
from tests.formats.packed_layouts import IN, LAYOUTS, NORM, NUMBERS, OUT, P, Stored, gptq, ints, of

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random


def folder_of(path: Path, stored: Stored, config: dict[str, Any]) -> Path:
    write_safetensors(path / "model.safetensors", [*stored, NORM], {"format": "pt"})
    about = {"model_type": "gemma3_text", "quantization_config": config} if config else {}
    (path / "config.json").write_text(json.dumps(about))
    return path


def joined(path: Path, stored: Stored, config: dict[str, Any]) -> tuple[Tensor, ...]:
    return read_model_folder(folder_of(path, stored, config)).tensors


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_packed_weight_is_one_tensor_with_its_true_count(tmp_path: Path, layout: str) -> None:
    stored, config, type_, label = LAYOUTS[layout]
    model = read_model_folder(folder_of(tmp_path, stored, config))
    weight, norm = model.tensors
    assert model.format == "safetensors"
    assert model.notes == ()
    assert (weight.name, weight.type, weight.parameters) == (f"{P}.weight", type_, NUMBERS)
    assert (norm.name, norm.type) == ("model.norm.weight", "BF16")
    header = model.size_bytes - sum(tensor.bytes or 0 for tensor in model.tensors)
    assert 8 < header < 2000  # every byte of the data belongs to a weight
    assert number_format(type_).bits == (
        next(int(char) for char in label if char.isdigit() and char != "0")
    )
    assert folder_label(mix_of(model.tensors)) == label


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bits_of_a_weight_are_measured(tmp_path: Path, layout: str) -> None:
    stored, config, _, label = LAYOUTS[layout]
    summary = read_summary(folder_of(tmp_path, stored, config))
    found = summary.report(summary.evidence("", "model", None))
    size = sum(tensor.bytes or 0 for tensor in read_model_folder(tmp_path).tensors)
    assert found.bits_per_weight == round(size * 8 / (NUMBERS + IN), 2)
    assert (found.label, found.mismatch) == (label, None)
    assert found.training.value == "unknown"


def test_experts_of_gpt_oss(tmp_path: Path) -> None:
    experts = "model.layers.0.mlp.experts.gate_up_proj"
    stored: Stored = [
        (f"{experts}_blocks", "U8", (4, OUT, IN // 32, 16)),
        (f"{experts}_scales", "U8", (4, OUT, IN // 32)),
    ]
    weight, _ = joined(tmp_path, stored, {"quant_method": "mxfp4"})
    assert (weight.name, weight.type, weight.parameters) == (experts, "MXFP4", 4 * NUMBERS)
    assert weight.bytes == 4 * NUMBERS * 17 // 32


def test_experts_in_one_tensor(tmp_path: Path) -> None:
    stored = of(
        (".weight_packed", "I32", (8, OUT, IN // 8)), (".weight_scale", "BF16", (8, OUT, IN // 32))
    )
    weight, _ = joined(tmp_path, stored, ints(4, 32))
    assert (weight.type, weight.parameters) == ("INT4 g32", 8 * NUMBERS)


def test_groups_of_different_bits_are_distinguished_by_their_shapes(tmp_path: Path) -> None:
    config = ints(8, 64)
    config["config_groups"]["group_1"] = {"weights": {"num_bits": 4, "group_size": 32}}
    stored = [
        *of((".weight_packed", "I32", (OUT, IN // 8)), (".weight_scale", "BF16", (OUT, IN // 32))),
        ("b.weight_packed", "I32", (OUT, IN // 4)),
        ("b.weight_scale", "BF16", (OUT, IN // 64)),
    ]
    first, second, _ = joined(tmp_path, stored, config)
    assert [(t.type, t.parameters) for t in (first, second)] == [
        ("INT4 g32", NUMBERS),
        ("INT8 g64", NUMBERS),
    ]


@pytest.mark.parametrize(
    ("config", "by"),
    [
        ({"quant_method": "vptq", "in_group_size": 8}, "vptq"),
        ({"quant_method": "bitnet"}, "bitnet"),
        ({"quant_method": "new\x1b[2J"}, "new"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "compressed-tensors"),
        ({}, "an unnamed tool"),
    ],
)
def test_what_no_reader_knows_has_no_bits(tmp_path: Path, config: dict[str, Any], by: str) -> None:
    stored = of((".indices", "I16", (OUT, IN // 8, 1)), (".centroids", "F16", (1, 256, 1, 8)))
    summary = read_summary(folder_of(tmp_path, stored, config))
    found = summary.report(summary.evidence("", "gemma-3-4b-it-4bit", None))
    assert found.label == f"bits unknown: quantized with {by}"
    assert (found.bits, found.bits_per_weight, found.mismatch) == (None, None, None)
    assert summary.parameters == 0
    assert found.training.value == "unknown"
    assert summary.size_bytes > OUT * IN // 8 * 2


@pytest.mark.parametrize("said", ["beside", "nothing", "damaged", "config"])
def test_what_modelopt_writes_beside_the_config_is_read(tmp_path: Path, said: str) -> None:
    folder = folder_of(tmp_path, LAYOUTS["ModelOpt NVFP4"][0], {})
    if said != "nothing":
        algorithm = {"quant_algo": "NVFP4", "group_size": 16}
        told = {"producer": {"name": "modelopt"}, "quantization": algorithm}
        (folder / "hf_quant_config.json").write_text("{" if said == "damaged" else json.dumps(told))
    if said == "config":
        (folder / "config.json").write_text('{"quantization_config": {"quant_method": "hqq"}}')
    method = {"beside": "modelopt", "config": "hqq"}.get(said, "")
    assert declared_in(read_config(folder)).method == method
    assert read_model_folder(folder).tensors[0].type == "NVFP4"


def test_a_flat_list_of_words_is_packed_where_a_method_is_named(tmp_path: Path) -> None:
    stored = of((".weight", "U8", (NUMBERS // 2,)))
    found = read_summary(folder_of(tmp_path, stored, {"quant_method": "vptq"}))
    assert (found.label, found.parameters) == ("bits unknown: quantized with vptq", 0)
    order: Stored = [("token_ordering", "I32", (NUMBERS,)), *of((".weight", "BF16", (OUT, IN)))]
    found = read_summary(folder_of(tmp_path, order, {}))
    assert (found.label, found.parameters) == ("BF16", 2 * NUMBERS + IN)


def test_a_method_that_nobody_knows_is_not_read_as_another(tmp_path: Path) -> None:
    summary = read_summary(folder_of(tmp_path, gptq(4), {"quant_method": "gptq-of-tomorrow"}))
    assert summary.label == "bits unknown: quantized with gptq-of-tomorrow"


@pytest.mark.parametrize(
    "stored",
    [
        of((".qweight", "I32", (0, OUT)), (".scales", "F16", (2, OUT))),
        of((".qweight", "I32", (8,)), (".scales", "F16", (2, OUT))),
        of((".qweight", "I32", (7, 9)), (".scales", "F16", (2, 5))),
        of((".trellis", "I16", (4, 4))),
        of((".trellis", "I16", (4, 4, 0))),
        of((".q_weight", "I32", (8, 8)), (".q_invperm", "I32", (0,))),
        of((".W_q", "U8", (8, 8))),
        of((".weight_packed", "U8", (8, 8)), (".weight_scale", "F8_E4M3", (8, 3))),
        of((".weight", "U8", (8, 8)), (".weight_scale", "F32", ())),
        of(("._weight_qdata", "U8", (8, 8))),
    ],
    ids=str,
)
def test_shapes_that_fit_no_packing_are_left_as_they_are(tmp_path: Path, stored: Stored) -> None:
    first, *_ = joined(tmp_path, stored, {})
    assert first.name == stored[0][0]
    assert first.parameters in (0, 8, 16, 63, 64)


def test_an_old_config_that_names_no_method_is_not_taken_for_mlx(tmp_path: Path) -> None:
    model = read_model_folder(folder_of(tmp_path, gptq(4), {"bits": 4, "group_size": 128}))
    assert (model.format, model.tensors[0].type) == ("safetensors", "GPTQ 4-bit g128")


def test_many_groups_and_modules_cost_little(tmp_path: Path) -> None:
    """A config is a stranger's: it is not searched again for each tensor."""
    weights = {"num_bits": 4, "type": "int", "group_size": 7}
    config: dict[str, Any] = {
        "quant_method": "compressed-tensors",
        "config_groups": {f"g{number}": {"weights": weights} for number in range(20_000)},
        "quant_config": {f"m{number}": {"nbits": 4} for number in range(20_000)},
    }
    stored: Stored = []
    for number in range(2_000):
        stored += [
            (f"{number}.weight_packed", "I32", (1, 1)),
            (f"{number}.weight_scale", "BF16", (1, 3)),
            (f"{number}.W_q", "U8", (1, 1)),
        ]
    begin = time.process_time()
    joined(tmp_path, stored, config)
    assert time.process_time() - begin < 10  # each with each would take minutes


def test_plain_weights_stay_plain(tmp_path: Path) -> None:
    stored = [*of((".weight", "BF16", (OUT, IN))), ("position_ids", "I64", (1, 64))]
    summary = read_summary(folder_of(tmp_path, stored, {}))
    assert summary.label == "BF16"
    assert summary.parameters == NUMBERS + IN + 64


def test_the_name_tells_the_method_of_integers(tmp_path: Path) -> None:
    stored, config, _, _ = LAYOUTS["compressed int4"]
    summary = read_summary(folder_of(tmp_path, stored, config))
    found = summary.report(summary.evidence("", "gemma-3-4b-it-AWQ-4bit", None))
    assert (found.label, found.bits, found.mismatch) == ("4-bit AWQ", 4, None)
    found = summary.report(summary.evidence("", "gemma-3-4b-it-quantized.w4a16", None))
    assert (found.label, found.bits, found.mismatch) == ("W4A16", 4, None)
    found = summary.report(summary.evidence("", "gemma-3-4b-it-FP8", None))
    assert found.label == "INT4"
    assert found.mismatch == "named FP8, but its metadata says INT4"


ENDS: Final = sorted(
    {name.removeprefix(P) for stored, *_ in LAYOUTS.values() for name, _, _ in stored}
)
SIZES: Final = (0, 1, 2, 3, 7, 8, 16, 48, 64, 1 << 40)


@given(st.randoms(use_true_random=False))
def test_any_shapes_and_settings_are_read_without_a_fault(draw: Random) -> None:
    stored = {}
    for end in draw.sample(ENDS, draw.randint(1, 12)):
        shape = tuple(draw.choice(SIZES) for _ in range(draw.randint(0, 4)))
        count = prod(shape)
        kind = draw.choice([*DTYPE_BITS, "X9"])
        stored[P + end] = Tensor(P + end, kind, shape, count, count * DTYPE_BITS.get(kind, 8) // 8)
    config = dict(draw.choice(list(LAYOUTS.values()))[1])
    for key in draw.sample(sorted(config), draw.randint(0, len(config))):
        config[key] = draw.choice([None, 0, -1, 4, 4.5, "4", True, [], {}, {"a": 1}])
    before = sum(tensor.bytes or 0 for tensor in stored.values())
    found = with_packed_joined(stored, {"quantization_config": config})
    assert sum(tensor.bytes or 0 for tensor in found) == before
    assert all(tensor.parameters >= 0 and tensor.type for tensor in found)
