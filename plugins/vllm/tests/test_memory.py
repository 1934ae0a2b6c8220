"""The plan: blocks and groups by vLLM's rule, shards, and what fits; against vLLM where it is."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.memory import memory_architecture
from gemmahub.engines.contract import Cluster, Settings
from gemmahub.errors import LoadFailed
from gemmahub_vllm import arguments
from gemmahub_vllm.backend import VllmBackend
from gemmahub_vllm.kv_cache import divides, fitting, paged_cache, stage_layers, tokens_in_flight
from gemmahub_vllm.memory import ServerRun, cluster_memory
from gemmahub_vllm.shards import shards
from plugins.vllm.tests.conftest import REAL, tiny

if TYPE_CHECKING:
    from gemmahub.memory import MemoryArchitecture

ASK = Path(__file__).with_name("ask_vllm.py")
GIB = 1 << 30
real = pytest.mark.skipif(not REAL, reason="GEMMAHUB_TEST_VLLM names no program vllm")


def architectures() -> dict[str, MemoryArchitecture]:
    found = {}
    for model in load_catalog().models:
        if model.architecture is not None:
            found[model.name] = memory_architecture(model.architecture)
    return found


def ask_vllm(jobs: list[dict[str, Any]]) -> list[Any]:
    python = Path(REAL).resolve().parent / "python"
    done = subprocess.run(
        [python, ASK], input=json.dumps(jobs), capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert "ANSWERS " in done.stdout, done.stderr[-2000:]
    answers: list[Any] = json.loads(done.stdout.rpartition("ANSWERS ")[2])
    return answers


@real
def test_blocks_are_those_of_vllm_s_own_functions() -> None:
    """For every architecture of the catalogue, on 1 to 8 GPUs, with both sizes of a number."""
    jobs, ours = [], []
    for architecture in architectures().values():
        for tp in fitting(architecture, 8):
            for length, item in ((1, 2), (4096, 2), (32_768, 1), (131_072, 2)):
                flying = tokens_in_flight(8192, 1)
                cache = paged_cache(architecture, tp=tp, item_bytes=item, in_flight=flying)
                layers = [
                    [max(1, layer.kv_heads // tp), layer.key_length,
                     architecture.sliding_window if layer.attention == "window" else 0]
                    for layer in architecture.layers
                    if layer.owns_cache
                ]  # fmt: skip
                jobs.append({"layers": layers, "block": 16, "item_bytes": item, "length": length,
                             "in_flight": flying})  # fmt: skip
                ours.append([cache.blocks(length), cache.bytes_per_block()])
    assert len(jobs) > 50
    assert ask_vllm(jobs) == ours


@real
def test_the_arguments_are_understood_by_vllm_s_own_parser() -> None:
    settings = Settings(
        parallel=16, cache_type_k="q8_0", cache_type_v="q8_0",
        cluster=Cluster(4, 2, "ray://head:10001"),
    )  # fmt: skip
    options = {"gpu_memory_utilization": 0.85, "max_num_batched_tokens": 4096,
               "quantization": "fp8", "enforce_eager": True}  # fmt: skip
    words = arguments.words(Path("/vllm"), Path("/model"), "gemma", 8192, settings, options, 8123)
    wanted = {
        "model_tag": "/model", "served_model_name": ["gemma"], "host": "127.0.0.1", "port": 8123,
        "max_model_len": 8192, "max_num_seqs": 16, "kv_cache_dtype": "fp8",
        "gpu_memory_utilization": 0.85, "max_num_batched_tokens": 4096, "quantization": "fp8",
        "enforce_eager": True, "tensor_parallel_size": 4, "pipeline_parallel_size": 2,
        "distributed_executor_backend": "ray", "generation_config": "vllm",
    }  # fmt: skip
    (found,) = ask_vllm([{"arguments": words[2:], "wanted": list(wanted)}])
    assert found == wanted


def test_the_log_of_a_real_server() -> None:
    """vLLM 0.32.0 for CPUs (blocks of 128 tokens, bfloat16), 1 GiB of cache, two layers: it said
    "3,728,270 tokens, Maximum concurrency for 512 tokens per request: 7281.78x"."""
    base = architectures()["gemma-3-1b-it"]
    window, whole = (
        next(layer for layer in base.layers if layer.attention == kind)
        for kind in ("window", "global")
    )
    layers = tuple(replace(x, kv_heads=1, key_length=32, value_length=32) for x in (window, whole))
    model = replace(base, layers=layers, sliding_window=64)
    cache = paged_cache(model, block=128, in_flight=tokens_in_flight(2048, 1))
    pool = GIB // cache.bytes_per_block()
    assert f"{cache.concurrency(pool, 512):.2f}" == "7281.78"
    assert int(cache.concurrency(pool, 512) * 512) == 3_728_270


def test_a_window_takes_blocks_of_the_window_only() -> None:
    """Gemma 3 27B: 10 whole layers and 52 of 1,024 tokens, in groups of ten: 1 and 6."""
    cache = paged_cache(architectures()["gemma-3-27b-it"], in_flight=4096)
    assert [len(numbers) for _, numbers in cache.groups].count(10) >= 1
    assert sorted({bool(kind.window) for kind, _ in cache.groups}) == [False, True]
    windows = [kind for kind, _ in cache.groups if kind.window]
    longer = cache.blocks(131_072) - cache.blocks(65_536)
    assert longer == (len(cache.groups) - len(windows)) * 65_536 // 16


def test_pages_of_unequal_layers_become_equal() -> None:
    for name, architecture in architectures().items():
        for tp in fitting(architecture, 8):
            cache = paged_cache(architecture, tp=tp)
            assert {kind.page for kind, _ in cache.groups} == {cache.page}, name
            numbers = sorted(n for _, layers in cache.groups for n in layers)
            assert numbers == [n for n, la in enumerate(architecture.layers) if la.owns_cache]


@pytest.mark.parametrize(
    ("layers", "stages", "counts"),
    [(62, 2, [31, 31]), (26, 4, [6, 7, 7, 6]), (34, 4, [8, 9, 9, 8]), (35, 2, [18, 17]),
     (18, 1, [18])],
)  # fmt: skip
def test_stages_are_divided_as_vllm_does(layers: int, stages: int, counts: list[int]) -> None:
    found = stage_layers(layers, stages)
    assert [len(stage) for stage in found] == counts
    assert [n for stage in found for n in stage] == list(range(layers))


def test_heads_that_cannot_be_divided_are_refused() -> None:
    model = architectures()["gemma-3-27b-it"]  # 32 heads, 16 of keys and values
    assert divides(model, 8) == ""
    assert "cannot be divided" in divides(model, 3)
    with pytest.raises(LoadFailed, match="between 3 GPUs") as caught:
        cluster_memory(model, [], Cluster(3), ServerRun())
    assert "1, 2, 4, 8" in caught.value.hint


def test_split_and_copied_weights_are_distinguished() -> None:
    model = architectures()["gemma-3-4b-it"]  # 8 heads, 4 of keys and values
    named = [
        ("language_model.model.layers.0.self_attn.q_proj.weight", 800),
        ("language_model.model.layers.0.self_attn.k_proj.weight", 400),
        ("language_model.model.layers.0.self_attn.k_norm.weight", 3),
        ("language_model.model.layers.33.mlp.gate_proj.weight_packed", 160),
        ("language_model.model.embed_tokens.weight", 8000),
        ("language_model.model.norm.weight", 5),
        ("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", 80),
        ("multi_modal_projector.mm_input_projection_weight", 7),
    ]
    (one,) = shards(named, model, stage_layers(34, 1), 1)
    assert (one.split, one.copied) == (0, sum(size for _, size in named))
    (eight,) = shards(named, model, stage_layers(34, 1), 8)
    assert eight.copied == 3 + 5 + 7
    assert eight.split == 100 + 400 / 4 + 20 + 1000 + 10
    first, last = shards(named, model, stage_layers(34, 2), 8)
    assert first.bytes == eight.bytes - 20
    assert last.bytes == 20 + 1000 + 5 + 10 + 7


def test_values_that_are_made_from_keys_are_loaded_twice() -> None:
    model = next(
        a for a in architectures().values() if not all(x.has_value_weights for x in a.layers)
    )
    number = next(n for n, layer in enumerate(model.layers) if not layer.has_value_weights)
    named = [(f"model.layers.{number}.self_attn.k_proj.weight", 100)]
    (found,) = shards(named, model, stage_layers(len(model.layers), 1), 1)
    assert found.bytes == 200


def test_one_gpu_holds_the_file(tmp_path: Path) -> None:
    from gemmahub_vllm.header import read_header

    folder = tiny(tmp_path / "tiny")
    header = read_header(folder)
    (found,) = cluster_memory(header.known, header.tensors, Cluster(), ServerRun()).gpus
    assert found.weights.bytes == sum(size for _, size in header.tensors)


def test_what_fits_fits_and_one_token_more_does_not() -> None:
    model = architectures()["gemma-3-27b-it"]
    found = cluster_memory(model, [], Cluster(2, 1, "", (24 * GIB, 24 * GIB)), ServerRun())
    longest = found.longest(1 << 22)
    assert found.cache.blocks(longest) <= found.pool_blocks - 1 < found.cache.blocks(longest + 16)
    assert found.sequences(longest) >= 1


def test_the_smallest_gpu_decides_for_all() -> None:
    model = architectures()["gemma-3-27b-it"]
    sizes = (80 * GIB, 24 * GIB)
    found = cluster_memory(model, [], Cluster(2, 1, "", sizes), ServerRun())
    assert found.pool_blocks == found.gpus[1].blocks < found.gpus[0].blocks


def test_a_dry_load_names_each_gpu(tmp_path: Path) -> None:
    from plugins.vllm.tests.conftest import folder_artifact

    cluster = Cluster(2, 1, "", (8 * GIB, 8 * GIB))
    dry = VllmBackend().dry_load(
        folder_artifact(tiny(tmp_path / "tiny")),
        Settings(context=512, parallel=4, cluster=replace(cluster, gpus=1, nodes=2)),
    )
    assert [use.device for use in dry.devices] == ["GPU0", "GPU1"]
    assert dry.basis == "formula"
    assert all(use.overhead_bytes > 0.08 * 8 * GIB for use in dry.devices if use.overhead_bytes)
    assert any("sequences of 128 at once" in note for note in dry.notes)
    assert any("not measured on a GPU" in note for note in dry.notes)
