"""``gemmahub recommend``: the contract, simulated machines, and names without a variant."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import DoesNotFit
from gemmahub.measurements.speed_log import SpeedLog
from gemmahub.service import Library, Requirements

if TYPE_CHECKING:
    from pathlib import Path

Command = Any


def recommended(command: Command, *arguments: object) -> dict[str, Any]:
    result = command("recommend", *arguments, "--json")
    assert result.code == 0, result
    found: dict[str, Any] = json.loads(result.out)
    return found


def test_the_contract(command: Command) -> None:
    found = recommended(command, "--memory", "24GiB", "--ram", "64GiB", "--limit", 2)
    assert set(found) == {"machine", "recommendations"}
    assert found["machine"]["simulated"] is True
    first, second = found["recommendations"]
    assert (first["rank"], second["rank"]) == (1, 2)
    assert set(first) == {
        "rank", "reference", "name", "precision", "settings", "memory", "headroom_bytes",
        "largest_context", "tokens_per_second", "tokens_per_second_low", "tokens_per_second_high",
        "seconds_to_first_token_1000", "seconds_to_first_token_1000_low",
        "seconds_to_first_token_1000_high", "seconds_to_read_context",
        "seconds_to_read_context_low", "seconds_to_read_context_high",
        "speed_basis", "quality", "quality_loss", "quality_basis", "points", "score", "usable",
        "explanation",
        "room_on_disk", "placement", "reasons", "installed", "command",
    }  # fmt: skip
    assert set(first["score"]) == {
        "published", "precision", "cache", "base_model", "context", "speed", "reading", "total",
    }  # fmt: skip
    assert first["score"]["total"] == first["points"]
    assert first["usable"] is True
    assert first["room_on_disk"] is True
    assert first["placement"] == {
        "experts_in_memory": 0, "cache_in_memory": False, "flags": ["--gpu-layers", "all"],
    }  # fmt: skip
    assert first["reference"] == "gemma-4-26b-a4b-it:q4_0-qat"
    assert first["precision"]["summary"].startswith("Q4_0 · int4 QAT")
    assert first["precision"]["bits_per_weight"] == 4.57
    assert first["settings"]["context"] == 16_384
    assert first["settings"]["gpu_layers"] == 31
    assert first["memory"]["devices"][0]["device"] == "gpu:0"
    assert first["memory"]["devices"][0]["total_bytes"] < 24 << 30
    assert first["headroom_bytes"] >= 512 << 20
    assert first["largest_context"] == 262_144
    assert first["tokens_per_second"] is None
    assert first["speed_basis"] == "unknown bandwidth"
    assert first["quality"] == 82.6
    assert "MMLU-Pro 82.6" in first["quality_basis"]
    assert "43.1 against 44.3" in first["quality_basis"]
    assert first["installed"] is False
    assert first["command"] == "gemmahub run gemma-4-26b-a4b-it:q4_0-qat --ctx-size 16384"


def test_it_explains_each_score_in_four_parts(command: Command) -> None:
    machine = ("--memory", "24GiB", "--ram", "64GiB", "--limit", 2)
    result = command("recommend", *machine, "--explain")
    found = recommended(command, *machine)["recommendations"]
    for each in found:
        assert f"{each['rank']}. {each['reference']}" in result.out
        parts = each["explanation"]
        assert [part["name"] for part in parts] == ["quality", "speed", "fit", "context"]
        assert abs(sum(part["points"] for part in parts) - each["points"]) < 0.05
        for part in parts:
            assert f"{part['figure']} ({part['source']})" in result.out
        sums = re.findall(r"score +(-?[0-9.]+)  the sum of the four", result.out)
        assert float(sums[each["rank"] - 1]) == pytest.approx(each["points"], abs=0.06)
    assert "the sum of the four" not in command("recommend", *machine).out


def test_the_plan_is_that_of_the_plan_command(command: Command) -> None:
    machine = ("--memory", "8GiB", "--ram", "32GiB")
    (first,) = recommended(command, *machine, "--model", "gemma-4-26b-a4b-it", "--limit", 1)[
        "recommendations"
    ]
    settings, placement = first["settings"], first["placement"]
    # Which part stays in system memory depends on how fast that of this machine is.
    layers = settings["gpu_layers"]
    assert placement["experts_in_memory"] or placement["cache_in_memory"] or layers < 31
    result = command(
        "plan", first["reference"], "-c", settings["context"], "--cache-type",
        settings["cache_type_k"], "--experts-in-memory", placement["experts_in_memory"],
        "--gpu-layers", layers, *(["--cache-in-memory"] if placement["cache_in_memory"] else []),
        *machine, "--json",
    )  # fmt: skip
    plan = json.loads(result.out)
    assert result.code == 0, result
    assert {**plan["placement"], "flags": []} == {**placement, "flags": []}
    for part, size in first["memory"].items():
        assert plan["memory"][part] == size, part
    assert plan["headroom_bytes"] == first["headroom_bytes"]


def test_the_table_has_the_precision_and_the_command(command: Command) -> None:
    result = command("recommend", "--machine", "rtx-3090")
    assert result.code == 0
    assert "Q4_0 int4 QAT" in result.out
    assert "gemmahub run gemma-4-" in result.out
    assert "936 GB/s" in result.out


def test_two_cards_have_more_than_one(command: Command) -> None:
    one = recommended(command, "--model", "gemma-4-31b-it", "--machine", "rtx-3090")
    two = recommended(command, "--model", "gemma-4-31b-it", "--machine", "2x rtx-3090")
    both = [r["reference"] for r in two["recommendations"] if len(used(r)) == 2]
    assert "gemma-4-31b-it:q8_0" in both
    assert "gemma-4-31b-it:q8_0" not in [
        r["reference"] for r in one["recommendations"] if r["placement"]["flags"][1] == "all"
    ]


def test_workers_of_hosts_stand_in_the_command(command: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[machines]\nhosts = ["desk = rtx-3090", "lab:50060 = rtx-3090"]\n'
    )
    found = recommended(
        command, "--model", "gemma-4-31b-it", "--machine", "hosts", "--no-offload"
    )["recommendations"]  # fmt: skip
    remote = [r for r in found if "rpc:0" in used(r)]
    assert remote
    assert all("--rpc lab:50060" in r["command"] for r in remote)
    assert all(r["tokens_per_second"] is None for r in remote)
    assert not any("--rpc" in r["command"] for r in found if r not in remote)


def used(recommendation: dict[str, Any]) -> list[str]:
    places = recommendation["memory"]["devices"]
    return [p["device"] for p in places if p["total_bytes"] and p["device"] != "cpu"]


def test_variants_of_one_model(command: Command) -> None:
    found = recommended(command, "--model", "gemma-3-12b-it", "--memory", "12GiB", "--ram", "32GiB")
    references = [entry["reference"] for entry in found["recommendations"]]
    assert references[0] == "gemma-3-12b-it:q4_0-qat"
    assert len(references) > 1
    assert all(reference.startswith("gemma-3-12b-it:") for reference in references)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--model", "gema-3-4b-it"), 3, "gemma-3-4b-it"),
        (("--memory", "24"), 2, "has no unit"),
        (("--memory", "-4GiB"), 2, "negative"),
        (("--ram", "0GiB"), 2, "zero"),
        (("--machine", "rtx-3091"), 2, "rtx-3090"),
        (("--machine", "2x rtx-3091"), 2, "2x rtx-3090"),
        (("--machine", "hosts"), 2, "machines.hosts"),
        (("--use", "poetry"), 2, "chat"),
        (("--context", "0"), 2, "0"),
        (("--ram", "100MiB"), 4, "gemma-3-270m-it:q4_0-qat, needs 259 MiB"),
        (("--memory", "8GiB", "--model", "gemma-4-31b-it", "--no-offload"), 4, "--no-offload"),
        (("--use", "vision", "--model", "gemma-3-1b-it"), 3, "images"),
    ],
)
def test_bad_input(command: Command, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = command("recommend", *arguments)
    assert result.code == code, result
    assert words in result.err
    assert "hint:" in result.err


def test_what_is_installed_is_recommended_alone_and_can_be_run(command: Command) -> None:
    found = recommended(command, "--installed")
    references = [entry["reference"] for entry in found["recommendations"]]
    assert "gemma-3-270m:q4_k_m" in references
    entry = found["recommendations"][references.index("gemma-3-270m:q4_k_m")]
    words = entry["command"].split()[1:]
    result = command(*words, "The capital of France is", "-n", "8", "--temperature", "0")
    assert result.code == 0, result
    assert f"context {entry['settings']['context']:,} tokens" in result.err


def test_answers_leave_their_speed_behind(command: Command) -> None:
    before = recommended(command, "--installed")["recommendations"][0]
    assert before["speed_basis"].startswith("estimate from ")
    command("run", "gemma-3-270m", "Once upon a time", "-n", "40", "--json")
    after = recommended(command, "--installed")["recommendations"][0]
    assert after["speed_basis"] == "measured on this machine"
    assert after["tokens_per_second"] > 0
    elsewhere = recommended(command, "--installed", "--ram", "16GiB")["recommendations"][0]
    assert elsewhere["speed_basis"] != "measured on this machine"


def test_a_backend_that_is_not_an_engine_leaves_no_speed(command: Command) -> None:
    result = command("run", "gemma-3-270m", "one two three " * 20, "--backend", "echo")
    assert result.code == 0, result
    assert Library().speeds.speeds("cpu") == {}


def test_a_broken_speed_log_is_an_empty_one(command: Command) -> None:
    log = SpeedLog(Library().config.data)
    log.add("gemma-3-270m:q4_k_m", "cpu", 100, 2.0)
    log.add("gemma-3-270m:q4_k_m", "cpu", 3, 0.001)  # too short to tell
    log.add("gemma-3-270m:q4_k_m", "gpu", 100, 0.1)
    assert log.speeds("cpu") == {"gemma-3-270m:q4_k_m": 50.0}
    (Library().config.data / "speed.sqlite").write_bytes(b"no database at all")
    assert log.speeds("cpu") == {}
    log.add("gemma-3-270m:q4_k_m", "cpu", 100, 2.0)
    assert recommended(command, "--installed")["recommendations"]


def test_a_name_without_a_variant_is_what_is_recommended(command: Command) -> None:
    machine = ("--memory", "24GiB", "--ram", "64GiB")
    result = command("plan", "gemma-3-27b-it", *machine, "--json")
    assert json.loads(result.out)["reference"] == "gemma-3-27b-it:q4_0-qat"
    assert (
        "gemma-3-27b-it -> Q4_0 int4 QAT, 5.10 bits/weight, 16,384 tokens "
        "(fits 24.00 GiB + 64.00 GiB)" in result.err
    )
    # With less room it is another variant; with no room at all the catalogue's first.
    small = command("plan", "gemma-4-12b-it", "--memory", "7GiB", "--ram", "2304MiB", "--json")
    assert json.loads(small.out)["reference"] == "gemma-4-12b-it:ud-q4_k_xl-qat"
    none = command("plan", "gemma-3-27b-it", "--ram", "1GiB", "--json")
    assert json.loads(none.out)["fits"] is False
    assert "->" not in none.err


def test_the_service_raises_what_the_command_shows() -> None:
    with pytest.raises(DoesNotFit):
        Library().recommend(Requirements(), Library().machine_for(ram="128MiB"))
