"""``gemmahub plan``: the contract's object, the formula against the engine, simulated machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

Command = Any


def plan(command: Command, *arguments: object) -> dict[str, Any]:
    result = command("plan", *arguments, "--json")
    assert result.code == 0, result
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_the_contract_and_the_measured_cache(command: Command) -> None:
    found = plan(command, "gemma-3-270m", "--context", 8192)
    assert found["reference"] == "gemma-3-270m:q4_k_m"
    assert found["precision"]["bits_per_weight"] == 7.36
    assert found["settings"] == {
        "context": 8192, "cache_type_k": "f16", "cache_type_v": "f16", "flash_attention": True,
        "full_swa_cache": False, "ubatch": 512, "parallel": 1, "outputs_max": 1, "gpu_layers": 0,
    }  # fmt: skip
    memory = found["memory"]
    assert memory["weights_bytes"] == 246_587_904
    assert memory["kv_cache_global_bytes"] == 25_165_824
    assert memory["kv_cache_window_bytes"] == 15_728_640
    assert memory["kv_cache_bytes"] == 25_165_824 + 15_728_640
    assert memory["output_bytes"] == 1_048_576
    parts = ("weights", "kv_cache", "compute", "output", "projector", "overhead")
    assert memory["total_bytes"] == sum(memory[f"{part}_bytes"] for part in parts)
    assert found["basis"] == "formula"
    assert "0.3.36" in found["engine"]
    assert found["fits"] is True
    assert found["largest_context"] == 32768


@pytest.mark.parametrize("options", [(), ("--cache-type", "q8_0"), ("-c", "2048")])
def test_the_engine_agrees(command: Command, options: tuple[str, ...]) -> None:
    formula = plan(command, "gemma-3-270m", *options)["memory"]
    exact = plan(command, "gemma-3-270m", *options, "--exact")
    assert exact["basis"] == "dry load"
    assert "llama" in exact["engine"]
    for part in ("weights_bytes", "kv_cache_bytes", "kv_cache_window_bytes", "output_bytes"):
        assert exact["memory"][part] == formula[part], part
    assert exact["memory"]["compute_bytes"] == pytest.approx(formula["compute_bytes"], rel=0.01)


def test_27b_keeps_its_whole_context_on_24_gib(command: Command) -> None:
    """With a q8_0 window cache; people who know other tools' estimates do not believe it."""
    found = plan(
        command, "gemma-3-27b-it:q4_0-qat", "-c", 131072, "--cache-type", "q8_0",
        "--memory", "24GiB", "--ram", "32GiB",
    )  # fmt: skip
    assert found["fits"] is True
    assert found["largest_context"] == 131072
    assert found["settings"]["gpu_layers"] == 63
    assert found["memory"]["kv_cache_bytes"] < 6 << 30
    gpu = found["memory"]["devices"][0]
    assert gpu["total_bytes"] <= gpu["free_bytes"] == 24 << 30


def test_what_does_not_fit_says_by_how_much(command: Command) -> None:
    options = ("--memory", "8GiB", "--ram", "64GiB")
    found = plan(command, "gemma-3-27b-it:q4_0-qat", *options)
    assert found["fits"] is False
    assert found["headroom_bytes"] < 0
    assert "too much" in command("plan", "gemma-3-27b-it:q4_0-qat", *options).out


def test_a_context_beyond_the_trained_one_is_a_warning(command: Command) -> None:
    result = command("plan", "gemma-3-270m", "-c", 65536)
    assert result.code == 0
    assert "trained for" in result.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("gemma-3-270m", "--memory", "0"), 2),
        (("gemma-3-270m", "--memory", "-4GiB"), 2),
        (("gemma-3-270m", "--ram", "lots"), 2),
        (("gemma-3-270m", "-c", "0"), 2),
        (("gemma-3-1b-it:q4_0-qat", "--exact"), 3),
        (("gemma-3-4b-it:q4_k_m-lmstudio",), 1),
        (("nothing-here",), 3),
    ],
)
def test_bad_input(command: Command, arguments: tuple[str, ...], code: int) -> None:
    result = command("plan", *arguments)
    assert result.code == code
    assert "hint:" in result.err


def test_every_measured_catalogue_variant_has_a_plan(command: Command) -> None:
    from gemmahub.catalog.loader import load_catalog

    for variant in load_catalog().variants:
        if variant.types is not None:
            found = plan(command, variant.reference, "--memory", "80GiB", "--ram", "128GiB")
            assert found["fits"] is True, variant.reference
