"""Which type llama.cpp's quantizer gives to each tensor of a model.

The rules are those of ``src/llama-quant.cpp`` (``tensor_allows_quantization``,
``llama_tensor_get_type_impl``, ``tensor_type_fallback``, ``tensor_requires_imatrix``) of
ggml-org/llama.cpp@0c1e57098, but for what only Falcon, GLM 5 and models of 70B have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from gemmahub.formats.ggml_types import FILE_TYPE_LABELS, GGML_TYPES_BY_NAME
from gemmahub.precision.mix import main_type, mix_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gemmahub.formats.tensor import Tensor

# The type of most tensors of a file with that label (``llama_ftype_get_default_type``).
BASE_TYPES: Final[dict[str, str]] = {
    "F32": "F32", "F16": "F16", "BF16": "BF16",
    "Q8_0": "Q8_0", "Q5_0": "Q5_0", "Q5_1": "Q5_1", "Q4_0": "Q4_0", "Q4_1": "Q4_1",
    "Q2_0": "Q2_0", "Q1_0": "Q1_0",
    "Q6_K": "Q6_K", "Q5_K_M": "Q5_K", "Q5_K_S": "Q5_K", "Q4_K_M": "Q4_K", "Q4_K_S": "Q4_K",
    "Q3_K_L": "Q3_K", "Q3_K_M": "Q3_K", "Q3_K_S": "Q3_K", "Q2_K": "Q2_K", "Q2_K_S": "Q2_K",
    "IQ4_NL": "IQ4_NL", "IQ4_XS": "IQ4_XS", "IQ3_M": "IQ3_S", "IQ3_S": "IQ3_S",
    "IQ3_XS": "IQ3_S", "IQ3_XXS": "IQ3_XXS", "IQ2_M": "IQ2_S", "IQ2_S": "IQ2_XS",
    "IQ2_XS": "IQ2_XS", "IQ2_XXS": "IQ2_XXS", "IQ1_M": "IQ1_M", "IQ1_S": "IQ1_S",
    "TQ1_0": "TQ1_0", "TQ2_0": "TQ2_0", "MXFP4_MOE": "MXFP4",
}  # fmt: skip
"""What a whole model can be made to, each with the type of most of its tensors."""

UNQUANTIZED: Final = frozenset({"F32", "F16", "BF16"})
TENSOR_TYPES: Final = frozenset({*BASE_TYPES.values(), "Q3_K", "IQ2_S", "NVFP4"})
"""What a single tensor can be made to."""

_FALLBACK: Final = {
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}
_NEED_IMPORTANCE: Final = frozenset({"IQ3_XXS", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ1_M", "IQ1_S"})
_TINY: Final = frozenset({"IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ2_S", "IQ2_M", "IQ1_M"})
_COPIED: Final = (
    "_norm.weight", "ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj",
    "position_embd", ".rel_pos", ".patch_embd", ".patch_merger", "token_types.weight",
    "ssm_conv1d", "shortconv.conv.weight",
)  # fmt: skip
_TABLES: Final = ("token_embd.weight", "per_layer_token_embd.weight")
_OUTPUT: Final = "output.weight"
_LAYER: Final = re.compile(r"blk\.(\d+)\.")
# Parts of names, the first that is found decides (``tensor_get_category``).
_KINDS: Final = (
    ("attn_qkv.weight", "qkv"), ("attn_kv_b.weight", "v"), ("attn_v.weight", "v"),
    ("attn_k.weight", "k"), ("attn_q.weight", "q"), ("attn_output.weight", "attention output"),
    ("ffn_up", "up"), ("ffn_gate", "gate"), ("ffn_down", "down"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recipe:
    """``label`` is one of :data:`BASE_TYPES`, or "" where all but the exceptions stays as it is.
    ``exceptions`` are types by tensor name; ``importance``: there is an importance matrix."""

    label: str
    exceptions: Mapping[str, str] = field(default_factory=dict)
    importance: bool = False


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """A tensor as it will be. ``was`` is its type now, ``wanted`` the one that the recipe gives it,
    which is another than its own where a row cannot be cut into that type's blocks."""

    tensor: Tensor
    was: str
    wanted: str
    needs_importance: bool = False

    @property
    def falls_back(self) -> bool:
        """Whether it cannot have the type that it should."""
        return self.wanted != self.tensor.type


def planned_tensors(
    tensors: Iterable[Tensor], metadata: Mapping[str, Any], recipe: Recipe
) -> tuple[PlannedTensor, ...]:
    """What a recipe makes of each tensor, in the order in which llama.cpp writes them.

    ``metadata`` is that of the GGUF file. Raises: KeyError for a label that is none.
    """
    ordered = sorted(tensors, key=lambda tensor: (_layer_of(tensor.name), tensor.name))
    rules = _Rules(ordered, metadata, recipe)
    return tuple(map(rules.planned, ordered))


