"""What a file is: by its keys and tensors, and by its name where nothing else is known."""

from __future__ import annotations

from typing import Any

import pytest

from gemmahub.formats.kinds import WHAT, kind_of, shown_kind
from gemmahub.formats.tensor import Tensor

MODEL = ("token_embd.weight", "blk.0.attn_q.weight", "blk.1.attn_q.weight", "output_norm.weight")
LORA = ("blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b")
HEAD = ("token_embd.weight", "blk.0.attn_q.weight", "nextn.pre_projection.weight")


def kind(name: str, metadata: dict[str, Any], *names: str) -> str:
    return kind_of(name, metadata, [Tensor(each, "F16", (32, 8), 256, 512) for each in names])


def arch(name: str, **more: Any) -> dict[str, Any]:
    keys = {key if "." in key else f"{name}.{key}": value for key, value in more.items()}
    return {"general.architecture": name} | keys


@pytest.mark.parametrize(
    ("expected", "metadata", "names"),
    [
        ("text", arch("gemma3"), MODEL),
        ("text", arch("gemma3", pooling_type=0), MODEL),
        ("text", arch("llada", **{"llada.attention.causal": False}), MODEL),
        ("text", arch("gemma4"), (*MODEL, "blk.1.nextn.eh_proj.weight")),
        ("embedding", arch("gemma-embedding"), MODEL),
        ("embedding", arch("gemma3", pooling_type=1), MODEL),
        ("embedding", arch("qwen3", pooling_type=3), MODEL),
        ("embedding", arch("qwen3", pooling_type=4), MODEL),
        ("embedding", arch("gemma3", **{"gemma3.attention.causal": False}), MODEL),
        ("embedding", arch("nomic-bert"), MODEL),
        ("drafter", arch("gemma4-assistant"), HEAD),
        ("drafter", arch("gemma4_assistant"), HEAD),
        ("drafter", arch("gemma4_mtp"), HEAD),
        ("drafter", arch("eagle3"), HEAD),
        ("drafter", arch("glm4moe"), ("token_embd.weight", "blk.46.nextn.eh_proj.weight")),
        ("projector", arch("clip"), ("v.blk.0.attn_q.weight", "mm.0.weight")),
        ("projector", {"general.type": "mmproj"}, ("v.patch_embd.weight",)),
        ("projector", arch("gemma3"), ("v.patch_embd.weight", "mm.input_projection.weight")),
        ("adapter", {"general.type": "adapter", "adapter.type": "lora"}, LORA),
        ("adapter", arch("gemma3", **{"adapter.type": "control_vector"}), ("direction.1",)),
        ("adapter", arch("gemma3"), LORA),
        ("adapter", arch("controlvector"), ("direction.1", "direction.2")),
        ("drafter", arch("gemma4mtp"), HEAD),
        ("embedding", arch("t5encoder"), MODEL),
        ("imatrix", {"general.type": "imatrix"}, ("blk.0.attn_q.weight.in_sum2",)),
        ("imatrix", arch("gemma3"), ("blk.0.attn_q.weight.in_sum2", "blk.0.attn_q.weight.counts")),
        ("vocabulary", arch("gemma2"), ()),
        ("piece", arch("gemma3"), ("blk.7.attn_q.weight",)),
    ],
)  # fmt: skip
def test_a_gguf_file_is_what_its_header_says(
    expected: str, metadata: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert kind("weights.gguf", metadata, *names) == expected


def test_a_name_does_not_make_a_whole_model_something_else() -> None:
    for name in ("mtp-gemma.gguf", "mmproj-gemma.gguf", "my-lora-merged.gguf", "imatrix.gguf"):
        assert kind(name, arch("gemma3"), *MODEL) == "text"
    assert kind("mmproj-gemma.gguf", arch("gemma3"), "t") == "projector"  # its header says nothing


@pytest.mark.parametrize(
    ("expected", "config", "names"),
    [
        ("text", {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]}, ("a",)),
        ("text", {"model_type": "gemma4", "text_config": {"use_bidirectional_attention": "vision"}},
         ("a",)),
        ("text", {}, ("a",)),
        ("embedding", {"model_type": "gemma3_text", "architectures": ["Gemma3TextModel"]}, ("a",)),
        ("embedding", {"model_type": "gemma3_text", "use_bidirectional_attention": True}, ("a",)),
        ("embedding", {"model_type": "bert", "architectures": ["BertModel"]}, ("a",)),
        ("drafter", {"model_type": "gemma4_assistant"}, ("a",)),
        ("drafter", {"architectures": ["Gemma4AssistantForCausalLM"]}, ("a",)),
        ("module", {"in_features": 768, "out_features": 3072, "bias": False}, ("linear.weight",)),
        ("adapter", {"peft_type": "LORA"}, ("base_model.layers.0.q_proj.lora_A.weight",)),
        ("adapter", {}, ("model.layers.0.self_attn.q_proj.lora_a",)),
    ],
)  # fmt: skip
def test_a_folder_is_what_its_config_says(
    expected: str, config: dict[str, Any], names: tuple[str, ...]
) -> None:
    assert kind("model.safetensors", config, *names) == expected


def test_a_shard_alone_is_a_piece() -> None:
    assert kind("model-00001-of-00003.safetensors", {"format": "pt"}, "a") == "piece"


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("text", "gemma-4-12b-it-Q8_0.gguf"),
        ("text", "UD-Q4_K_XL/gemma-4-12b-it-UD-Q4_K_XL-00001-of-00002.gguf"),
        ("text", "gemma-3-4b-medical-assistant-Q4_K_M.gguf"),
        ("text", "flora-7b-Q4_0.gguf"),
        ("drafter", "mtp-gemma-4-12b-it.gguf"),
        ("drafter", "MTP/gemma-4-12b-it-Q8_0.gguf"),
        ("drafter", "gemma-4-12b-it-Q8_0-MTP.gguf"),
        ("drafter", "gemma-4-E2B-it-assistant-Q8_0.gguf"),
        ("projector", "mmproj-BF16.gguf"),
        ("projector", "gemma-3-4b-it.mmproj-f16.gguf"),
        ("imatrix", "google_gemma-3-4b-it-imatrix.gguf"),
        ("imatrix", "imatrix_unsloth.gguf"),
        ("adapter", "gemma-3-4b-it-lora-f16.gguf"),
        ("adapter", "adapter_model.safetensors"),
        ("vocabulary", "ggml-vocab-gemma-2.gguf"),
        ("module", "2_Dense/model.safetensors"),
        ("embedding", "embeddinggemma-300M-Q8_0.gguf"),
        ("embedding", "Qwen3-Embedding-4B-Q4_K_M.gguf"),
    ],
)
def test_a_name_tells_where_nothing_was_read(expected: str, path: str) -> None:
    assert kind_of(path) == expected


def test_what_it_is_made_for_is_named() -> None:
    assert set(WHAT) >= {"text", "embedding", "drafter", "adapter"}
    named = {"general.base_model.0.name": "Gemma 3 4b It"}
    assert shown_kind("adapter", named).startswith("an adapter (LoRA) for Gemma 3 4b It: ")
    named = {"general.name": "Gemma 4 E2B It Assistant"}
    assert shown_kind("drafter", named).startswith("a drafter for Gemma 4 E2B It: ")
    assert shown_kind("drafter", {"general.name": 5}).startswith("a drafter: ")
