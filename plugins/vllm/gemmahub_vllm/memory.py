"""What vLLM takes on each GPU of a cluster, by formula. Pure arithmetic; vLLM 0.33.0.

``gpu_memory_utilization`` of a GPU's whole memory is all that vLLM takes (``request_memory``,
``v1/worker/utils.py``). In it lie, in this order, the weights, what a step computes with (measured
by vLLM with a step of ``max_num_batched_tokens``), CUDA's graphs (estimated by vLLM since 0.21) and
the pool of the cache, which gets the rest (``determine_available_memory``,
``v1/worker/gpu_worker.py``). The GPU with the fewest blocks decides for all
(``get_kv_cache_configs``).

Weights and cache follow :mod:`gemmahub_vllm.shards` and :mod:`gemmahub_vllm.kv_cache`. All else is
an ESTIMATE, and was not measured on a GPU here:

- A step: per token the widest part of a layer, with its share of the heads and of the feed-forward
  width; and logits of ``max_num_seqs`` rows in 32 bits, three times (themselves, their
  probabilities, and a sorted copy: ``v1/sample/ops/topk_topp_sampler.py``).
- Graphs: logs of others show 0.17 and 0.36 GiB for 27B models on two and four GPUs
  (noonghunna/club-3090#127, gpustack/runner#251, both grade C).
- CUDA's context and communication: 0.5 GiB on one GPU, 1 GiB where several work together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import LoadFailed
from gemmahub.text import format_gib
from gemmahub_vllm.kv_cache import divides, fitting, paged_cache, stage_layers, tokens_in_flight
from gemmahub_vllm.shards import shards

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gemmahub.engines.contract import Cluster
    from gemmahub.memory import MemoryArchitecture
    from gemmahub_vllm.kv_cache import PagedCache
    from gemmahub_vllm.shards import Shard

MIB: Final = 1 << 20
GRAPHS: Final = 512 * MIB
GRAPHS_BAND: Final = (128 * MIB, 2048 * MIB)
CONTEXT: Final = 512 * MIB
TOGETHER: Final = 512 * MIB
LARGE_GPU: Final = 70 << 30


@dataclass(frozen=True, slots=True)
class ServerRun:
    """How vLLM is started, as far as memory depends on it. ``batched`` are tokens of a step,
    ``sequences`` the most at once, ``item_bytes`` a number in the cache, ``eager`` without
    graphs."""

    utilization: float = 0.92
    batched: int = 2048
    sequences: int = 256
    item_bytes: int = 2
    eager: bool = False


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes on one GPU; ``budget`` is the part of its memory that vLLM may take."""

    weights: Shard
    step: int
    graphs: int
    context: int
    budget: int
    total: int
    bytes_per_block: int

    @property
    def pool(self) -> int:
        """What is left for the cache; negative where not even the weights fit."""
        return self.budget - self.weights.bytes - self.step - self.graphs - self.context

    @property
    def blocks(self) -> int:
        """Blocks of the cache that this GPU has room for."""
        return max(0, self.pool) // self.bytes_per_block if self.bytes_per_block else 0


@dataclass(frozen=True, slots=True)
class ClusterMemory:
    """A model on GPUs, stage by stage, and in each stage GPU by GPU."""

    gpus: tuple[GpuMemory, ...]
    cache: PagedCache
    stages: tuple[range, ...]

    @property
    def pool_blocks(self) -> int:
        """Blocks that all GPUs have: as many as the one with the fewest."""
        return min(gpu.blocks for gpu in self.gpus)

    def sequences(self, length: int) -> float:
        """How many sequences of that length fit at once, as vLLM's log says it."""
        return self.cache.concurrency(self.pool_blocks, length)

    def longest(self, most: int) -> int:
        """The longest sequence that fits alone."""
        return self.cache.longest(self.pool_blocks, most)