def fitting_type(wanted: str, columns: int) -> str:
    """``wanted``, or its substitute where ``columns`` weights cannot be cut into its blocks."""
    if columns % (GGML_TYPES_BY_NAME[wanted].block_size or 1) == 0:
        return wanted
    substitute = _FALLBACK.get(wanted, wanted)
    block = GGML_TYPES_BY_NAME[substitute].block_size or 1
    return substitute if columns % block == 0 else "F16"


def file_type(label: str, metadata: Mapping[str, Any], tensors: Iterable[Tensor]) -> int:
    """``general.file_type`` of a file that is made: by its label; where tensors stay as they are,
    the one that it has, else by the type of most."""
    numbers = {name: number for number, name in FILE_TYPE_LABELS.items()}
    if label:
        return numbers[label]
    if type(known := metadata.get("general.file_type")) is int:
        return known
    main = main_type(mix_of(tensors))
    return numbers.get(main, numbers.get(f"{main}_M", numbers["F32"]))


def is_quantizable(tensor: Tensor) -> bool:
    """Whether llama.cpp's quantizer may store a tensor in another type: matrices of weights, but
    not the small ones that decide much."""
    shape = list(tensor.shape)
    while shape and shape[-1] == 1:
        shape.pop()
    name = tensor.name
    return len(shape) > 1 and name.endswith("weight") and not any(p in name for p in _COPIED)


def _layer_of(name: str) -> int:
    match = _LAYER.match(name)
    return int(match[1]) if match else -1


def _kind_of(name: str) -> str:
    if name == _OUTPUT:
        return "output"
    if name in _TABLES:
        return "table"
    return next((kind for part, kind in _KINDS if part in name), "")


def _more_bits(position: int, count: int) -> bool:
    """The first and the last eighth, and every third in between (``use_more_bits``)."""
    eighth = count // 8
    return position < eighth or position >= 7 * count // 8 or (position - eighth) % 3 == 2


