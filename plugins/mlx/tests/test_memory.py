"""The memory plan against MLX's own counters, and against what mlx-lm keeps of real shapes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Sampling, Settings
from gemmahub.errors import BackendError
from gemmahub.testing.folder_writer import write_model_folder
from gemmahub.testing.safetensors_writer import write_safetensors
from gemmahub_mlx.header import read_header
from gemmahub_mlx.memory import CacheFormat, Run, plan

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_mlx.backend import MlxBackend
    from gemmahub_mlx.session import MlxSession

DEEP = {
    "num_hidden_layers": 6,
    "sliding_window_pattern": 3,
    "hidden_size": 128,
    "num_attention_heads": 4,
    "head_dim": 64,
    "intermediate_size": 512,
    "sliding_window": 128,
}


@dataclass
class Seen:
    """What MLX said, in bytes, without what was there before the load."""

    weights: int
    cache_global: int
    cache_window: int
    peak: int


def fill(backend: MlxBackend, folder: Path, settings: Settings) -> Seen:
    """Load a model, and fill its context with one prompt, several times.

    The most counts: what is held at once depends on how far ahead of the work it is handed out.
    """
    import mlx.core as mx

    mx.clear_cache()
    before = mx.get_active_memory()
    with backend.load(Artifact("mlx", folder), settings) as session:
        seen = Seen(mx.get_active_memory() - before, 0, 0, 0)
        watch(session, seen)
        prompt = [2] + [270 + i % 150 for i in range(session.info.context - 1)]
        mx.reset_peak_memory()
        for _ in range(6 if len(session.cache.layers) == 2 else 2):
            session.cache.clear()
            list(session.tokens(prompt, Sampling(max_tokens=1, temperature=0)))
            note(session, seen)
            assert len(session.cache.tokens) == session.info.context
        seen.peak = mx.get_peak_memory() - before
    return seen


def watch(session: MlxSession, seen: Seen) -> None:
    """Look at the caches after each step of the prompt."""
    core = session._library.core

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(core, name)

        def clear_cache(self) -> None:
            core.clear_cache()
            note(session, seen)

    session._library = session._library._replace(core=Watched())


def note(session: MlxSession, seen: Seen) -> None:
    held = {True: 0, False: 0}
    for layer in session.cache.layers:
        if layer.keys is not None:
            held[type(layer).__name__ == "RotatingKVCache"] += layer.nbytes
    seen.cache_window = max(seen.cache_window, held[True])
    seen.cache_global = max(seen.cache_global, held[False])


@pytest.mark.parametrize(
    ("config", "dtype", "context", "step", "cache"),
    [
        ({}, "float32", 1024, 256, "f16"),
        ({}, "float32", 1024, 512, "f16"),
        ({}, "float32", 300, 512, "f16"),
        ({}, "float32", 1000, 100, "f16"),
        ({"num_attention_heads": 8}, "float32", 1024, 256, "f16"),
        ({"intermediate_size": 1024}, "float32", 1024, 256, "f16"),
        ({"hidden_size": 256}, "float32", 1024, 256, "f16"),
        ({"vocab_size": 4096}, "float32", 512, 256, "f16"),
        ({"head_dim": 64}, "float32", 1024, 256, "q8_0"),
        (DEEP, "float32", 512, 128, "f16"),
        (DEEP, "bfloat16", 512, 128, "f16"),
        (DEEP, "bfloat16", 512, 128, "q4_0"),
    ],
)
def test_plan_is_what_mlx_takes(
    backend: MlxBackend,
    tmp_path: Path,
    config: dict[str, Any],
    dtype: str,
    context: int,
    step: int,
    cache: str,
) -> None:
    """Weights and caches to the byte; the peak within 10 % where MLX is held to the plan."""
    folder = write_model_folder(tmp_path / "model", dtype, **config)
    settings = Settings(context, cache, cache, ubatch=step, options={"hold_memory": True})
    planned = backend.dry_load(Artifact("mlx", folder), settings)
    seen = fill(backend, folder, settings)
    assert seen.weights == pytest.approx(planned.weights_bytes, abs=1 << 12)  # a scalar or two
    assert seen.cache_global == planned.kv_cache_global_bytes
    assert seen.cache_window == planned.kv_cache_window_bytes
    (use,) = planned.devices
    total = use.weights_bytes + use.kv_cache_bytes + use.compute_bytes + use.output_bytes
    assert total == pytest.approx(seen.peak, rel=0.10)


@pytest.mark.parametrize("config", [{}, {"hidden_size": 256}, DEEP], ids=["flat", "wide", "deep"])
def test_without_the_option_the_plan_is_not_exceeded(
    backend: MlxBackend, tmp_path: Path, config: dict[str, Any]
) -> None:
    folder = write_model_folder(tmp_path / "model", **config)
    settings = Settings(512, ubatch=128)
    (use,) = backend.dry_load(Artifact("mlx", folder), settings).devices
    seen = fill(backend, folder, settings)
    total = use.weights_bytes + use.kv_cache_bytes + use.compute_bytes + use.output_bytes
    assert seen.peak <= total < 2 * seen.peak


def test_quantised_weights_are_counted_as_loaded(backend: MlxBackend, tmp_path: Path) -> None:
    import mlx_lm.utils as utils

    folder = write_model_folder(tmp_path / "model")
    model, config = utils.load_model(folder)
    model, config = utils.quantize_model(model, config, 32, 4)
    utils.save_model(folder, model)
    utils.save_config(config, folder / "config.json")
    header = read_header(folder)
    assert (header.dtype, header.item_bytes) == ("f32", 4)
    seen = fill(backend, folder, Settings(256))
    assert seen.weights == pytest.approx(header.weights_bytes, abs=1 << 12)


# --- real shapes, without weights ---------------------------------------------------------------

GEMMA3_4B: dict[str, Any] = {
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
GEMMA3N_LIKE: dict[str, Any] = {
    "model_type": "gemma3n",
    "text_config": {
        "model_type": "gemma3n_text",
        "hidden_size": 256,
        "num_hidden_layers": 10,
        "intermediate_size": 512,
        "num_attention_heads": 2,
        "head_dim": 64,
        "rms_norm_eps": 1e-6,
        "vocab_size": 1024,
        "num_key_value_heads": 1,
        "num_kv_shared_layers": 4,
        "vocab_size_per_layer_input": 1024,
        "sliding_window": 64,
        "max_position_embeddings": 4096,
        "rope_local_base_freq": 10000.0,
        "rope_theta": 1000000.0,
        "final_logit_softcapping": 30.0,
        "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 2,
        "activation_sparsity_pattern": [0.0] * 10,
        "hidden_size_per_layer_input": 32,
        "altup_num_inputs": 4,
        "altup_coef_clip": 120.0,
        "altup_correct_scale": True,
        "altup_active_idx": 0,
        "laurel_rank": 16,
    },
}
GEMMA4_LIKE: dict[str, Any] = {
    "model_type": "gemma4",
    "vocab_size": 1024,
    "text_config": {
        "model_type": "gemma4_text",
        "vocab_size": 1024,
        "hidden_size": 256,
        "num_hidden_layers": 10,
        "intermediate_size": 512,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "global_head_dim": 128,
        "num_kv_shared_layers": 4,
        "hidden_size_per_layer_input": 32,
        "vocab_size_per_layer_input": 1024,
        "sliding_window": 64,
        "use_double_wide_mlp": True,
        "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 2,
    },
}


@pytest.mark.parametrize("config", [GEMMA3_4B, GEMMA3N_LIKE, GEMMA4_LIKE], ids=["3", "3n", "4"])
def test_weights_and_caches_are_those_that_mlx_lm_makes(
    backend: MlxBackend, tmp_path: Path, config: dict[str, Any]
) -> None:
    """Of a header without weights. Vision and the keys of shared layers are left out."""
    import mlx_lm.utils as utils
    from mlx.utils import tree_flatten

    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    model_class, args = utils._get_classes(config)
    shapes = tree_flatten(model_class(args.from_dict(json.loads(json.dumps(config)))).parameters())
    tied = [(n, w.shape) for n, w in shapes if "lm_head" not in n]
    prefix = "model." if config["model_type"] == "gemma3n" else ""
    vision = [(f"{prefix}vision_tower.layers.0.weight", (1152, 1152))]
    if config["model_type"] == "gemma4":
        vision.append(("language_model.model.layers.9.self_attn.k_proj.weight", (128, 256)))
    tensors = [(name, "BF16", shape) for name, shape in [*tied, *vision]]
    write_safetensors(tmp_path / "model.safetensors", tensors, {"format": "mlx"})

    header = read_header(tmp_path)
    model, _ = utils.load_model(tmp_path, lazy=True)
    kept = sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    assert kept == header.weights_bytes
    kinds = [type(layer).__name__ for layer in model.make_cache()]
    owners = [layer for layer in header.known.layers if layer.owns_cache]
    names = {"global": "KVCache", "window": "RotatingKVCache"}
    assert kinds == [names[layer.attention] for layer in owners]


def test_windows_keep_a_large_context_small(backend: MlxBackend, tmp_path: Path) -> None:
    """Gemma 3 4B at 131,072 tokens: five layers with all cells, 29 with window and step."""
    (tmp_path / "config.json").write_text(json.dumps(GEMMA3_4B), "utf-8")
    embedding = ("language_model.model.embed_tokens.weight", "BF16", (262208, 2560))
    write_safetensors(tmp_path / "model.safetensors", [embedding], {"format": "mlx"})
    header = read_header(tmp_path)
    row = 2 * 4 * 256 * 2
    for metal in (False, True):
        found = plan(header, 131072, Run(512, CacheFormat(2), metal=metal))
        assert found.cells_global == 131072
        assert found.cells_window == 1024 - 1 + 512
        assert found.kv_global_bytes == 5 * 131072 * row
        assert found.kv_window_bytes == 29 * 1535 * row
        # Heads of 256 have no fused kernel: 8 heads x 512 tokens x 131,072 cells x 2 bytes.
        assert found.compute_bytes > 8 * 512 * 131072 * 2


def test_fused_attention_needs_no_scores(backend: MlxBackend, tmp_path: Path) -> None:
    """Heads of 128, as in Gemma 3 27B: Metal has a kernel for them."""
    config = json.loads(json.dumps(GEMMA3_4B))
    config["text_config"]["head_dim"] = 128
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    embedding = ("language_model.model.embed_tokens.weight", "BF16", (262208, 2560))
    write_safetensors(tmp_path / "model.safetensors", [embedding])
    header = read_header(tmp_path)
    fused = plan(header, 32768, Run(512, CacheFormat(2), metal=True)).compute_bytes
    plain = plan(header, 32768, Run(512, CacheFormat(2))).compute_bytes
    assert plain - fused > 8 * 512 * 32768 * 2
    packed = plan(header, 32768, Run(512, CacheFormat(2, 8), metal=True)).compute_bytes
    assert packed > 8 * 512 * 32768 * 2  # attention over a quantised cache is never fused


def test_another_architecture_has_no_plan(backend: MlxBackend, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gemma2", "vocab_size": 64}', "utf-8")
    embedding = ("model.embed_tokens.weight", "BF16", (64, 32))
    write_safetensors(tmp_path / "model.safetensors", [embedding])
    with pytest.raises(BackendError, match="gemma2"):
        backend.dry_load(Artifact("mlx", tmp_path), Settings(512))
