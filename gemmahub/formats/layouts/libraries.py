"""Layouts of one library each: EXL2, EXL3, HQQ, quanto, torchao, AQLM.

Sources: turboderp-org/exllamav2 ``exllamav2/ext.py`` (``make_q_matrix``); turboderp-org/exllamav3
``exllamav3/modules/quant/exl3.py`` (tiles of 16 × 16, ``trellis.shape[-1] // 16`` bits);
mobiusml/hqq ``hqq/core/quantize.py`` and ``bitpack.py``; huggingface/optimum-quanto
``optimum/quanto/tensor``; pytorch/ao ``torchao/prototype/safetensors`` (``_weight_qdata``) and
``torchao/quantization/quantize_/workflows``; vllm-project/vllm
``vllm/model_executor/layers/quantization/aqlm.py`` (``codes`` of out × in / group × books, numbers
of entries of ``codebooks``: books × entries × group of outputs × group of inputs).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.layouts.parts import WIDTHS, Parts, Weight, whole

if TYPE_CHECKING:
    from gemmahub.formats.layouts.parts import Declared
    from gemmahub.formats.tensor import Tensor

METHODS: Final = frozenset({"exl2", "exl3", "hqq", "quanto", "torchao", "aqlm"})
_AQLM: Final = (".codebooks", ".scales")
_TILE: Final = 16
_EXL2: Final = (".q_scale", ".q_scale_max", ".q_groups", ".q_perm", ".q_invperm")
_EXL3: Final = (".suh", ".svh", ".su", ".sv", ".mcg", ".mul1")
_HQQ: Final = tuple(
    "." + name
    for name in (
        *("scale", "zero", "meta", "shape", "axis", "nbits", "group_size", "packing"),
        *("quant_scale", "quant_zero", "scale_q", "zero_q", "meta_scale", "meta_zero"),
        *("channel_wise", "optimize", "round_zero", "view_as_float", "unpack_view_dtype"),
        *("encoded_state_dict", "stores_quant_config", "compute_dtype", "offload_meta"),
    )
)
_QUANTO: Final = (".weight._scale", ".weight._shift", ".input_scale", ".output_scale")
_QUANTO_GROUP: Final = 128
_DEPTH: Final = 8  # parts of a module's name that a config may call it by
_TORCHAO: Final = tuple(
    prefix + name
    for prefix in ("._weight_", ".weight.__")
    for name in (
        *("scale", "zero_point", "scale_and_zero", "group_scale", "group_zero", "row_scale"),
        *("per_tensor_scale", "act_per_tensor_scale", "act_pre_scale"),
    )
)


def exl2(parts: Parts, declared: Declared) -> Weight | None:
    """``q_weight``: as many bits as each group of rows was given, on the average of the matrix."""
    sizes = parts.matrix()
    order = parts.get(".q_invperm") or parts.get(".q_perm")
    if sizes is None or order is None or not order.parameters:
        return None
    parameters = order.parameters * sizes[1]
    bits = round(parts.main.parameters * parts.word / parameters)
    return Weight(f"EXL2 {bits}-bit", parameters, _EXL2) if bits in WIDTHS else None


def aqlm(parts: Parts, declared: Declared) -> Weight | None:
    """``codes``: for each group of weights a number of an entry in each of the books."""
    codes, books = parts.main.shape, parts.get(".codebooks")
    if len(codes) != 3 or books is None or len(books.shape) != 4 or 0 in books.shape:
        return None
    count, entries, rows, columns = books.shape
    group, taken = rows * columns, count * (entries - 1).bit_length()
    if (
        codes[2] != count
        or entries & (entries - 1)
        or taken % group
        or taken // group not in WIDTHS
    ):
        return None
    return Weight(f"AQLM {taken // group}-bit", codes[0] * rows * codes[1] * columns, _AQLM)


def exl3(parts: Parts, declared: Declared) -> Weight | None:
    """``trellis``: tiles of 16 × 16 weights, 16 words of 16 bits for each bit of a weight."""
    shape = parts.main.shape
    if len(shape) < 3 or parts.word != _TILE or shape[-1] % _TILE:
        return None
    bits = shape[-1] // _TILE
    tiles = parts.main.parameters // (shape[-1] or 1)
    return Weight(f"EXL3 {bits}-bit", tiles * _TILE**2, _EXL3) if bits in WIDTHS else None


def hqq(parts: Parts, declared: Declared) -> Weight | None:
    """``W_q``: 8 / bits weights a byte, or ten of 3 bits in a word of 32."""
    scale = parts.get(".scale")
    said = _hqq_settings(parts, declared)
    bits, group = whole(said.get("nbits")), whole(said.get("group_size"))
    held = {b: 8 // b for b in (8, 4, 2, 1)} if parts.word == 8 else {3: 10}
    fits = [b for b in held if b == bits]
    if not fits and scale is not None and group:
        fits = [b for b in held if parts.main.parameters * held[b] == scale.parameters * group]
    if not fits or parts.word not in (8, 32):
        return None
    name = f"HQQ {fits[0]}-bit" + (f" g{group}" if group else "")
    return Weight(name, parts.main.parameters * held[fits[0]], _HQQ)


def _hqq_settings(parts: Parts, declared: Declared) -> Any:
    """The settings of this module (those of ``dynamic_config`` are named by the module's end)."""
    config, words = declared.part("quant_config"), parts.module.split(".")
    for first in range(max(0, len(words) - _DEPTH), len(words)):
        entry = config.get(".".join(words[first:]))
        if isinstance(entry, dict):
            own = entry.get("weight_quant_params", entry)
            return own if isinstance(own, dict) else {}
    return declared.part("quant_config", "weight_quant_params") or declared.config


def quanto(parts: Parts, declared: Declared) -> Weight | None:
    """``weight._data``: a byte for each weight, or several in a byte of its own ``_data``."""
    if not parts.main.name.endswith("._data._data"):
        kind = {"I8": "INT8"}.get(parts.main.type, parts.main.type)
        known = kind == "INT8" or kind.startswith("F8")
        return Weight(f"quanto {kind}", parts.main.parameters, _QUANTO) if known else None
    said = declared.config.get("weights")
    fits = [bits for bits in (4, 2) if said in (f"int{bits}", f"qint{bits}")]
    scale = parts.get(".weight._scale")
    if not fits and scale is not None:
        whole_ = scale.parameters * _QUANTO_GROUP
        fits = [bits for bits in (4, 2) if parts.main.parameters * (8 // bits) == whole_]
    if not fits or parts.word != 8:
        return None
    return Weight(f"quanto INT{fits[0]}", parts.main.parameters * (8 // fits[0]), _QUANTO)


def torchao(parts: Parts, declared: Declared) -> Weight | None:
    """``_weight_qdata``: what its scales say of it, for a type alone has several meanings."""
    kind, count = parts.main.type, parts.main.parameters
    scale = next((s for end in _TORCHAO if end.endswith("scale") and (s := parts.get(end))), None)
    if kind.startswith("F8"):
        return Weight(f"torchao {kind}", count, _TORCHAO)
    if kind == "I32":  # tiles for tensor cores, eight weights a word
        return Weight("torchao INT4", count * 8, _TORCHAO)
    if kind not in ("I8", "U8"):
        return None
    if scale is not None and scale.type in ("F8_E4M3", "F8_E8M0") and kind == "U8":
        name = "NVFP4" if scale.type == "F8_E4M3" else "MXFP4"
        return Weight(name, count * 2, _TORCHAO)
    grouped = parts.get("._weight_group_scale") is not None
    if grouped or _across(parts, scale):
        return Weight("torchao INT4", count * 2, _TORCHAO)
    return Weight("torchao INT8", count, _TORCHAO) if kind == "I8" else None


def _across(parts: Parts, scale: Tensor | None) -> bool:
    """Whether the scales lie the other way round, (groups, out): so do those of two a byte."""
    sizes = parts.matrix()
    if sizes is None or scale is None or len(scale.shape) != 2 or scale.shape[1] != sizes[0]:
        return False
    groups = scale.shape[0]
    return groups != sizes[0] and 2 * sizes[1] % groups == 0 and 2 * sizes[1] // groups >= 16
