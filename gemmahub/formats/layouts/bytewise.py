"""Weights in bytes: FP8, INT8, and two 4-bit numbers a byte (NVFP4, MXFP4, NF4).

Sources: vllm-project/compressed-tensors ``compressors/quantized_compressors/nvfp4_quantized.py``
and ``mxfp4_quantized.py``; NVIDIA/TensorRT-Model-Optimizer ``modelopt/torch/export/quant_utils.py``
(``weight_scale``, ``weight_scale_2``); deepseek-ai/DeepSeek-V3 ``inference/fp8_cast_bf16.py``
(``weight_scale_inv``); openai/gpt-oss ``gpt_oss/torch/weights.py`` (``_blocks``, ``_scales``);
bitsandbytes-foundation/bitsandbytes ``bitsandbytes/nn/modules.py`` (``Params4bit``, ``SCB``);
huggingface/transformers ``src/transformers/integrations/bitnet.py`` (four ternary numbers a byte).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.formats.layouts.parts import Parts, Weight
from gemmahub.formats.layouts.words import COMPRESSED, packed_integers

if TYPE_CHECKING:
    from gemmahub.formats.layouts.parts import Declared

METHODS: Final = frozenset(
    {
        "bitnet",
        "bitsandbytes",
        "bitsandbytes-4bit",
        "bitsandbytes-8bit",
        "eetq",
        "fbgemm-fp8",
        "finegrained-fp8",
        "fp8",
        "modelopt",
        "modelopt-fp4",
        "modelopt-mixed",
        "mxfp4",
        "nvfp4",
    }
)
_POWERS: Final = ("U8", "F8_E8M0")  # types of scales that are powers of two
_NVFP4, _MXFP4 = ("NVFP4", 16), ("MXFP4", 32)
_SCALES: Final = (".weight_scale", ".weight_scale_inv", ".scale", ".weight_scales")
_BESIDE: Final = (
    *COMPRESSED,
    *_SCALES[1:],
    ".weight_scale_2",
    ".activation_scale",
    ".input_scale_ub",
    ".pre_quant_scale",
    ".SCB",
    ".weight_format",
)
_NF4: Final = (
    ".weight.absmax",
    ".weight.quant_map",
    ".weight.nested_absmax",
    ".weight.nested_quant_map",
    ".weight.quant_state.bitsandbytes__nf4",
    ".weight.quant_state.bitsandbytes__fp4",
)


def packed_weight(parts: Parts, declared: Declared) -> Weight | None:
    """``weight_packed`` of compressed-tensors: bytes of two numbers, or words of integers."""
    if parts.main.type != "U8":
        return packed_integers(parts, declared)
    return _two_a_byte(parts, ".weight_scale", COMPRESSED)


def weight(parts: Parts, declared: Declared) -> Weight | None:
    """``weight`` itself, where its type or what lies beside it says that it is quantized."""
    kind = parts.main.type
    if kind == "U8" and parts.get(".weight.absmax") is not None:
        form = "FP4" if parts.get(_NF4[-1]) is not None else "NF4"
        return Weight(f"bnb {form}", parts.main.parameters * 2, _NF4)
    if kind == "I8" and parts.get(".SCB") is not None:
        return Weight("bnb INT8", parts.main.parameters, _BESIDE)
    if declared.method == "bitnet" and kind == "U8" and parts.get(".weight_scale") is not None:
        return Weight("BitNet 2-bit", parts.main.parameters * 4, _BESIDE)
    if not kind.startswith("F8") and kind not in ("U8", "I8"):
        return None
    scale = next((end for end in _SCALES if parts.get(end) is not None), None)
    if scale is None:
        return None
    if kind.startswith("F8"):
        return Weight(_float8(parts, scale), parts.main.parameters, _BESIDE)
    return (
        _two_a_byte(parts, scale, _BESIDE)
        or _two_rows_a_byte(parts, scale)
        or (Weight("INT8", parts.main.parameters, _BESIDE) if kind == "I8" else None)
    )


def blocks(parts: Parts, declared: Declared) -> Weight | None:
    """``…_blocks`` of gpt-oss: 16 bytes hold 32 numbers, which share one of ``…_scales``."""
    scales = parts.get("_scales")
    if parts.main.type != "U8" or scales is None or parts.main.shape[:-1] != scales.shape:
        return None
    return Weight("MXFP4", parts.main.parameters * 2, ("_scales",))


def _float8(parts: Parts, scale: str) -> str:
    found, sizes, shared = parts.get(scale), parts.matrix(), parts.matrix(scale)
    power = found is not None and found.type in _POWERS
    if power and sizes and shared and sizes[1] == 32 * shared[1]:
        return "MXFP8"
    return parts.main.type


def _two_a_byte(parts: Parts, scale: str, beside: tuple[str, ...]) -> Weight | None:
    """Told by how many numbers share a scale, and by the scale's type."""
    found, sizes, shared = parts.get(scale), parts.matrix(), parts.matrix(scale)
    if found is None or sizes is None or shared is None:
        return None
    name, group = _MXFP4 if found.type in _POWERS else _NVFP4
    known = found.type in (*_POWERS, "F8_E4M3")
    if not known or 2 * sizes[1] != group * shared[1]:
        return None
    return Weight(name, parts.main.parameters * 2, beside)


def _two_rows_a_byte(parts: Parts, scale: str) -> Weight | None:
    """ModelOpt's 4-bit integers: out / 2 rows of bytes, a scale for each output and group."""
    sizes, shared = parts.matrix(), parts.matrix(scale)
    if sizes is None or shared is None or 2 * sizes[0] != shared[0] or sizes[1] % shared[1]:
        return None
    return Weight(f"INT4 g{sizes[1] // shared[1]}", parts.main.parameters * 2, _BESIDE)
