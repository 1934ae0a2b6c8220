"""Integers in words: GPTQ, AWQ, auto-round, and ``pack-quantized`` of compressed-tensors.

Sources: AutoGPTQ/AutoGPTQ ``nn_modules/qlinear/qlinear_cuda.py`` (``qweight`` of in × bits / 32
rows), casper-hansen/AutoAWQ ``awq/modules/linear/gemm.py`` (out × bits / 32 columns) and
``gemv.py``, intel/auto-round ``auto_round/export/export_to_autoround`` (both packings, by
``packing_format``), vllm-project/compressed-tensors
``compressors/quantized_compressors/pack_quantized.py`` (32 // bits weights a word, along the rows).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.layouts.parts import WIDTHS, Declared, Parts, Weight, named, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARLIN: Final = (".s", ".workspace")
BESIDE: Final = (".qzeros", ".scales", ".g_idx")
_NAMES: Final = {
    "gptq": "GPTQ",
    "gptq-marlin": "GPTQ",
    "gptq-v2": "GPTQ",
    "auto-gptq": "GPTQ",
    "marlin": "GPTQ",
    "awq": "AWQ",
    "awq-marlin": "AWQ",
    "auto-round": "auto-round",
    "intel/auto-round": "auto-round",
    "inc": "auto-round",
}
_MOST_GROUPS: Final = 64  # of one config: published ones have one to three
METHODS: Final = frozenset((*_NAMES, "compressed-tensors"))

COMPRESSED: Final = (
    ".weight_scale",
    ".weight_zero_point",
    ".weight_shape",
    ".weight_g_idx",
    ".weight_global_scale",
    ".input_global_scale",
    ".input_scale",
    ".input_zero_point",
)


def words(parts: Parts, declared: Declared) -> Weight | None:
    """``qweight``: packed down the columns (GPTQ), or along the rows (AWQ)."""
    size, scales = parts.matrix(), parts.matrix(".scales")
    if size is None or scales is None or not parts.word:
        return _bytes(parts)
    (rows, columns), (groups, out) = size, scales
    if columns == out:
        return _gptq(parts, declared, rows, groups, out)
    kind = _NAMES.get(declared.method, "AWQ")
    if groups == rows:  # the layout "gemv": a row for each output
        bits = declared.number("bits", "w_bit")
        if bits not in WIDTHS or columns * parts.word % bits:
            return None
        length = columns * parts.word // bits
        zeros = parts.get(".qzeros")
        # Scales are padded: zeros and scales have more columns than there are groups.
        group = declared.number("group_size", "q_group_size")
        count = -(-length // group) if group else 1
        return Weight(named(kind, bits, length, count if zeros else 1), rows * length, BESIDE)
    bits = columns * parts.word // out
    if bits not in WIDTHS or columns * parts.word % out:
        return None
    return Weight(named(kind, bits, rows, groups), parts.lead * rows * out, BESIDE)


def _gptq(parts: Parts, declared: Declared, rows: int, groups: int, out: int) -> Weight | None:
    order = parts.get(".g_idx")
    length = order.shape[-1] if order is not None and order.shape else 0
    stored = rows * parts.word
    if not length or stored % length or stored // length not in WIDTHS:
        length = _row_length(stored, groups, declared)
    if not length:
        return None
    kind = _NAMES.get(declared.method, "GPTQ")
    return Weight(named(kind, stored // length, length, groups), parts.lead * length * out, BESIDE)


def _row_length(stored: int, groups: int, declared: Declared) -> int:
    """Weights in a row that takes ``stored`` bits, by the number of its groups; else by the bits
    that are declared; 0 where nothing fits."""
    said, group = declared.number("bits", "w_bit"), declared.number("group_size")
    fits = [b for b in (said, *WIDTHS) if b in WIDTHS and stored % b == 0]
    if group:
        fits = [b for b in fits if -(-stored // b // group) == groups]
    elif said not in WIDTHS:
        return 0
    return stored // fits[0] if fits else 0


def marlin(parts: Parts, declared: Declared) -> Weight | None:
    """``B``: 4 bits in tiles of 16 inputs (IST-DASLab/marlin ``marlin/__init__.py``)."""
    size, scales = parts.matrix(), parts.matrix(".s")
    if size is None or scales is None or parts.main.type != "I32" or size[1] != 2 * scales[1]:
        return None
    length = 16 * size[0]
    return Weight(named("GPTQ", 4, length, scales[0]), length * scales[1], _MARLIN)


def _bytes(parts: Parts) -> Weight | None:
    """EETQ: ``qweight`` of a byte for each weight, ``weight_scales`` beside it."""
    if parts.main.type != "I8" or parts.get(".weight_scales") is None:
        return None
    return Weight("INT8", parts.main.parameters, (".weight_scales",))


def packed_integers(parts: Parts, declared: Declared) -> Weight | None:
    """``weight_packed`` in words of 32 bits; which of the declared groups it is, shapes say."""
    size, scales = parts.matrix(), parts.matrix(".weight_scale")
    if size is None or scales is None or parts.main.type not in ("I32", "U32"):
        return None
    (rows, columns), (_, groups) = size, scales
    known = list(_groups(declared))
    fits = [
        (bits, columns * (32 // bits))
        for bits, group in known
        if (1 if group == 0 else -(-columns * (32 // bits) // group)) == groups
    ]
    if not fits and len({bits for bits, _ in known}) == 1:  # a scale for each weight's row, or one
        fits = [(known[0][0], columns * (32 // known[0][0]))]
    if not fits:
        return None
    bits, length = fits[0]
    group = -(-length // groups) if groups > 1 else 0
    kind = f"INT{bits}" + (f" g{group}" if group else "")
    return Weight(kind, parts.lead * rows * length, COMPRESSED)


def _groups(declared: Declared) -> Iterator[tuple[int, int]]:
    """Bits and group size of each of ``config_groups``; 0 for a scale of a whole row."""
    for entry in islice(declared.part("config_groups").values(), _MOST_GROUPS):
        weights: Any = entry.get("weights") if isinstance(entry, dict) else None
        if isinstance(weights, dict) and weights.get("type", "int") == "int":
            bits = whole(weights.get("num_bits"))
            if bits in WIDTHS:
                yield bits, whole(weights.get("group_size"))
