"""docs/guides/scale.md says what is computed now, and what it says of it is so."""

from __future__ import annotations

import pytest

from benchmarks import scale
from gemmahub_vllm.kv_cache import paged_cache, tokens_in_flight


def test_the_document_has_what_is_computed() -> None:
    document = scale.DOCUMENT.read_text("utf-8")
    assert scale.written(document) == document, "run: python -m benchmarks.scale"


def test_the_assumptions_of_the_text_are_those_of_the_table() -> None:
    document = " ".join(scale.DOCUMENT.read_text("utf-8").split())
    for words in (
        f"may have {scale.CONTEXT:,} tokens and has {scale.FILLED:,}",
        f"{scale.BATCHED:,} tokens a step",
        f"take {scale.REDUCE * 1e6:.0f} microseconds each a layer",
        "one of four people",
        f"from half to {scale.BAND[1]} times",
    ):
        assert words in document, words
    assert scale.ACTIVE == 4
    assert scale.BAND[0] == 0.5


def test_more_gpus_answer_faster_and_more_people_slower() -> None:
    two = scale.team(20, "gemma-3-27b-it", "2x h100")
    four = scale.team(20, "gemma-3-27b-it", "4x h100")
    crowd = scale.team(400, "gemma-3-27b-it", "4x h100")
    assert two.one < four.one
    assert crowd.one < four.one
    assert crowd.one * crowd.busy > four.one * four.busy


def test_what_others_saw_on_a_gpu() -> None:
    """vllm-project/vllm#43308: Gemma 4 31B on an A100, about 50 GB of cache, 525,000 tokens."""
    architecture, _ = scale.model("gemma-4-31b-it")
    cache = paged_cache(architecture, in_flight=tokens_in_flight(2048, 1))
    context = architecture.context_length
    assert context == 262_144
    tokens = [
        cache.concurrency(pool // cache.bytes_per_block(), context) * context
        for pool in (50 * 10**9, 50 << 30)
    ]
    assert tokens == pytest.approx([510_000, 548_000], rel=0.002)
