"""The same model from catalogue, GGUF metadata and config.json; and what is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmahub.catalog.records import Architecture, StoredTypes
from gemmahub.catalog.tensors import variant_tensors
from gemmahub.memory import (
    MemoryArchitecture,
    MemorySettings,
    UnknownArchitecture,
    compute_buffers,
    from_config,
    from_gguf,
    kv_cache,
)


def metadata(a: Architecture) -> dict[str, Any]:
    """As llama.cpp's conversion writes it."""
    layers = range(a.layers)
    kv_heads = [a.kv_heads(i) for i in layers]
    found: dict[str, Any] = {
        "block_count": a.layers,
        "context_length": a.context_length,
        "embedding_length": a.embedding_length,
        "feed_forward_length": list(a.feed_forward_length),
        "attention.head_count": a.heads,
        "attention.head_count_kv": kv_heads if len(set(kv_heads)) > 1 else kv_heads[0],
        "attention.key_length": a.head_dim_global,
        "attention.value_length": a.head_dim_global,
        "attention.sliding_window": a.sliding_window,
    }
    if a.name != "gemma3":
        found["embedding_length_per_layer_input"] = a.per_layer_embedding_length
        found["attention.shared_kv_layers"] = a.shared_kv_layers
        found["attention.sliding_window_pattern"] = [a.is_local(i) for i in layers]
    if a.name == "gemma4":
        found["attention.key_length_swa"] = a.head_dim_local
        found["attention.value_length_swa"] = a.head_dim_local
    if a.experts:
        found["expert_count"] = a.experts
        found["expert_used_count"] = a.experts_used
        found["expert_feed_forward_length"] = a.expert_feed_forward_length
    return {"general.architecture": a.name} | {f"{a.name}.{k}": v for k, v in found.items()}


def config(a: Architecture) -> dict[str, Any]:
    """As Transformers writes it, with everything spelled out."""
    text = {
        "model_type": f"{a.name}_text",
        "hidden_size": a.embedding_length,
        "hidden_size_per_layer_input": a.per_layer_embedding_length,
        "intermediate_size": min(a.feed_forward_length),
        "num_hidden_layers": a.layers,
        "num_attention_heads": a.heads,
        "num_key_value_heads": a.kv_heads_local,
        "head_dim": a.head_dim_local,
        "max_position_embeddings": a.context_length,
        "sliding_window": a.sliding_window,
        "num_kv_shared_layers": a.shared_kv_layers,
        "vocab_size": a.checkpoint_vocabulary or a.vocabulary,
        "layer_types": [
            "sliding_attention" if a.is_local(i) else "full_attention" for i in range(a.layers)
        ],
    }
    if a.name == "gemma4":
        text["global_head_dim"] = a.head_dim_global
        text["attention_k_eq_v"] = a.global_value_is_key
        text["num_global_key_value_heads"] = a.kv_heads_global if a.global_value_is_key else None
        text["use_double_wide_mlp"] = len(set(a.feed_forward_length)) > 1
    if a.experts:
        text |= {"enable_moe_block": True, "num_experts": a.experts}
        text["top_k_experts"] = a.experts_used
        text["moe_intermediate_size"] = a.expert_feed_forward_length
    return {"model_type": a.name, "text_config": text}


def test_three_sources_tell_the_same(
    catalogued: dict[str, Architecture], architectures: dict[str, MemoryArchitecture]
) -> None:
    for size, found in catalogued.items():
        tensors = variant_tensors(found, StoredTypes(default="Q4_0"))
        expected = architectures[size]
        assert from_gguf(metadata(found), tensors) == expected, size
        assert from_config(config(found)) == expected, size


def test_gemma_3_without_a_pattern_has_a_global_layer_in_six(
    architectures: dict[str, MemoryArchitecture],
) -> None:
    kinds = [layer.kind for layer in architectures["gemma3-4b"].layers]
    assert kinds[:6] == ["window"] * 5 + ["global"]
    assert (kinds.count("global"), kinds.count("window")) == (5, 29)


def test_gemma_3_without_a_window_has_one_cache(
    catalogued: dict[str, Architecture],
) -> None:
    keys = metadata(catalogued["gemma3-1b"])
    del keys["gemma3.attention.sliding_window"]
    found = from_gguf(keys, vocabulary=262144)
    assert isinstance(found, MemoryArchitecture)
    assert not found.has_window_cache
    assert kv_cache(found, MemorySettings(8192)).window_bytes == 0
    assert compute_buffers(found, MemorySettings(8192)).basis == "replay"


def test_published_config_of_gemma_3_4b_leaves_out_defaults(
    architectures: dict[str, MemoryArchitecture],
) -> None:
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "sliding_window": 1024,
    }
    assert from_config({"model_type": "gemma3", "text_config": text}) == architectures["gemma3-4b"]


def test_a_plain_decoder() -> None:
    keys = {"block_count": 32, "embedding_length": 4096, "feed_forward_length": 14336}
    keys |= {"attention.head_count": 32, "attention.head_count_kv": 8, "vocab_size": 128256}
    found = from_gguf({"general.architecture": "llama", **{f"llama.{k}": keys[k] for k in keys}})
    assert isinstance(found, MemoryArchitecture)
    assert found.layers[0].key_length == 128
    assert kv_cache(found, MemorySettings(8192)).bytes == 1 << 30


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("cohere2", {"attention.sliding_window": 4096}, "checked against the engine"),
        ("llama4", {}, "checked against the engine"),
        ("gemma5", {}, "checked against the engine"),
        ("llama", {"expert_count": 8, "expert_used_count": 2}, "its experts were not checked"),
        ("mamba", {"ssm.state_size": 16}, "more state than keys and values"),
        ("bert", {"attention.causal": False}, "checked against the engine"),
        ("gemma", {"attention.causal": False}, "encoder"),
        ("llama", {"block_count": None}, "block_count is missing"),
        ("llama", {"block_count": "many"}, "'many'"),
        ("llama", {"vocab_size": 0}, "vocabulary"),
        ("gemma4", {}, "sliding_window_pattern is missing"),
        ("llama", {"attention.head_count": [8]}, "each of 2 layers"),
    ],
)
def test_what_is_not_known_is_reported(name: str, changes: dict[str, Any], reason: str) -> None:
    keys: dict[str, Any] = {"block_count": 2, "embedding_length": 64, "vocab_size": 100}
    keys |= {"attention.head_count": 8} | changes
    found = from_gguf({"general.architecture": name, **{f"{name}.{k}": keys[k] for k in keys}})
    assert isinstance(found, UnknownArchitecture)
    assert reason in found.reason


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"model_type": "llama"},
        {"model_type": "gemma3_text", "num_hidden_layers": "many"},
        {"model_type": "gemma3_text", "layer_types": ["full_attention"]},
    ],
)
def test_configurations_that_are_not_read(config: dict[str, Any]) -> None:
    assert isinstance(from_config(config), UnknownArchitecture)


def test_nameless_file() -> None:
    assert isinstance(from_gguf({}), UnknownArchitecture)


def test_records_are_values(architectures: dict[str, MemoryArchitecture]) -> None:
    one = architectures["gemma3-4b"]
    assert replace(one) == one
    assert hash(replace(one)) == hash(one)