class _Rules:
    """The rules, and how far llama.cpp has counted."""

    def __init__(
        self, tensors: Iterable[Tensor], metadata: Mapping[str, Any], recipe: Recipe
    ) -> None:
        self._recipe = recipe
        self._label = recipe.label
        names = [tensor.name for tensor in tensors]
        self._tied = _OUTPUT not in names
        self._values = sum(_kind_of(name) in ("v", "qkv") for name in names)
        self._seen: dict[str, int] = {}
        name = metadata.get("general.architecture", "")
        self._layers = _whole(metadata.get(f"{name}.block_count"))
        self._experts = _whole(metadata.get(f"{name}.expert_count"))
        heads = _whole(metadata.get(f"{name}.attention.head_count"))
        shared = metadata.get(f"{name}.attention.head_count_kv", heads)
        self._many = bool(_whole(shared)) and heads // _whole(shared) >= 4

    def planned(self, tensor: Tensor) -> PlannedTensor:
        """What becomes of a tensor; to be asked in order."""
        wanted = self._wanted(tensor)
        chosen = wanted if wanted == tensor.type else fitting_type(wanted, tensor.shape[0])
        needs = tensor.name not in (*_TABLES, _OUTPUT) and (
            chosen in _NEED_IMPORTANCE or (chosen == "Q2_K" and self._label == "Q2_K_S")
        )
        size = GGML_TYPES_BY_NAME[chosen].bytes_for(tensor.shape) if chosen != tensor.type else None
        made = replace(tensor, type=chosen, bytes=tensor.bytes if size is None else size)
        return PlannedTensor(made, tensor.type, wanted, needs and chosen != tensor.type)

    def _wanted(self, tensor: Tensor) -> str:
        if not is_quantizable(tensor):
            return tensor.type
        if (named := self._recipe.exceptions.get(tensor.name)) is not None:
            return named
        if not self._label:
            return tensor.type
        base = BASE_TYPES[self._label]
        return base if base in UNQUANTIZED else self._by_rule(tensor, base)

    def _by_rule(self, tensor: Tensor, base: str) -> str:
        kind, label = _kind_of(tensor.name), self._label
        if kind == "output" or (kind == "table" and self._tied):
            return _output_type(label, base, tensor.shape[0])
        if label == "MXFP4_MOE":
            return "MXFP4" if len(tensor.shape) > 2 and tensor.shape[2] > 1 else "Q8_0"
        if kind == "table":
            return _table_type(label, base)
        rule: Callable[[str, int], str] | None = {
            "v": self._value, "qkv": self._value, "k": self._key, "q": self._query,
            "down": self._down, "attention output": self._attention_output,
            "gate": self._gate, "up": self._gate,
        }.get(kind)  # fmt: skip
        counted = "v" if kind == "qkv" else kind
        position = self._seen.get(counted, 0)
        self._seen[counted] = position + 1
        if self._experts > 1 and kind in ("down", "gate", "up"):
            position = _layer_of(tensor.name)
        if label in _TINY:
            return self._tiny(kind, base, position)
        return base if rule is None else rule(base, position)

    def _tiny(self, kind: str, base: str, position: int) -> str:
        """The mixes of two bits and less."""
        better = self._label in ("IQ2_S", "IQ2_M")
        if kind in ("v", "qkv"):
            return "Q4_K" if self._many or self._experts >= 4 else "IQ3_S" if better else "Q2_K"
        if kind == "down" and position < self._layers // 8:
            return "IQ3_S" if better else "Q2_K"
        if kind == "attention output" and self._experts == 8:
            return "Q5_K"
        if kind == "attention output":
            small = "IQ2_XXS" if self._label in ("IQ1_S", "IQ1_M") else base
            return "IQ3_S" if better else small
        return "Q4_K" if kind == "k" and self._experts == 8 else base

    def _value(self, base: str, position: int) -> str:
        if self._experts == 8:
            return "Q8_0"
        few = not self._many
        by_label = {
            "Q2_K": "Q3_K" if few else "Q4_K",
            "Q2_K_S": base if few else "Q4_K",
            "IQ3_XXS": "Q4_K" if not few else base if self._recipe.importance else "IQ3_S",
            "IQ3_XS": base if few else "Q4_K",
            "IQ3_S": base if few else "Q4_K",
            "IQ3_M": "Q4_K",
            "Q3_K_M": "Q5_K" if position < 2 else "Q4_K",
            "Q3_K_L": "Q5_K",
            "IQ4_NL": base if few else "Q5_K",
            "IQ4_XS": base if few else "Q5_K",
            "Q4_K_M": "Q6_K" if _more_bits(position, self._values) else base,
            "Q5_K_M": "Q6_K" if _more_bits(position, self._values) else base,
            "Q4_K_S": "Q5_K" if position < 4 else base,
        }
        return by_label.get(self._label, base)

    def _key(self, base: str, position: int) -> str:
        return "Q8_0" if self._experts == 8 else self._query(base, position)

    def _query(self, base: str, position: int) -> str:
        return {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}.get(self._label, base)

    def _down(self, base: str, position: int) -> str:
        early, plain = position < self._layers // 8, not self._recipe.importance
        more = _more_bits(position, self._layers)
        by_label = {
            "Q2_K": "Q3_K",
            "Q2_K_S": "Q4_K" if early else base,
            "IQ3_XXS": base if not plain else "Q4_K" if early else "Q3_K",
            "Q3_K_M": "Q5_K" if position < self._layers // 16 else "Q4_K",
            "IQ3_M": "Q4_K" if early or (self._experts == 8 and more) else base,
            "Q3_K_L": "Q5_K",
            "Q4_K_M": "Q6_K" if more else base,
            "IQ4_NL": "Q5_K" if early and plain else base,
            "IQ4_XS": "Q5_K" if early and plain else base,
            "Q5_K_M": "Q6_K" if more else base,
            "Q4_K_S": "Q5_K" if early else base,
            "Q4_0": "Q4_1" if early and not plain else base,
            "Q5_0": "Q5_1" if early and not plain else base,
        }
        return by_label.get(self._label, base)

    def _attention_output(self, base: str, position: int) -> str:
        if self._experts == 8:
            raised = ("Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S",
                      "Q4_K_M", "IQ3_S", "IQ3_M", "IQ4_XS")  # fmt: skip
            return "Q5_K" if self._label in raised else base
        return {
            "Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K",
        }.get(self._label, base)  # fmt: skip

    def _gate(self, base: str, position: int) -> str:
        middle = self._layers // 8 <= position < 7 * self._layers // 8
        return "IQ3_XXS" if self._label == "IQ3_XS" and middle else base


def _output_type(label: str, base: str, columns: int) -> str:
    """Of the output matrix, and of an embedding that is used as one."""
    if label == "MXFP4_MOE":
        return "Q8_0"
    if label in (*_TINY, "IQ3_XXS"):
        return "Q8_0" if columns % (GGML_TYPES_BY_NAME[base].block_size or 1) else "Q5_K"
    return base if base == "Q8_0" else "Q6_K"


def _table_type(label: str, base: str) -> str:
    """Of an embedding beside an output matrix of its own."""
    if label in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"):
        return "Q2_K"
    if label in ("IQ2_S", "IQ2_M", "IQ3_XXS"):
        return "IQ3_S"
    return "Q4_K" if label in ("TQ1_0", "TQ2_0", "Q2_0") else base


def _whole(value: Any) -> int:
    """A number of the metadata, of an array its first; 0 where there is none."""
    if isinstance(value, tuple | list):
        value = value[0] if value else 0
    return value if type(value) is int else 0
