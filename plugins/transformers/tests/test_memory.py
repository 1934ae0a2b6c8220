"""The memory plan against PyTorch's own allocations, and against what Transformers makes of shapes.

On a CPU its profiler hears of each allocation; on a GPU ``torch.cuda.max_memory_allocated`` does.
"""

from __future__ import annotations

import gc
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Sampling, Settings
from gemmahub.errors import BackendError
from gemmahub.testing.folder_writer import write_model_folder, write_tokenizer
from gemmahub.testing.safetensors_writer import write_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub_transformers.backend import TransformersBackend
    from gemmahub_transformers.session import TransformersSession

DEEP = {
    "num_hidden_layers": 6,
    "sliding_window_pattern": 3,
    "hidden_size": 128,
    "num_attention_heads": 4,
    "head_dim": 64,
    "intermediate_size": 512,
    "sliding_window": 128,
}
# Like the real ones, with layers that share caches and several streams of hidden states.
SHARED: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 10,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 512,
    "num_kv_shared_layers": 4,
    "hidden_size_per_layer_input": 32,
    "vocab_size_per_layer_input": 512,
    "sliding_window": 64,
    "max_position_embeddings": 4096,
    "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 2,
}
OLDER = {"model_type": "gemma3n_text", "activation_sparsity_pattern": [0.0] * 10, "laurel_rank": 16}
NEWER = {"model_type": "gemma4_text", "global_head_dim": 64, "use_double_wide_mlp": True}


@dataclass
class Seen:
    """What PyTorch said, in bytes: of parameters, of caches, and the most beside the weights."""

    weights: int
    cache_global: int = 0
    cache_window: int = 0
    peak: int = 0


def most_allocated(run: Callable[[], object]) -> int:
    """The most bytes that a computation held at once, beside what was there before."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    now = most = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def fill(backend: TransformersBackend, folder: Path, settings: Settings) -> Seen:
    """Load a model, and fill its context with one prompt."""
    with backend.load(Artifact("safetensors", folder), settings) as session:
        seen = Seen(sum(p.nbytes for p in session._forward._model.parameters()))
        watch(session, seen)
        assert session.info.context is not None
        prompt = [2] + [270 + i % 150 for i in range(session.info.context - 1)]
        sampling = Sampling(max_tokens=1, temperature=0)
        seen.peak = most_allocated(lambda: list(session.tokens(prompt, sampling)))
        assert len(session._forward.cached) == session.info.context
    return seen


def watch(session: TransformersSession, seen: Seen) -> None:
    """Look at the caches after each step: at what lies behind a part of a tensor, too."""
    compute = session._forward.compute

    def watched(tokens: list[int], cache: Any, rows: int) -> Any:
        logits = compute(tokens, cache, rows)
        held = {True: 0, False: 0}
        for layer in cache.layers:
            for found in (getattr(layer, "keys", None), getattr(layer, "values", None)):
                if found is not None:
                    held[layer.is_sliding] += found.untyped_storage().nbytes()
        seen.cache_window = max(seen.cache_window, held[True])
        seen.cache_global = max(seen.cache_global, held[False])
        return logits

    session._forward.compute = watched  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("config", "dtype", "context", "step", "fused"),
    [
        ({}, "float32", 1024, 256, True),
        ({}, "float32", 1024, 512, True),
        ({}, "float32", 300, 512, True),
        ({}, "float32", 1000, 100, True),
        ({"num_attention_heads": 8}, "float32", 1024, 256, True),
        ({"intermediate_size": 1024}, "float32", 1024, 256, True),
        ({"hidden_size": 512}, "float32", 1024, 256, True),
        ({"hidden_size": 512}, "bfloat16", 1024, 256, True),
        ({"vocab_size": 8192}, "float32", 512, 256, True),
        ({}, "float32", 1024, 256, False),
        (DEEP, "float32", 512, 128, True),
        (DEEP, "bfloat16", 1024, 512, True),
        (DEEP | {"num_key_value_heads": 2}, "bfloat16", 512, 128, True),
        (DEEP, "bfloat16", 512, 128, False),
    ],
)
def test_plan_is_what_pytorch_takes(
    backend: TransformersBackend,
    tmp_path: Path,
    config: dict[str, Any],
    dtype: str,
    context: int,
    step: int,
    fused: bool,
) -> None:
    """Weights and caches to the byte; the peak never above the plan, and within 10 % of it."""
    folder = write_model_folder(tmp_path / "model", dtype, **config)
    settings = Settings(context, ubatch=step, flash_attention=fused)
    planned = backend.dry_load(Artifact("safetensors", folder), settings)
    seen = fill(backend, folder, settings)
    assert seen.weights == planned.weights_bytes
    assert seen.cache_global == planned.kv_cache_global_bytes
    assert seen.cache_window == planned.kv_cache_window_bytes
    beside = planned.kv_cache_bytes + planned.compute_bytes + planned.output_bytes
    assert 0.9 * beside <= seen.peak <= beside, (seen, beside)


@pytest.mark.parametrize("kind", [OLDER, NEWER], ids=["older", "newer"])
def test_layers_that_share_caches(
    backend: TransformersBackend, tmp_path: Path, kind: dict[str, Any]
) -> None:
    """Their keys are not made twice; what Transformers writes itself is read."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**json.loads(json.dumps(SHARED | kind)))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    # As published files have it; Transformers 5.24 writes it layer by layer.
    saved = json.loads((tmp_path / "config.json").read_text("utf-8"))
    if "global_head_dim" in kind:
        saved["global_head_dim"] = kind["global_head_dim"]
        saved.pop("per_layer_config", None)
        (tmp_path / "config.json").write_text(json.dumps(saved), "utf-8")
    settings = Settings(320, ubatch=64)
    planned = backend.dry_load(Artifact("safetensors", tmp_path), settings)
    seen = fill(backend, tmp_path, settings)
    assert seen.weights == pytest.approx(planned.weights_bytes, abs=1 << 10)  # a scalar a layer
    assert seen.cache_global == planned.kv_cache_global_bytes
    assert seen.cache_window == planned.kv_cache_window_bytes
    beside = planned.kv_cache_bytes + planned.compute_bytes + planned.output_bytes
    assert 0.8 * beside <= seen.peak <= beside


