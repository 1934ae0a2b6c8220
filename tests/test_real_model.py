"""A real Gemma 3 270M through real llama.cpp, as a user runs it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

Command = Any
PROMPT = "The capital of France is"


@pytest.fixture
def found(command: Command) -> dict[str, Any]:
    result = command("inspect", "gemma-3-270m", "--json")
    assert result.code == 0, result
    answer: dict[str, Any] = json.loads(result.out)
    return answer


def test_inspect_is_the_contract_with_the_measured_figures(found: dict[str, Any]) -> None:
    assert found["reference"] == "gemma-3-270m:q4_k_m"
    assert found["name"] == "Gemma 3 270M"
    assert found["format"] == "gguf"
    assert found["parameters"] == 268_098_176
    assert found["size_bytes"] == 253_113_024
    assert found["architecture"] == {
        "name": "gemma3", "layers": 18, "embedding_length": 640,
        "context_length": 32768, "sliding_window": 512,
    }  # fmt: skip
    assert found["capabilities"] == ["text"]
    assert found["chat_template"] is False
    precision = found["precision"]
    assert precision["label"] == "Q4_K_M"
    assert precision["number_format"] == "mixed"
    assert precision["bits"] == 4
    assert precision["bits_per_weight"] == 7.36
    assert precision["training"] == "unknown"
    assert precision["training_basis"] == (
        "no evidence in repository name, metadata or known hashes"
    )
    assert precision["summary"] == "Q4_K_M · mixed int4/int5/int8 · 7.36 bits/weight"
    assert precision["mismatch"] == (
        "labelled Q4_K_M, but 63% of the weights are Q8_0 and 9% are Q4_K"
    )


def test_the_mix_adds_up(found: dict[str, Any]) -> None:
    types = {row["type"]: row for row in found["precision"]["types"]}
    total = found["parameters"]
    assert round(types["Q8_0"]["parameters"] / total, 3) == 0.631
    assert round(types["Q4_K"]["parameters"] / total, 3) == 0.088
    for rows in (found["precision"]["types"], found["precision"]["roles"]):
        assert sum(row["parameters"] for row in rows) == total
        assert sum(row["bytes"] for row in rows) == 246_587_904
    embedding = next(r for r in found["precision"]["roles"] if r["role"] == "embedding")
    assert (embedding["type"], embedding["parameters"]) == ("Q8_0", 167_772_160)
    assert embedding["bytes"] == 178_257_920


def test_the_catalogue_declares_what_the_file_holds(found: dict[str, Any]) -> None:
    from gemmahub.catalog.loader import load_catalog
    from gemmahub.catalog.tensors import variant_tensors
    from gemmahub.precision.mix import mix_of
    from gemmahub.registry.artifacts import read_summary

    catalog = load_catalog()
    variant, model = catalog.variant("gemma-3-270m", "q4_k_m"), catalog.model("gemma-3-270m")
    assert variant is not None
    assert variant.types is not None
    assert model is not None
    measured = read_summary(Path(found["places"][0]["path"])).mix
    assert mix_of(variant_tensors(model.architecture, variant.types)) == measured


def test_it_is_listed_as_installed(command: Command) -> None:
    rows = json.loads(command("list", "--json").out)["models"]
    (row,) = [row for row in rows if row["reference"] == "gemma-3-270m:q4_k_m"]
    assert row["installed"] is True
    assert row["places"][0]["store"] == "wheels"
    assert row["precision"]["bits_per_weight"] == 7.36


def test_any_path_is_inspected(command: Command, found: dict[str, Any], tmp_path: Path) -> None:
    link = tmp_path / "renamed.gguf"
    link.symlink_to(found["places"][0]["path"])
    other = json.loads(command("inspect", link, "--json").out)
    assert other["reference"] == str(link)
    assert other["precision"]["types"] == found["precision"]["types"]


def test_a_copy_that_was_cut_short_says_so(
    command: Command, found: dict[str, Any], tmp_path: Path
) -> None:
    copy = tmp_path / "gemma.gguf"
    shutil.copy(found["places"][0]["path"], copy)
    os.truncate(copy, 100_000_000)
    result = command("inspect", copy)
    assert result.code == 7
    assert "incomplete" in result.err


def test_run_streams_and_repeats_itself(command: Command) -> None:
    first = command("run", "gemma-3-270m", PROMPT, "--temperature", "0", "-n", "32")
    assert first.code == 0
    assert len(first.out.split()) > 10
    assert "Q4_K_M · mixed int4/int5/int8 · 7.36 bits/weight" in first.err
    assert "llama-server" in first.err
    # The name has no variant: what it was taken for is said, with the recommended context.
    assert "gemma-3-270m -> Q4_K_M mixed, 7.36 bits/weight, 16,384 tokens (fits " in first.err
    assert "context 16,384 tokens" in first.err
    assert "no chat template" in first.err
    again = command("run", "gemma-3-270m", PROMPT, "--temperature", "0", "-n", "32", "--json")
    answer = json.loads(again.out)
    assert answer["text"] == first.out.removesuffix("\n")
    assert answer["usage"]["prompt_tokens"] == 6
    assert answer["usage"]["tokens"] == 32
    assert answer["usage"]["finish_reason"] == "length"


def test_a_seed_repeats_and_another_does_not(command: Command) -> None:
    def text(seed: int) -> str:
        result = command("run", "gemma-3-270m", PROMPT, "--seed", seed, "-n", 24)
        return str(result.out)

    assert text(7) == text(7)
    assert text(7) != text(8)


def test_quantized_cache_and_small_context(command: Command) -> None:
    options = ("--cache-type", "q8_0", "-c", "256", "-n", "8", "--temperature", "0", "--json")
    answer = json.loads(command("run", "gemma-3-270m", PROMPT, *options).out)
    assert answer["context"] == 256
    assert answer["usage"]["tokens"] == 8


def test_a_prompt_that_does_not_fit_is_refused(command: Command) -> None:
    result = command("run", "gemma-3-270m", "word " * 400, "-c", "256")
    assert result.code == 4
    assert "256" in result.err
    assert "--ctx-size" in result.err


def test_a_full_context_is_reported(command: Command) -> None:
    result = command(
        "run", "gemma-3-270m", "word " * 200, "-c", "256", "-n", "500", "--temperature", "0"
    )
    assert result.code == 0
    assert "context of 256 tokens is full" in result.err


def test_more_context_than_trained_is_a_warning(command: Command) -> None:
    options = ("-c", "33000", "-n", "2", "--temperature", "0", "--cache-type", "q8_0")
    result = command("run", "gemma-3-270m", PROMPT, *options)
    assert result.code == 0
    assert "33,000 tokens are more than the 32,768 that the model was trained for" in result.err
    assert "trained for" not in command("run", "gemma-3-270m", PROMPT, "-n", "1").err
    absurd = command("run", "gemma-3-270m", PROMPT, "-c", 2**31)
    assert absurd.code == 5
    assert "2,147,483,648" in absurd.err


@pytest.mark.parametrize("engine", ["llama.cpp", "llama-server"])
def test_kill_9_of_the_engine_in_mid_answer(engine: str) -> None:
    command = [sys.executable, "-m", "gemmahub", "run", "gemma-3-270m", PROMPT, "-n", "5000"]
    command += ["--temperature", "0", "--backend", engine]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(8)
        children = subprocess.run(
            ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"the {engine} process was killed (SIGKILL) in the middle of an answer" in err
    assert "Traceback" not in err


def test_closing_gives_the_memory_back() -> None:
    from gemmahub.engines.contract import Settings
    from gemmahub.service import Library

    running = Library().load("gemma-3-270m", Settings(context=512))
    pid = running.session.pid  # type: ignore[attr-defined]
    resident = Path(f"/proc/{pid}/statm")
    if resident.exists():
        assert int(resident.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > 100_000_000
    running.session.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("the worker is still there")


def test_a_file_that_llama_cpp_refuses(command: Command, tmp_path: Path) -> None:
    from gemmahub.testing.gguf_writer import write_gguf

    path = tmp_path / "strange.gguf"
    write_gguf(path, {"general.architecture": "nosuch"}, [("token_embd.weight", (32, 8), "F32")])
    result = command("run", path, "x")
    assert result.code == 5
    assert "nosuch" in result.err
    assert "hint:" in result.err
