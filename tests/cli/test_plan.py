"""``gemmahub plan``: the contract's object, the formula against the engine, simulated machines."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.catalog.loader import load_catalog
from gemmahub.engines.contract import Artifact
from gemmahub.memory import ImageMemory, MachineMemory, MemorySettings
from gemmahub.planning import images_of, make_plan, model_of
from gemmahub.service import Library
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.text import format_gib

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.catalog.records import CatalogFile

Command = Any


def plan(command: Command, *arguments: object) -> dict[str, Any]:
    result = command("plan", *arguments, "--json")
    assert result.code == 0, result
    found: dict[str, Any] = json.loads(result.out)
    return found


@pytest.fixture
def in_process(tmp_path: Path) -> None:
    """GGUF files are run by the engine that can be asked."""
    (tmp_path / "config.toml").write_text('[run.backends]\ngguf = "llama.cpp"\n')


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
    parts = ("weights", "kv_cache", "compute", "output", "projector", "overhead", "saved")
    assert memory["total_bytes"] == sum(memory[f"{part}_bytes"] for part in parts)
    assert found["basis"] == "formula"
    assert found["engine"] == "llama.cpp 86a2835"  # what llama-server is here
    assert memory["saved_bytes"] == 15_728_640 // 2  # a copy of the window
    assert found["fits"] is True
    assert found["largest_context"] == 32768


@pytest.mark.usefixtures("in_process")
def test_the_engine_of_the_settings_has_its_own_rules(command: Command) -> None:
    found = plan(command, "gemma-3-270m", "--context", 8192)
    assert found["engine"] == "llama.cpp 0.3.36"
    assert found["memory"]["saved_bytes"] == 0


def test_a_plan_for_another_machine(command: Command) -> None:
    reference = "gemma-4-31b-it:q8_0"
    one = plan(command, reference, "--machine", "rtx-3090")
    two = plan(command, reference, "--machine", "2x rtx-3090")
    assert (one["fits"], two["fits"]) == (False, True)
    assert [place["device"] for place in two["memory"]["devices"]] == ["cuda:0", "cuda:1", "cpu"]
    assert "planned for 2 x RTX 3090, 24 GiB, which is not this machine" in two["notes"]


def test_unequal_gpus_get_layers_by_their_memory(command: Command) -> None:
    """As llama.cpp's split mode "layer" does it: ``layer_devices``."""
    found = plan(command, "gemma-4-26b-a4b-it:q8_0", "--machine", "rtx-3090 + rtx-3060")
    large, small, _ = (place["total_bytes"] for place in found["memory"]["devices"])
    assert found["fits"]
    assert 1.5 < large / small < 2.5


def test_shares_of_gpus_go_before_their_memory(command: Command) -> None:
    machine = ("gemma-4-26b-a4b-it:q8_0", "--machine", "2x rtx-3090")
    found = plan(command, *machine, "--tensor-split", "3,1")
    first, second, _ = (place["total_bytes"] for place in found["memory"]["devices"])
    assert 2 < first / second < 4
    assert found["placement"]["flags"][-2:] == ["--tensor-split", "3,1"]
    even = plan(command, *machine)["memory"]["devices"]
    assert abs(even[0]["total_bytes"] - even[1]["total_bytes"]) < first - second


@pytest.mark.parametrize(
    ("shares", "words"),
    [("3,1,1", "3 shares were given for 2"), ("3,x", "not a list"), ("0,0", "not a list"),
     ("-1,2", "not a list"), ("nan,1", "not a list")],
)  # fmt: skip
def test_invalid_shares(command: Command, shares: str, words: str) -> None:
    result = command("plan", "gemma-3-4b-it:q4_0-qat", "--machine", "2x rtx-3090",
                     "--tensor-split", shares)  # fmt: skip
    assert result.code == 2
    assert words in result.err


def test_a_plan_for_several_machines_says_whose_each_device_is(command: Command) -> None:
    found = plan(command, "gemma-4-31b-it:q8_0", "--machine", "rtx-3090; rtx-4090")
    assert [place["device"] for place in found["memory"]["devices"]] == ["rpc:0", "cuda:0", "cpu"]
    assert "rpc:0: node-2:50052 (GeForce RTX 4090)" in found["notes"]


