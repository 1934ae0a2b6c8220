"""The memory record of a GGUF file, from its metadata.

Follows what llama.cpp does with each key: ``src/llama-model.cpp`` (``load_hparams``) of
ggml-org/llama.cpp@0c1e57098, with what is particular to a family from ``families/``. Each of those
was held against the engine. What only the engine's own code knows about another architecture is not
guessed: the answer is then an ``UnknownArchitecture``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.memory.architecture import LayerShape, MemoryArchitecture, UnknownArchitecture
from gemmahub.memory.families import find
from gemmahub.memory.ranges import OutOfRange, check, whole
from gemmahub.memory.tensor_widths import check_widths
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gemmahub.formats.tensor import Tensor
    from gemmahub.memory.family import FamilyRules

# Keys of models whose memory is not a plain cache of keys and values.
_OTHER_MEMORY: Final = ("ssm.", "wkv.", "attention.kv_lora_rank", "attention.indexer.")
_TOKEN_TABLE: Final = "token_embd.weight"

# What the keys are that tell a number, as RANGES has it, by the key without its prefix.
_FIELDS: Final = {
    "block_count": "layers",
    "embedding_length": "embedding_length",
    "embedding_length_out": "embedding_length_out",
    "embedding_length_per_layer_input": "per_layer_embedding_length",
    "context_length": "context_length",
    "vocab_size": "vocabulary",
    "feed_forward_length": "feed_forward_length",
    "expert_feed_forward_length": "expert_feed_forward_length",
    "expert_count": "experts",
    "expert_used_count": "experts_used",
    "attention.head_count": "heads",
    "attention.head_count_kv": "kv_heads",
    "attention.key_length": "key_length",
    "attention.key_length_swa": "key_length",
    "attention.value_length": "value_length",
    "attention.value_length_swa": "value_length",
    "attention.sliding_window": "sliding_window",
    "attention.sliding_window_pattern": "pattern_period",
    "attention.shared_kv_layers": "shared_kv_layers",
}


class _Keys:
    """Metadata of one architecture, without its prefix; numbers are checked when they are read."""

    def __init__(self, metadata: Mapping[str, Any], name: str) -> None:
        self._metadata = metadata
        self.prefix = name + "."
        self.names = {key.removeprefix(self.prefix) for key in metadata if key.startswith(name)}

    def get(self, key: str) -> Any:
        return self._metadata.get(self.prefix + key)

    def number(self, key: str, default: int | None = None) -> int:
        """Raises: OutOfRange, also where it is missing and has no default."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        return whole(value, _FIELDS[key], self.prefix + key)

    def each(self, key: str, layers: int, default: int | None = None) -> list[int]:
        """A number for each layer: a scalar for all, or an array (``get_key_or_arr``)."""
        value = self.get(key)
        if not isinstance(value, list | tuple):
            return [self.number(key, default)] * layers
        if len(value) < layers:
            raise OutOfRange(f"{self.prefix}{key} is not a number for each of {layers} layers")
        return [whole(item, _FIELDS[key], self.prefix + key) for item in value[:layers]]


def from_gguf(
    metadata: Mapping[str, Any], tensors: Iterable[Tensor] = (), *, vocabulary: int | None = None
) -> MemoryArchitecture | UnknownArchitecture:
    """The record of a GGUF file, or the reason why there is none.

    ``tensors`` tell what metadata without the tokenizer's arrays does not: the number of embedding
    rows, whether the output is tied, which layers have no value weights. ``vocabulary`` is that
    number of rows where neither is at hand.
    """
    name = metadata.get("general.architecture")
    if not isinstance(name, str) or not name:
        return UnknownArchitecture("", "the file does not name its architecture")
    keys = _Keys(metadata, name)
    other = [n for n in keys.names if n.startswith(_OTHER_MEMORY)]
    if other:
        named = one_line(min(other), 80)
        return UnknownArchitecture(name, f"it keeps more state than keys and values ({named})")
    family = find(name)
    if family is None:
        return UnknownArchitecture(name, "this architecture was not checked against the engine")
    if keys.get("attention.causal") is False and not family.embeds:
        return UnknownArchitecture(name, "it is an encoder, without a cache")
    known = {tensor.name: tensor for tensor in tensors}
    try:
        found = _read(name, family, keys, known, lambda: vocabulary or _words(keys, metadata))
        check(found)
        if found.experts and not family.has_experts:
            return UnknownArchitecture(name, "its experts were not checked against the engine")
        check_widths(found, known)
    except OutOfRange as error:
        return UnknownArchitecture(name, str(error))
    return found


