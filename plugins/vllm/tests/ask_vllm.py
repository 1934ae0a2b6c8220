"""Run by the Python of an installation of vLLM: its own answer to what the plugin computes.

JSON on standard input, a list of jobs; JSON on standard output, an answer for each.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any


def blocks(job: dict[str, Any]) -> list[Any]:
    """Blocks of a sequence and layers of the largest group, by vLLM's own functions."""
    import torch
    from vllm.v1 import kv_cache_interface as interface

    try:  # from 0.33 on
        from vllm.v1.core import kv_cache_planning as planning
    except ImportError:
        from vllm.v1.core import kv_cache_utils as planning
    specs = {}
    for number, (heads, size, window) in enumerate(job["layers"]):
        common = {
            "block_size": job["block"], "num_kv_heads": heads, "head_size": size,
            "dtype": torch.bfloat16 if job["item_bytes"] == 2 else torch.uint8,
        }  # fmt: skip
        specs[str(number)] = (
            interface.SlidingWindowSpec(sliding_window=window, **common)
            if window
            else interface.FullAttentionSpec(**common)
        )
    config: Any = SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=job["length"]),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1),
        max_in_flight_tokens=job["in_flight"],
    )
    if planning.is_kv_cache_spec_uniform(specs):
        groups = planning._get_kv_cache_groups_uniform_spec(specs)
    elif uniform := interface.UniformTypeKVCacheSpecs.from_specs(specs):
        groups = planning._get_kv_cache_groups_uniform_type(uniform)
    else:
        specs = planning.unify_kv_cache_spec_page_size(specs)
        groups = planning._get_kv_cache_groups_uniform_page_size(specs)
    pages = [g.kv_cache_spec for g in groups]
    needed = sum(-(-p.max_memory_usage_bytes(config) // p.page_size_bytes) for p in pages)
    widest = max(len(g.layer_names) * g.kv_cache_spec.page_size_bytes for g in groups)
    return [needed, widest]


def parsed(job: dict[str, Any]) -> dict[str, Any]:
    """What vLLM's parser of ``vllm serve`` makes of arguments."""
    from vllm.entrypoints.cli.serve import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    found = vars(make_arg_parser(FlexibleArgumentParser()).parse_args(job["arguments"]))
    return {name: found[name] for name in job["wanted"]}


def main() -> None:
    jobs = json.load(sys.stdin)
    answers = [parsed(job) if "arguments" in job else blocks(job) for job in jobs]
    sys.stdout.write("\nANSWERS " + json.dumps(answers, default=str))


if __name__ == "__main__":
    main()