def test_a_machine_that_is_not_here_loads_nothing(command: Command) -> None:
    result = command("plan", "gemma-3-270m", "--machine", "rtx-3090", "--verify")
    assert result.code == 2
    assert "and --machine" in result.err


def test_what_the_engine_keeps_is_counted(command: Command, tmp_path: Path) -> None:
    before = plan(command, "gemma-3-270m", "--parallel", 2)["memory"]
    (tmp_path / "config.toml").write_text(
        "[backends.llama-server]\ncheckpoints = 3\nprompt_cache = 256\n"
    )
    after = plan(command, "gemma-3-270m", "--parallel", 2)["memory"]
    assert after["saved_bytes"] == 3 * before["saved_bytes"] + (256 << 20)
    assert after["total_bytes"] - before["total_bytes"] == (
        after["saved_bytes"] - before["saved_bytes"]
    )


@pytest.mark.usefixtures("in_process")
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
    assert "short" in command("plan", "gemma-3-27b-it:q4_0-qat", *options).out


def test_a_context_beyond_the_trained_one_is_a_warning(command: Command) -> None:
    result = command("plan", "gemma-3-270m", "-c", 65536)
    assert result.code == 0
    assert "trained for" in result.err


@pytest.mark.usefixtures("in_process")
def test_exact_needs_no_file(command: Command) -> None:
    """A model of 17 GB that is not here: the engine's own answer, for a GPU that is not here."""
    arguments = (
        "gemma-3-27b-it:q4_0-qat", "-c", 131072, "--cache-type", "q8_0",
        "--memory", "24GiB", "--ram", "32GiB",
    )  # fmt: skip
    formula, exact = plan(command, *arguments), plan(command, *arguments, "--exact")
    assert exact["basis"] == "dry load"
    assert any("made from the catalogue" in note for note in exact["notes"])
    assert exact["fits"] is True
    assert exact["memory"]["kv_cache_bytes"] == formula["memory"]["kv_cache_bytes"]
    assert exact["memory"]["total_bytes"] == pytest.approx(formula["memory"]["total_bytes"], 1e-4)


@pytest.mark.parametrize("reference", ["gemma-4-31b-it", "gemma-4-e2b-it", "gemma-3n-e4b-it"])
def test_exact_of_other_families(command: Command, reference: str) -> None:
    options = ("-c", 32768, "--cache-type-k", "q8_0", "--gpu-layers", 0, "--ram", "64GiB")
    formula, exact = (
        plan(command, reference, *options),
        plan(command, reference, *options, "--exact"),
    )
    assert exact["basis"] == "dry load"
    for part in ("weights_bytes", "kv_cache_bytes", "kv_cache_window_bytes", "output_bytes"):
        assert exact["memory"][part] == formula["memory"][part], part


def test_settings_of_the_contract_are_options(command: Command) -> None:
    usual = plan(command, "gemma-3-270m")
    found = plan(
        command, "gemma-3-270m", "--no-flash-attention", "--swa-full", "--outputs", 8,
        "--cache-type-k", "q8_0", "--ubatch", 4096, "--gpu-layers", 0,
    )  # fmt: skip
    assert found["settings"] == {
        "context": 8192, "cache_type_k": "q8_0", "cache_type_v": "f16", "flash_attention": False,
        "full_swa_cache": True, "ubatch": 4096, "parallel": 1, "outputs_max": 8, "gpu_layers": 0,
    }  # fmt: skip
    for part in ("kv_cache_window_bytes", "compute_bytes"):
        assert found["memory"][part] > usual["memory"][part], part
    assert [row["cache_type"] for row in found["contexts"]][-1] == "q8_0/f16"
    assert {row["cache_type"] for row in found["contexts"]} == {"f16", "q8_0/f16"}