def _read(
    name: str,
    family: FamilyRules,
    keys: _Keys,
    tensors: Mapping[str, Tensor],
    words: Callable[[], int],
) -> MemoryArchitecture:
    count = keys.number("block_count")
    layers = _layers(family, keys, count, tensors)
    table = tensors.get(_TOKEN_TABLE)
    rows = table.shape[-1] if table and len(table.shape) > 1 else None
    vocabulary = rows or words()
    if not vocabulary:
        raise OutOfRange("the size of the vocabulary is missing")
    windowed = any(layer.attention == "window" for layer in layers)
    return MemoryArchitecture(
        name=name,
        layers=layers,
        embedding_length=keys.number("embedding_length"),
        vocabulary=vocabulary,
        context_length=keys.number("context_length", 0),
        sliding_window=keys.number("attention.sliding_window", family.default_window)
        if windowed
        else 0,
        per_layer_embedding_length=keys.number("embedding_length_per_layer_input", 0),
        experts=keys.number("expert_count", 0),
        experts_used=max(keys.each("expert_used_count", count, 0)),
        expert_feed_forward_length=max(keys.each("expert_feed_forward_length", count, 0)),
        tied_embedding=("output.weight" not in tensors) if tensors else None,
        embedding_length_out=keys.number("embedding_length_out") if family.drafts_for else 0,
    )


def _words(keys: _Keys, metadata: Mapping[str, Any]) -> int:
    """The vocabulary as metadata tell it, 0 if they do not."""
    words = metadata.get("tokenizer.ggml.tokens")
    return keys.number("vocab_size", len(words) if isinstance(words, list | tuple) else 0)


def _local_layers(family: FamilyRules, keys: _Keys, count: int) -> list[bool]:
    """Which layers attend to the window only."""
    pattern = keys.get("attention.sliding_window_pattern")
    no_window = family.window_optional and not keys.get("attention.sliding_window")
    if no_window or family.period == 1:
        return [False] * count
    if isinstance(pattern, list | tuple):
        if len(pattern) < count:
            raise OutOfRange(
                f"{keys.prefix}attention.sliding_window_pattern has {len(pattern)} entries"
            )
        return [bool(item) for item in pattern[:count]]
    if family.pattern == "required":
        raise OutOfRange(f"{keys.prefix}attention.sliding_window_pattern is missing")
    period = keys.number("attention.sliding_window_pattern", family.period)
    return [period == 0 or i % period < period - 1 for i in range(count)]


def _own_caches(family: FamilyRules, keys: _Keys, count: int) -> int:
    """How many layers, from the first on, have a cache of their own."""
    if family.own_caches is not None:
        return family.own_caches
    shared = keys.number("attention.shared_kv_layers", 0) if family.shares_caches else 0
    return count - shared


def _layers(
    family: FamilyRules, keys: _Keys, count: int, tensors: Mapping[str, Tensor]
) -> tuple[LayerShape, ...]:
    local = _local_layers(family, keys, count)
    heads = keys.each("attention.head_count", count)
    kv_heads = keys.each("attention.head_count_kv", count, heads[0])
    default = keys.number("embedding_length") // max(1, heads[0])
    key, value = (keys.number(f"attention.{part}_length", default) for part in ("key", "value"))
    key_local = keys.number("attention.key_length_swa", key)
    value_local = keys.number("attention.value_length_swa", value)
    widths = keys.each("feed_forward_length", count, 0)
    own = _own_caches(family, keys, count)
    return tuple(
        LayerShape(
            attention="window" if local[i] else "global",
            owns_cache=i < own,
            heads=heads[i],
            kv_heads=kv_heads[i],
            key_length=key_local if local[i] else key,
            value_length=value_local if local[i] else value,
            feed_forward_length=widths[i],
            has_value_weights=_has_values(family, i, tensors),
        )
        for i in range(count)
    )


def _has_values(family: FamilyRules, layer: int, tensors: Mapping[str, Tensor]) -> bool:
    """False for layers with key weights and no value weights, in a family that has such."""
    if not family.values_from_keys or f"blk.{layer}.attn_k.weight" not in tensors:
        return True
    return f"blk.{layer}.attn_v.weight" in tensors