def default_run(memory: Sequence[int]) -> ServerRun:
    """vLLM's own defaults for a server on GPUs of such a memory in bytes
    (``engine/arg_utils.py``): larger from 70 GiB on, but for an A100, which is not told apart."""
    large = bool(memory) and min(memory) >= LARGE_GPU
    return ServerRun(batched=8192, sequences=1024) if large else ServerRun()


def cluster_memory(
    architecture: MemoryArchitecture,
    tensors: Iterable[tuple[str, int]],
    cluster: Cluster,
    run: ServerRun,
    block: int = 16,
) -> ClusterMemory:
    """The memory of each GPU. ``tensors`` are names and bytes of a checkpoint's tensors.

    Raises: LoadFailed where vLLM cannot divide the model so.
    """
    tp, pp = cluster.gpus, cluster.nodes
    if reason := divides(architecture, tp):
        able = ", ".join(map(str, fitting(architecture, 16)))
        raise LoadFailed(
            f"vLLM cannot divide this model between {tp} GPUs of a machine: {reason}",
            f"use {able} of them (--gpus)",
        )
    if pp > len(architecture.layers):
        raise LoadFailed(f"{len(architecture.layers)} layers are fewer than {pp} machines",
                         "use fewer machines (--nodes)")  # fmt: skip
    stages = stage_layers(len(architecture.layers), pp)
    cache = paged_cache(
        architecture,
        tp=tp,
        item_bytes=run.item_bytes,
        in_flight=tokens_in_flight(run.batched, pp),
        block=block,
    )
    weights = shards(tensors, architecture, stages, tp)
    step = step_bytes(architecture, run, tp)
    memory = cluster.memory or (0,) * (tp * pp)
    gpus = [
        GpuMemory(
            weights=weights[number // tp],
            step=step,
            graphs=0 if run.eager else GRAPHS,
            context=CONTEXT + (TOGETHER if tp * pp > 1 else 0),
            budget=int(total * run.utilization),
            total=total,
            bytes_per_block=cache.bytes_per_block(stages[number // tp]),
        )
        for number, total in enumerate(memory)
    ]
    return ClusterMemory(tuple(gpus), cache, stages)


def step_bytes(architecture: MemoryArchitecture, run: ServerRun, tp: int) -> int:
    """What a step computes with, at its peak: an ESTIMATE (±50 %)."""
    widest = max(
        max(
            3 * layer.feed_forward_length // tp,
            2 * (layer.query_width + layer.key_width + layer.value_width) // tp,
        )
        for layer in architecture.layers
    )
    experts = architecture.experts_used * 3 * architecture.expert_feed_forward_length // tp
    beside = 4 * architecture.embedding_length + architecture.per_layer_embedding_length * len(
        architecture.layers
    )
    logits = 3 * 4 * run.sequences * architecture.vocabulary
    return 2 * run.batched * (max(widest, experts) + beside) + logits


def notes(found: ClusterMemory, cluster: Cluster, run: ServerRun, context: int) -> tuple[str, ...]:
    """Sentences for people: what the figures rest on, and what fits."""
    gpu = min(found.gpus, key=lambda each: each.blocks)
    low, high = (format_gib(size) for size in GRAPHS_BAND)
    said = [
        "computed by vLLM 0.33.0's rules, not measured on a GPU; a step is estimated at "
        f"{format_gib(gpu.step)} (±50 %)"
        + ("" if run.eager else f", CUDA graphs at {format_gib(gpu.graphs)} ({low} to {high})"),
        f"each GPU of the first machine holds {format_gib(found.gpus[0].weights.split)} of split "
        f"and {format_gib(found.gpus[0].weights.copied)} of copied weights",
    ]
    if cluster.memory:
        fit, left = found.sequences(context), format_gib(max(0, gpu.pool))
        said.append(
            f"{left} of each GPU's memory ({run.utilization:.0%} used) are left for the "
            f"cache: {int(fit * context):,} tokens, {fit:.1f} sequences of {context:,} at once"
        )
    return tuple(said)