def test_contexts_are_powers_of_two_and_the_asked_one(command: Command) -> None:
    options = ("--memory", "24GiB", "--ram", "64GiB")
    found = plan(command, "gemma-3-27b-it:q4_0-qat", "-c", 50000, *options)
    lengths = [4096, 8192, 16384, 32768, 50000, 65536, 131072]
    rows = {(row["cache_type"], row["context"]): row for row in found["contexts"]}
    assert list(rows) == [(name, n) for name in ("f16", "q8_0", "q4_0") for n in lengths]
    assert rows["f16", 50000]["total_bytes"] == found["memory"]["total_bytes"]
    assert rows["f16", 50000]["fits"] is found["fits"] is True
    assert rows["f16", 131072]["fits"] is False
    assert rows["q8_0", 131072]["fits"] is True
    assert found["largest_contexts"]["f16"] == found["largest_context"]
    for name, largest in found["largest_contexts"].items():
        below = [n for n in lengths if n <= largest]
        assert [n for n in lengths if rows[name, n]["fits"]] == below


def projector_of(reference: str) -> CatalogFile:
    model, _, name = reference.partition(":")
    variant = load_catalog().variant(model, name)
    assert variant is not None
    assert variant.projector is not None
    return variant.projector


def test_images_are_counted_on_request(command: Command) -> None:
    reference = "gemma-3-4b-it:q4_0-qat"
    options = (reference, "--memory", "24GiB", "--ram", "64GiB")
    without, found = plan(command, *options), plan(command, *options, "--image")
    known = projector_of(reference)
    size = known.bytes + (known.image_buffer_bytes or 0)
    assert without["memory"]["projector_bytes"] == 0
    assert found["memory"]["projector_bytes"] == size
    assert found["memory"]["total_bytes"] - without["memory"]["total_bytes"] == size
    assert found["headroom_bytes"] == without["headroom_bytes"] - size
    totals = zip(without["contexts"], found["contexts"], strict=True)
    assert {b["total_bytes"] - a["total_bytes"] for a, b in totals} == {size}
    (note,) = [note for note in without["notes"] if "--image" in note]
    assert f"would add {format_gib(size)}; " in note
    assert not any("--image" in note for note in found["notes"])
    exact = plan(command, *options, "--image", "--exact")
    assert exact["memory"]["projector_bytes"] == size


def test_a_projector_beside_the_model_counts_with_its_file(tmp_path: Path) -> None:
    projector = tmp_path / "mmproj.gguf"
    projector.write_bytes(bytes(1234))
    reference = "gemma-3-4b-it:q4_0-qat"
    variant = Library().inspect(reference)
    here = replace(variant, artifacts=(Artifact("gguf", tmp_path / "x", projector=projector),))
    known = projector_of(reference)
    assert images_of(variant, load_catalog()) == ImageMemory(known.bytes, known.image_buffer_bytes)
    assert images_of(here, load_catalog()) == ImageMemory(1234, known.image_buffer_bytes)
    nameless = replace(here, reference="./x.gguf")
    assert images_of(nameless, load_catalog()) == ImageMemory(1234, None)
    assert images_of(replace(nameless, artifacts=()), load_catalog()) is None


def test_the_buffer_of_a_projector_is_read_from_its_header(tmp_path: Path) -> None:
    projector = tmp_path / "mmproj-F16.gguf"
    siglip = {
        "general.architecture": "clip",
        "clip.projector_type": "gemma3",
        "clip.has_vision_encoder": True,
        "clip.vision.embedding_length": 1152,
        "clip.vision.image_size": 896,
    }
    size = write_gguf(projector, siglip, [("mm.soft_emb_norm.weight", (1152,), "F32")])
    variant = replace(
        Library().inspect("gemma-3-4b-it:q4_0-qat"),
        reference="./x.gguf",
        artifacts=(Artifact("gguf", tmp_path / "x", projector=projector),),
    )
    known = projector_of("gemma-3-4b-it:q4_0-qat")
    assert images_of(variant, load_catalog()) == ImageMemory(size, known.image_buffer_bytes)
    write_gguf(projector, siglip | {"clip.vision.image_size": 448, "x": 0})
    found = images_of(variant, load_catalog())
    assert found is not None
    assert found.buffer_bytes is None


