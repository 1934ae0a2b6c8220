"""How long prompts take: held against published rates, and what it has to depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gemmahub.recommend.goals import Requirements
from gemmahub.recommend.prompt import OperationRates, Wait, prompt_operations, wait_for
from gemmahub.recommend.ranking import recommend
from gemmahub.recommend.reasons import reasons_for
from gemmahub.recommend.records import DevicePlace, speeds_json
from gemmahub.recommend.speed import Bandwidths
from gemmahub.recommend.speed_figures import PROMPTS
from tests.recommend.published import machine_with, planned, published_prompts, variants

GB = 10**9
TERA = 10**12
DENSE = "gemma-4-31b-it:ud-q4_k_xl-qat"
MIXTURE = "gemma-4-26b-a4b-it:q4_0-qat"
CARD = OperationRates((30 * TERA,))
UNKNOWN = Bandwidths((None,), None)


def wait(
    tokens: int,
    variant: str,
    *interfaces: str,
    compute: OperationRates = CARD,
    bandwidths: Bandwidths = UNKNOWN,
    **settings: Any,
) -> Wait | None:
    plan, traffic = planned(variant, interfaces, **settings)
    architecture = variants()[variant].architecture
    return wait_for(tokens, architecture, plan, traffic, bandwidths, compute)


def likely(*args: Any, **named: Any) -> float:
    found = wait(*args, **named)
    assert found is not None
    assert 0 < found.low < found.likely < found.high
    return found.likely


def test_published_prompts_are_inside_the_band() -> None:
    rows = published_prompts()
    assert [row.machine for row in rows if not row.inside] == []
    assert len(rows) == 4


@pytest.mark.parametrize(
    ("variant", "billions"),
    [
        # All parameters that the makers state, less the embedding and what is not chosen.
        ("gemma-3-12b-it:q4_k_m", 10.8),
        (DENSE, 29.3),
        ("gemma-4-e4b-it:q4_k_m", 4.0),
    ],
)
def test_a_short_prompt_costs_two_operations_a_weight(variant: str, billions: float) -> None:
    counted = prompt_operations(variants()[variant].architecture, 16)[0] / 16 / 2e9
    assert counted == pytest.approx(billions, rel=0.02)


def test_long_prompts_take_more_than_their_share() -> None:
    short, long = (likely(tokens, DENSE, "cuda", context=131_072) for tokens in (1024, 131_072))
    assert long > 1.5 * 128 * short


def test_a_sliding_window_bounds_attention() -> None:
    architecture = variants()[DENSE].architecture
    everywhere = replace(architecture, sliding_window=0)
    at = [prompt_operations(found, 32_768)[1] for found in (architecture, everywhere)]
    assert at[0] < at[1] / 2
    within = [prompt_operations(found, 512) for found in (architecture, everywhere)]
    assert within[0] == within[1]


def test_the_processor_attends_where_the_cache_is_in_system_memory() -> None:
    rates = OperationRates((30 * TERA,), TERA)
    near, far = (
        likely(16_384, DENSE, "cuda", compute=rates, cache_in_memory=apart)
        for apart in (False, True)
    )
    attention = prompt_operations(variants()[DENSE].architecture, 16_384)[1]
    at_card = attention / (30 * TERA * PROMPTS["cuda"].share)
    assert far - near == pytest.approx(attention / (TERA * PROMPTS["cpu"].share) - at_card)


def test_layers_in_system_memory_are_copied_for_each_step() -> None:
    whole = likely(4096, DENSE, "cuda")
    part = likely(4096, DENSE, "cuda", gpu_layers=31)
    # Half of 17 GB for each of 8 steps at 8 GB/s.
    assert 7 < part - whole < 10
    assert likely(4096, DENSE, "cuda", gpu_layers=31, ubatch=2048) < part - 5


def test_two_devices_compute_one_after_the_other() -> None:
    both = likely(
        4096,
        DENSE,
        "cuda",
        "cuda",
        compute=OperationRates((30 * TERA, 10 * TERA)),
        bandwidths=Bandwidths((None, None), None),
    )
    fast, slow = (
        likely(4096, DENSE, "cuda", compute=OperationRates((n * TERA,))) for n in (30, 10)
    )
    assert fast < both < slow


def test_the_processor_computes_without_a_device() -> None:
    alone = likely(
        1000, MIXTURE, compute=OperationRates((), TERA), bandwidths=Bandwidths((), 50 * GB)
    )
    assert alone > 10 * likely(1000, MIXTURE, "cuda")
    on_host = likely(
        1000, MIXTURE, "cuda", compute=OperationRates((30 * TERA,), TERA), gpu_layers=0
    )
    assert on_host == alone


def test_unknown_operations_follow_from_the_bandwidth_or_are_none() -> None:
    known = Bandwidths((900 * GB,), 50 * GB)
    assert likely(1000, DENSE, "cuda", compute=OperationRates(), bandwidths=known) > 0
    assert wait(1000, DENSE, "cuda", compute=OperationRates()) is None
    worst = UNKNOWN.at_worst(machine_with("cuda"))
    assert likely(1000, DENSE, "cuda", compute=OperationRates(), bandwidths=worst) > 0


def test_a_recommended_plan_says_when_the_first_token_comes() -> None:
    place = DevicePlace(
        machine_with("cuda"), Bandwidths((936 * GB,), 50 * GB), OperationRates((36 * TERA,))
    )
    plan = recommend([variants()[DENSE]], (place,), Requirements()).plans[0]
    assert reasons_for(plan, 16_384, Requirements())[-2] == (
        "The first token takes 0.7 to 2.1 s with a prompt of 1,000 tokens, "
        "14 to 40 s with one that fills the context (estimate)."
    )
    found = speeds_json(plan)
    assert found["seconds_to_first_token_1000"] == pytest.approx(1.2, abs=0.1)
    assert speeds_json(None) == dict.fromkeys(found)
    unknown = replace(place, bandwidths=UNKNOWN, compute=OperationRates())
    plan = recommend([variants()[DENSE]], (unknown,), Requirements()).plans[0]
    assert not any("first token" in reason for reason in reasons_for(plan, 0, Requirements()))
    assert speeds_json(plan) == dict.fromkeys(found)
