"""The tensors of one matrix in every layout of safetensors, as their tools write them.

Each matrix has 64 outputs and 256 inputs. Where names and shapes come from is said in the modules
of ``gemmahub.formats.layouts``.
"""

from __future__ import annotations

from typing import Any, Final

OUT, IN = 64, 256
NUMBERS: Final = OUT * IN
Stored = list[tuple[str, str, tuple[int, ...]]]
P: Final = "model.layers.0.mlp.up_proj"
NORM: Final = ("model.norm.weight", "BF16", (IN,))


def of(*parts: tuple[str, str, tuple[int, ...]]) -> Stored:
    return [(P + end, dtype, shape) for end, dtype, shape in parts]


def ints(bits: int, group: int | None, **more: Any) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": "int", "group_size": group, "symmetric": True} | more
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "config_groups": groups}


def gptq(bits: int, group: int = 128, *, order: bool = True) -> Stored:
    parts = of(
        (".qweight", "I32", (IN * bits // 32, OUT)),
        (".qzeros", "I32", (IN // group, OUT * bits // 32)),
        (".scales", "F16", (IN // group, OUT)),
    )
    return parts + (of((".g_idx", "I32", (IN,))) if order else [])


def awq(bits: int = 4, group: int = 64) -> Stored:
    return of(
        (".qweight", "I32", (IN, OUT * bits // 32)),
        (".qzeros", "I32", (IN // group, OUT * bits // 32)),
        (".scales", "F16", (IN // group, OUT)),
    )


def nvfp4_compressed(name: str = "weight_packed") -> Stored:
    return of(
        (f".{name}", "U8", (OUT, IN // 2)),
        (".weight_scale", "F8_E4M3", (OUT, IN // 16)),
        (".weight_global_scale", "F32", (1,)),
        (".input_global_scale", "F32", (1,)),
    )


CT: Final = {"quant_method": "compressed-tensors"}
LAYOUTS: Final[dict[str, tuple[Stored, dict[str, Any], str, str]]] = {
    # name: tensors of one matrix, quantization_config, type, label
    "compressed int4": (
        of(
            (".weight_packed", "I32", (OUT, IN // 8)),
            (".weight_scale", "BF16", (OUT, IN // 32)),
            (".weight_shape", "I64", (2,)),
        ),
        ints(4, 32), "INT4 g32", "INT4",
    ),
    "compressed int4 with zero points and order": (
        of(
            (".weight_packed", "I32", (OUT, IN // 8)),
            (".weight_scale", "BF16", (OUT, IN // 128)),
            (".weight_zero_point", "I32", (OUT // 8, IN // 128)),
            (".weight_g_idx", "I32", (IN,)),
            (".weight_shape", "I64", (2,)),
        ),
        ints(4, 128, symmetric=False), "INT4 g128", "INT4",
    ),
    "compressed int8, a scale a row": (
        of(
            (".weight_packed", "I32", (OUT, IN // 4)),
            (".weight_scale", "BF16", (OUT, 1)),
            (".weight_shape", "I64", (2,)),
        ),
        ints(8, None), "INT8", "INT8",
    ),
    "compressed int8 in bytes": (
        of((".weight", "I8", (OUT, IN)), (".weight_scale", "BF16", (OUT, 1))),
        ints(8, None), "INT8", "INT8",
    ),
    "AQLM, two books": (
        of(
            (".codes", "I8", (OUT, IN // 8, 2)),
            (".codebooks", "F16", (2, 256, 1, 8)),
            (".scales", "F16", (OUT, 1, 1, 1)),
        ),
        {"quant_method": "aqlm", "in_group_size": 8}, "AQLM 2-bit", "2-bit AQLM",
    ),
    "AQLM, one book": (
        of(
            (".codes", "I16", (OUT, IN // 8, 1)),
            (".codebooks", "F16", (1, 65536, 1, 8)),
            (".scales", "F16", (OUT, 1, 1, 1)),
        ),
        {"quant_method": "aqlm"}, "AQLM 2-bit", "2-bit AQLM",
    ),
    "BitNet": (
        of((".weight", "U8", (OUT // 4, IN)), (".weight_scale", "BF16", (1,))),
        {"quant_method": "bitnet"}, "BitNet 2-bit", "2-bit BitNet",
    ),
    "compressed NVFP4": (nvfp4_compressed(), CT, "NVFP4", "NVFP4"),
    "compressed MXFP4": (
        of((".weight_packed", "U8", (OUT, IN // 2)), (".weight_scale", "U8", (OUT, IN // 32))),
        CT, "MXFP4", "MXFP4",
    ),
    "compressed FP8": (
        of((".weight", "F8_E4M3", (OUT, IN)), (".weight_scale", "BF16", (OUT, 1)),
           (".input_scale", "F32", (1,))),
        CT, "F8_E4M3", "FP8",
    ),
    "compressed MXFP8": (
        of((".weight", "F8_E4M3", (OUT, IN)), (".weight_scale", "U8", (OUT, IN // 32))),
        CT, "MXFP8", "MXFP8",
    ),
    "FP8 in blocks": (
        of((".weight", "F8_E4M3", (OUT, IN)), (".weight_scale_inv", "F32", (1, 2))),
        {"quant_method": "fp8", "weight_block_size": [128, 128]}, "F8_E4M3", "FP8",
    ),
    "ModelOpt NVFP4": (
        of(
            (".weight", "U8", (OUT, IN // 2)),
            (".weight_scale", "F8_E4M3", (OUT, IN // 16)),
            (".weight_scale_2", "F32", ()),
            (".input_scale", "F32", ()),
        ),
        {"quant_method": "modelopt", "quant_algo": "NVFP4"}, "NVFP4", "NVFP4",
    ),
    "ModelOpt int4": (
        of((".weight", "U8", (OUT // 2, IN)), (".weight_scale", "F32", (OUT, IN // 128)),
           (".pre_quant_scale", "BF16", (IN,))),
        {"quant_method": "modelopt", "quant_algo": "W4A16_AWQ"}, "INT4 g128", "INT4",
    ),
    "GPTQ": (
        gptq(4), {"quant_method": "gptq", "bits": 4, "group_size": 128},
        "GPTQ 4-bit g128", "4-bit GPTQ",
    ),
    "GPTQ of 3 bits without an order": (
        gptq(3, order=False), {"quant_method": "gptq", "bits": 3, "group_size": 128},
        "GPTQ 3-bit g128", "3-bit GPTQ",
    ),
    "GPTQ whose own bits of a module differ": (
        gptq(8), {"quant_method": "gptq", "bits": 4, "group_size": 128},
        "GPTQ 8-bit g128", "8-bit GPTQ",
    ),
    "GPTQ without config": (gptq(2), {}, "GPTQ 2-bit g128", "2-bit GPTQ"),
    "GPTQ in Marlin's order": (
        of((".B", "I32", (IN // 16, OUT * 2)), (".s", "F16", (IN // 128, OUT)),
           (".workspace", "I32", (8,))),
        {"quant_method": "gptq", "bits": 4, "group_size": 128, "is_marlin_format": True},
        "GPTQ 4-bit g128", "4-bit GPTQ",
    ),
    "AWQ": (
        awq(), {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm"},
        "AWQ 4-bit g64", "4-bit AWQ",
    ),
    "AWQ gemv": (
        of(
            (".qweight", "I32", (OUT, IN // 8)),
            (".qzeros", "I32", (OUT, 1)),
            (".scales", "F16", (OUT, 8)),
        ),
        {"quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemv"},
        "AWQ 4-bit g64", "4-bit AWQ",
    ),
    "auto-round as GPTQ": (
        gptq(4, order=False),
        {"quant_method": "auto-round", "bits": 4, "group_size": 128,
         "packing_format": "auto_round:auto_gptq"},
        "auto-round 4-bit g128", "4-bit auto-round",
    ),
    "auto-round as AWQ": (
        awq(), {"quant_method": "intel/auto-round", "bits": 4, "group_size": 64,
                "packing_format": "auto_round:auto_awq"},
        "auto-round 4-bit g64", "4-bit auto-round",
    ),
    "bitsandbytes NF4": (
        of(
            (".weight", "U8", (NUMBERS // 2, 1)),
            (".weight.absmax", "U8", (NUMBERS // 64,)),
            (".weight.quant_map", "F32", (16,)),
            (".weight.nested_absmax", "F32", (1,)),
            (".weight.nested_quant_map", "F32", (256,)),
            (".weight.quant_state.bitsandbytes__nf4", "U8", (80,)),
        ),
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        "bnb NF4", "4-bit bitsandbytes",
    ),
    "bitsandbytes FP4": (
        of(
            (".weight", "U8", (NUMBERS // 2, 1)),
            (".weight.absmax", "F32", (NUMBERS // 64,)),
            (".weight.quant_map", "F32", (16,)),
            (".weight.quant_state.bitsandbytes__fp4", "U8", (80,)),
        ),
        {"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb FP4", "4-bit bitsandbytes",
    ),
    "bitsandbytes of 8 bits": (
        of((".weight", "I8", (OUT, IN)), (".SCB", "F32", (OUT,)), (".weight_format", "U8", ())),
        {"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb INT8", "8-bit bitsandbytes",
    ),
    "EETQ": (
        of((".qweight", "I8", (IN, OUT)), (".weight_scales", "F16", (OUT,))),
        {"quant_method": "eetq"}, "INT8", "INT8",
    ),
    "EXL2": (
        of(
            (".q_weight", "I32", (IN * 4 // 32, OUT)),
            (".q_scale", "I32", (2, OUT // 8)),
            (".q_scale_max", "F16", (2,)),
            (".q_groups", "I16", (4,)),
            (".q_invperm", "I32", (IN,)),
        ),
        {"quant_method": "exl2", "bits": 4.25, "head_bits": 6}, "EXL2 4-bit", "4-bit EXL2",
    ),
    "EXL3": (
        of(
            (".trellis", "I16", (IN // 16, OUT // 16, 16 * 3)),
            (".suh", "F16", (IN,)),
            (".svh", "F16", (OUT,)),
            (".mcg", "I32", ()),
        ),
        {"quant_method": "exl3", "bits": 3.0, "head_bits": 6}, "EXL3 3-bit", "3-bit EXL3",
    ),
    "torchao float8": (
        of(("._weight_qdata", "F8_E4M3", (OUT, IN)), ("._weight_scale", "F32", (OUT, 1))),
        {"quant_method": "torchao"}, "torchao F8_E4M3", "8-bit torchao",
    ),
    "torchao int8": (
        of(
            ("._weight_qdata", "I8", (OUT, IN)),
            ("._weight_scale", "F32", (OUT, IN // 32)),
            ("._weight_zero_point", "I8", (OUT, IN // 32)),
        ),
        {"quant_method": "torchao"}, "torchao INT8", "8-bit torchao",
    ),
    "torchao int4": (
        of(
            ("._weight_qdata", "U8", (OUT, IN // 2)),
            ("._weight_scale", "BF16", (IN // 128, OUT)),
            ("._weight_zero_point", "BF16", (IN // 128, OUT)),
        ),
        {"quant_method": "torchao"}, "torchao INT4", "4-bit torchao",
    ),
    "torchao int4 in tiles": (
        of(
            ("._weight_qdata", "I32", (OUT // 8, IN // 128, 32, 4)),
            ("._weight_scale_and_zero", "BF16", (IN // 128, OUT, 2)),
        ),
        {"quant_method": "torchao"}, "torchao INT4", "4-bit torchao",
    ),
    "HQQ": (
        of(
            (".W_q", "U8", (32, NUMBERS // 64)),
            (".scale", "F16", (1, NUMBERS // 64)),
            (".zero", "F16", (1, NUMBERS // 64)),
            (".shape", "I64", (2,)),
            (".nbits", "I64", ()),
        ),
        {"quant_method": "hqq", "quant_config": {
            "weight_quant_params": {"nbits": 4, "group_size": 64, "axis": 0}}},
        "HQQ 4-bit g64", "4-bit HQQ",
    ),
    "HQQ with settings of each module": (
        of((".W_q", "U8", (16, NUMBERS // 64)), (".scale", "F16", (1, NUMBERS // 64))),
        {"quant_method": "hqq", "quant_config": {
            "self_attn.q_proj": {"weight_quant_params": {"nbits": 4, "group_size": 64}},
            "mlp.up_proj": {"weight_quant_params": {"nbits": 2, "group_size": 64}}}},
        "HQQ 2-bit g64", "2-bit HQQ",
    ),
    "quanto int8": (
        of((".weight._data", "I8", (OUT, IN)), (".weight._scale", "BF16", (OUT, 1)),
           (".input_scale", "BF16", ()), (".output_scale", "BF16", ())),
        {"quant_method": "quanto", "weights": "int8"}, "quanto INT8", "8-bit quanto",
    ),
    "quanto int4": (
        of(
            (".weight._data._data", "U8", (64, NUMBERS // 128)),
            (".weight._scale", "BF16", (NUMBERS // 128, 1)),
            (".weight._shift", "BF16", (NUMBERS // 128, 1)),
        ),
        {"quant_method": "quanto", "weights": "int4"}, "quanto INT4", "4-bit quanto",
    ),
    "quanto int2 without its bits": (
        of((".weight._data._data", "U8", (32, NUMBERS // 128)),
           (".weight._scale", "BF16", (NUMBERS // 128, 1))),
        {"quant_method": "quanto"}, "quanto INT2", "2-bit quanto",
    ),
    "quanto float8": (
        of((".weight._data", "F8_E4M3", (OUT, IN)), (".weight._scale", "BF16", (OUT, 1))),
        {"quant_method": "quanto", "weights": "float8"}, "quanto F8_E4M3", "8-bit quanto",
    ),
}  # fmt: skip