@pytest.mark.parametrize(
    ("images", "counted", "said"),
    [
        (
            ImageMemory(2 << 30, 1 << 30),
            False,
            "would add 3.00 GiB; 1.00 GiB of them for computing the largest image",
        ),
        (
            ImageMemory(2 << 30),
            False,
            "would add 2.00 GiB; the buffer for one image is not",
        ),
        (ImageMemory(2 << 30), True, "the buffer for one image is not known and not counted"),
        (ImageMemory(2 << 30, 1 << 30), True, ""),
    ],
)
def test_what_is_not_counted_of_images_is_reported(
    images: ImageMemory, counted: bool, said: str
) -> None:
    variant = Library().inspect("gemma-3-4b-it:q4_0-qat")
    found = make_plan(
        variant,
        model_of(variant, load_catalog()),
        MemorySettings(4096),
        MachineMemory((), 1 << 40, 1 << 40),
        images=images,
        with_images=counted,
    )
    notes = [note for note in found.notes if "image" in note]
    assert said in notes[0] if said else not notes
    size = images.known_bytes
    assert found.memory.places[-1].projector_bytes == (size if counted else 0)


# llama-server is another build than the formula's: its compute buffers differ by -4 to +7 %.
@pytest.mark.parametrize(("exact", "within"), [((), 0.07), (("--exact",), 0.01)])
def test_verify_holds_the_plan_against_a_real_load(
    command: Command, exact: tuple[str, ...], within: float
) -> None:
    options = ("gemma-3-270m", "-c", 1024, "--gpu-layers", 0, "--verify", *exact)
    actual = plan(command, *options)["actual"]
    assert [row["part"] for row in actual["parts"]] == ["weights", "kv_cache", "compute", "output"]
    for row in actual["parts"]:
        assert abs(row["difference"]) < (within if row["part"] == "compute" else 0.01)
    assert actual["tokens"] > 0
    assert actual["resident"]["total_bytes"] > 100_000_000
    assert ("llama-server" in actual["engine"]) is not bool(exact)


def test_verify_is_shown(command: Command) -> None:
    result = command("plan", "gemma-3-270m", "-c", 1024, "--gpu-layers", 0, "--verify", "--exact")
    assert result.code == 0
    assert "from llama.cpp" in result.out
    for line in ("cpu weights", "cpu KV cache", "repacked weights", "resident"):
        assert line in result.out


def test_what_does_not_fit_is_not_loaded(command: Command) -> None:
    result = command("plan", "gemma-3-270m", "--verify", "-c", 1 << 30)
    assert result.code == 4
    assert "short" in result.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("gemma-3-270m", "--memory", "0"), 2),
        (("gemma-3-270m", "--memory", "-4GiB"), 2),
        (("gemma-3-270m", "--ram", "lots"), 2),
        (("gemma-3-270m", "-c", "0"), 2),
        (("gemma-3-270m", "-c", str(2**31)), 2),
        (("gemma-3-270m", "--cache-type", "q3_k"), 2),
        (("gemma-3-270m", "--no-flash-attention", "--cache-type", "q8_0"), 2),
        (("gemma-3-270m", "--no-flash-attention", "--cache-type-v", "q4_0"), 2),
        (("gemma-3-270m", "--parallel", "4", "--outputs", "2"), 2),
        (("gemma-3-270m", "--image"), 2),
        (("gemma-3-270m", "--verify", "--memory", "24GiB"), 2),
        (("gemma-3-270m", "--verify", "--ram", "24GiB"), 2),
        (("gemma-3-1b-it:q4_0-qat", "--verify"), 3),
        (("gemma-3-4b-it:4bit-qat-mlx", "--exact"), 1),
        (("gemma-3-4b-it:4bit-qat-mlx",), 1),
        (("nothing-here",), 3),
    ],
)
def test_bad_input(command: Command, arguments: tuple[str, ...], code: int) -> None:
    result = command("plan", *arguments)
    assert result.code == code
    assert "hint:" in result.err


def test_every_measured_catalogue_variant_has_a_plan(command: Command) -> None:
    for variant in load_catalog().variants:
        if variant.types is not None:
            found = plan(command, variant.reference, "--memory", "80GiB", "--ram", "128GiB")
            assert found["fits"] is True, variant.reference