def test_windows_keep_a_large_context_small(tmp_path: Path) -> None:
    """Gemma 3 4B at 131,072 tokens: five layers with all cells, 29 with window and step."""
    from gemmahub_transformers.backend import TransformersBackend

    config = {
        "model_type": "gemma3",
        "vocab_size": 262208,
        "text_config": {
            "model_type": "gemma3_text",
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "num_hidden_layers": 34,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "sliding_window": 1024,
            "max_position_embeddings": 131072,
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    tensors = [("language_model.model.embed_tokens.weight", "BF16", (262208, 2560)),
               ("vision_tower.vision_model.layers.0.weight", "BF16", (1152, 1152))]  # fmt: skip
    write_safetensors(tmp_path / "model.safetensors", tensors)
    artifact, row = Artifact("safetensors", tmp_path), 2 * 4 * 256 * 2
    fused, plain = (
        TransformersBackend().dry_load(artifact, Settings(131072, flash_attention=flash))
        for flash in (True, False)
    )
    assert fused.weights_bytes == 262208 * 2560 * 2  # without what sees
    assert fused.kv_cache_global_bytes == 5 * 131072 * row
    assert (fused.cells_window, fused.kv_cache_window_bytes) == (1023 + 512, 29 * 1535 * row)
    # Without a fused kernel: 8 heads x 512 tokens x 131,072 cells, several times.
    assert plain.compute_bytes - fused.compute_bytes > 8 * 512 * 131072 * 4
    # Nobody has to wait for a plan of a large context in small steps.
    TransformersBackend().dry_load(artifact, Settings(131072, ubatch=1))


def test_another_architecture_has_no_plan(backend: TransformersBackend, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gemma2", "vocab_size": 64}', "utf-8")
    embedding = ("model.embed_tokens.weight", "BF16", (64, 32))
    write_safetensors(tmp_path / "model.safetensors", [embedding])
    with pytest.raises(BackendError, match="gemma2"):
        backend.dry_load(Artifact("safetensors", tmp_path), Settings(512))
