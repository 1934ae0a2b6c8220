"""From settings to the arguments of ``vllm serve``: it shall take what was planned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import LoadFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gemmahub.engines.contract import Cluster, Settings

CACHE_TYPES: Final = {"f16": "auto", "bf16": "auto", "q8_0": "fp8"}
"""vLLM's names: 16 bits are the model's own type, 8 bits are floats."""


def cache_dtype(settings: Settings) -> str:
    """``--kv-cache-dtype``. Raises: LoadFailed for what vLLM has not."""
    keys, values = settings.cache_type_k, settings.cache_type_v
    if keys != values or keys not in CACHE_TYPES:
        raise LoadFailed(
            f"vLLM has no cache of {keys} keys and {values} values",
            "use --cache-type f16, or q8_0 for vLLM's fp8",
        )
    return CACHE_TYPES[keys]


def words(
    program: Path,
    folder: Path,
    name: str,
    context: int,
    settings: Settings,
    options: Mapping[str, Any],
    port: int,
) -> list[str]:
    """The whole command. ``context`` are tokens of one sequence.

    Raises: LoadFailed for settings that vLLM does not have.
    """
    if settings.gpu_layers is not None:
        raise LoadFailed("vLLM always puts all layers on its GPUs", "leave out --gpu-layers")
    command: list[str] = [str(program), "serve", str(folder), "--served-model-name", name]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--max-model-len", str(context), "--max-num-seqs", str(settings.parallel)]
    command += ["--kv-cache-dtype", cache_dtype(settings)]
    command += ["--gpu-memory-utilization", f"{options['gpu_memory_utilization']:g}"]
    # Its own defaults of sampling would go before those of a request that names none.
    command += ["--generation-config", "vllm"]
    if options["max_num_batched_tokens"]:
        command += ["--max-num-batched-tokens", str(options["max_num_batched_tokens"])]
    if options["quantization"]:
        command += ["--quantization", options["quantization"]]
    if options["enforce_eager"]:
        command += ["--enforce-eager"]
    return command + parallel_words(settings.cluster)


def parallel_words(cluster: Cluster | None) -> list[str]:
    """Tensor parallel inside of a machine, a pipeline between machines, as vLLM advises
    (``parallelism_scaling.md`` in the documentation of vllm-project/vllm@v0.33.0)."""
    if cluster is None:
        return []
    found = []
    if cluster.gpus > 1:
        found += ["--tensor-parallel-size", str(cluster.gpus)]
    if cluster.nodes > 1:
        found += ["--pipeline-parallel-size", str(cluster.nodes)]
    if cluster.nodes > 1 or cluster.address:
        found += ["--distributed-executor-backend", "ray"]
    return found


def environment(cluster: Cluster | None, key: str) -> dict[str, str]:
    """Variables of the server. Ray's cluster is found by ``RAY_ADDRESS``: ``vllm serve`` is a
    driver on a machine of the cluster, so of ``ray://head:10001`` it needs the head; a client's
    port is none of its own, and Ray itself listens at 6379."""
    found = {"VLLM_API_KEY": key, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    if cluster is not None and cluster.address:
        found["RAY_ADDRESS"] = ray_address(cluster.address)
    return found


def ray_address(address: str) -> str:
    """``ray://head:10001`` as a driver wants it: ``head:6379``. Raises: LoadFailed."""
    scheme, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if scheme != "ray" or not host:
        raise LoadFailed(f"vLLM does not support {scheme}://", "write --on ray://head:10001")
    return f"{host}:6379" if port == "10001" else f"{host}:{port}"
