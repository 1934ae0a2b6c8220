"""The memory record of a Hugging Face ``config.json``, of the families that have rules for one.

Publishers leave out what equals the default of the Transformers library, so each family in
``families/`` has its defaults. The record describes the model as llama.cpp would run it after
conversion (``conversion/gemma.py`` of ggml-org/llama.cpp@0c1e57098).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.memory.architecture import LayerShape, MemoryArchitecture, UnknownArchitecture
from gemmahub.memory.families import with_config
from gemmahub.memory.ranges import OutOfRange, check, whole
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.memory.family import ConfigRules, FamilyRules

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

    def __init__(self, text: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        self._text = text
        self._defaults = defaults

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
    known = with_config()
    if named not in known:
        titles = dict.fromkeys(family.title for _, family, _ in known.values())
        return UnknownArchitecture(named, f"only configurations of {', '.join(titles)} are read")
    name, family, rules = known[named]
    try:
        found = _read(name, family, rules, _Fields(text, rules.defaults))
        check(found)
    except OutOfRange as error:
        return UnknownArchitecture(name, f"its config.json is not usable: {error}")
    return found


def _read(
    name: str, family: FamilyRules, rules: ConfigRules, fields: _Fields
) -> MemoryArchitecture:
    count = fields.number("num_hidden_layers")
    local = _local_layers(family.period, rules, fields, count)
    widths = _widths(fields, count)
    tied = fields.get("tie_word_embeddings")
    experts = fields.number("num_experts") if fields.get("enable_moe_block") else 0
    return MemoryArchitecture(
        name=name,
        layers=tuple(_layer(fields, i, count, local[i], widths[i]) for i in range(count)),
        embedding_length=fields.number("hidden_size"),
        vocabulary=min(fields.number("vocab_size"), rules.vocabulary),
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


def _local_layers(period: int, rules: ConfigRules, fields: _Fields, count: int) -> list[bool]:
    types = fields.get("layer_types")
    if isinstance(types, list):
        if len(types) != count:
            raise OutOfRange(f"layer_types has {len(types):,} entries for {count} layers")
        return [kind == "sliding_attention" for kind in types]
    period = fields.number("sliding_window_pattern") or period
    local = [(i + 1) % period != 0 for i in range(count)]
    if rules.last_layer_global:
        local[-1] = False
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
