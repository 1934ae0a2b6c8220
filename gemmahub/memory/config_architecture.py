"""The memory record of a Hugging Face ``config.json``: Gemma 3, 3n and 4.

Publishers leave out what equals the default of the Transformers library, so its defaults are here
(``Gemma3TextConfig``, ``Gemma3nTextConfig``, ``Gemma4TextConfig`` of Transformers). The record
describes the model as llama.cpp would run it after conversion (``conversion/gemma.py`` of
ggml-org/llama.cpp@0c1e57098).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.memory.architecture import LayerShape, MemoryArchitecture, UnknownArchitecture
from gemmahub.memory.ranges import OutOfRange, check, whole
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "gemma3": {
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    },
    "gemma3n": {
        "vocab_size": 262400,
        "hidden_size": 2048,
        "hidden_size_per_layer_input": 256,
        "intermediate_size": 16384,
        "num_hidden_layers": 35,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "max_position_embeddings": 32768,
        "sliding_window": 512,
        "num_kv_shared_layers": 15,
    },
    "gemma4": {
        "vocab_size": 262144,
        "hidden_size": 2304,
        "hidden_size_per_layer_input": 256,
        "intermediate_size": 9216,
        "num_hidden_layers": 30,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "global_head_dim": 512,
        "max_position_embeddings": 131072,
        "sliding_window": 512,
    },
}
_PERIODS: Final = {"gemma3": 6, "gemma3n": 5, "gemma4": 6}
_NAMES: Final = {"gemma4_unified": "gemma4"}
# Gemma 3's tokenizer has this many words; the checkpoint's further rows are padding that the
# conversion to GGUF leaves out, and Gemma 3n's likewise.
_WORDS: Final = 262144


# What the fields are that tell a number, as RANGES has it.
_FIELDS: Final = {
    "num_hidden_layers": "layers",
    "num_kv_shared_layers": "shared_kv_layers",
    "sliding_window_pattern": "pattern_period",
    "hidden_size": "embedding_length",
    "hidden_size_per_layer_input": "per_layer_embedding_length",
    "intermediate_size": "feed_forward_length",
    "moe_intermediate_size": "expert_feed_forward_length",
    "expert_intermediate_size": "expert_feed_forward_length",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "num_global_key_value_heads": "kv_heads",
    "head_dim": "key_length",
    "global_head_dim": "key_length",
    "vocab_size": "vocabulary",
    "max_position_embeddings": "context_length",
    "sliding_window": "sliding_window",
    "num_experts": "experts",
    "top_k_experts": "experts_used",
}


class _Fields:
    """The text part of a configuration, with the defaults of its family."""

    def __init__(self, text: Mapping[str, Any], name: str) -> None:
        self._text = text
        self._defaults = _DEFAULTS[name]

    def get(self, key: str) -> Any:
        value = self._text.get(key)
        return self._defaults.get(key) if value is None else value

    def number(self, key: str) -> int:
        """A number; 0 where neither file nor library has one. Raises: OutOfRange."""
        value = self.get(key)
        return 0 if value is None else whole(value, _FIELDS[key], key)


def from_config(config: Mapping[str, Any]) -> MemoryArchitecture | UnknownArchitecture:
    """The record of a ``config.json``, or the reason why there is none."""
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config
    kind = text.get("model_type") or config.get("model_type")
    named = one_line(kind if isinstance(kind, str) else "", 60).removesuffix("_text")
    name = _NAMES.get(named, named)
    if name not in _DEFAULTS:
        return UnknownArchitecture(named, "only Gemma 3, 3n and 4 configurations are read")
    try:
        found = _read(name, _Fields(text, name))
        check(found)
    except OutOfRange as error:
        return UnknownArchitecture(name, f"its config.json is not usable: {error}")
    return found


def _read(name: str, fields: _Fields) -> MemoryArchitecture:
    count = fields.number("num_hidden_layers")
    local = _local_layers(name, fields, count)
    widths = _widths(fields, count)
    tied = fields.get("tie_word_embeddings")
    experts = fields.number("num_experts") if fields.get("enable_moe_block") else 0
    return MemoryArchitecture(
        name=name,
        layers=tuple(_layer(fields, i, count, local[i], widths[i]) for i in range(count)),
        embedding_length=fields.number("hidden_size"),
        vocabulary=min(fields.number("vocab_size"), _WORDS),
        context_length=fields.number("max_position_embeddings"),
        sliding_window=fields.number("sliding_window"),
        per_layer_embedding_length=fields.number("hidden_size_per_layer_input"),
        experts=experts,
        experts_used=fields.number("top_k_experts") if experts else 0,
        expert_feed_forward_length=_expert_width(fields) if experts else 0,
        tied_embedding=True if tied is None else bool(tied),
    )


def _expert_width(fields: _Fields) -> int:
    return fields.number("moe_intermediate_size") or fields.number("expert_intermediate_size")


def _local_layers(name: str, fields: _Fields, count: int) -> list[bool]:
    types = fields.get("layer_types")
    if isinstance(types, list):
        if len(types) != count:
            raise OutOfRange(f"layer_types has {len(types):,} entries for {count} layers")
        return [kind == "sliding_attention" for kind in types]
    period = fields.number("sliding_window_pattern") or _PERIODS[name]
    local = [(i + 1) % period != 0 for i in range(count)]
    if name == "gemma4":
        local[-1] = False  # Transformers makes the last layer global whatever the pattern says
    return local


def _widths(fields: _Fields, count: int) -> list[int]:
    """Feed-forward widths; layers that share a cache may be twice as wide (Gemma 4 E2B)."""
    width = fields.get("intermediate_size")
    if isinstance(width, list):
        if len(width) != count:
            raise OutOfRange("intermediate_size is not a number for each layer")
        return [whole(item, _FIELDS["intermediate_size"], "intermediate_size") for item in width]
    first_shared = count - fields.number("num_kv_shared_layers")
    wide = 2 if fields.get("use_double_wide_mlp") else 1
    one = fields.number("intermediate_size")
    return [one * wide if i >= first_shared else one for i in range(count)]


def _layer(fields: _Fields, number: int, count: int, local: bool, width: int) -> LayerShape:
    key_is_value = bool(fields.get("attention_k_eq_v")) and not local
    kv_heads = fields.number("num_key_value_heads")
    length = fields.number("head_dim")
    if not local:
        length = fields.number("global_head_dim") or length
        # Transformers reads this field only where keys serve as values.
        kv_heads = (key_is_value and fields.number("num_global_key_value_heads")) or kv_heads
    return LayerShape(
        attention="window" if local else "global",
        owns_cache=number < count - fields.number("num_kv_shared_layers"),
        heads=fields.number("num_attention_heads"),
        kv_heads=kv_heads,
        key_length=length,
        value_length=length,
        feed_forward_length=width,
        has_value_weights=not key_is_value,
    )
