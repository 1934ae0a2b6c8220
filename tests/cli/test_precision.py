"""What ``inspect``, ``list`` and ``plan`` say of layouts, labels and architectures that exist.

Each model is a header without weights, as public reports of other tools describe it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.manager import load_plugins
from gemmahub.service import Library
from gemmahub.testing.decoder_writer import DECODERS, Decoder, write_decoder
from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.testing.safetensors_writer import write_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Command = Any
Named = tuple[str, str, tuple[int, ...]]
WIDTH, WIDE, WORDS, LAYERS = 2560, 10240, 262144, 34
MATRICES = (
    ("self_attn.q_proj", 2048, WIDTH), ("self_attn.k_proj", 1024, WIDTH),
    ("self_attn.v_proj", 1024, WIDTH), ("self_attn.o_proj", WIDTH, 2048),
    ("mlp.gate_proj", WIDE, WIDTH), ("mlp.up_proj", WIDE, WIDTH), ("mlp.down_proj", WIDTH, WIDE),
)  # fmt: skip
PACKED = LAYERS * sum(out * into for _, out, into in MATRICES)
PLAIN = WIDTH * WORDS + WIDTH


def of_4b(folder: Path, one: Callable[[str, int, int], list[Named]], how: dict[str, Any]) -> Path:
    """A folder with the shapes of Gemma 3 4B, each matrix stored as ``one`` says."""
    tensors: list[Named] = [
        ("model.embed_tokens.weight", "BF16", (WORDS, WIDTH)),
        ("model.norm.weight", "BF16", (WIDTH,)),
    ]
    for number in range(LAYERS):
        for name, out, into in MATRICES:
            tensors += one(f"model.layers.{number}.{name}", out, into)
    folder.mkdir()
    write_safetensors(folder / "model.safetensors", tensors, {"format": "pt"})
    about = {"model_type": "gemma3_text", "quantization_config": how}
    (folder / "config.json").write_text(json.dumps(about))
    return folder


def awq(name: str, out: int, into: int) -> list[Named]:
    return [
        (f"{name}.weight_packed", "I32", (out, into // 8)),
        (f"{name}.weight_scale", "BF16", (out, into // 32)),
        (f"{name}.weight_shape", "I64", (2,)),
    ]


def nvfp4(name: str, out: int, into: int) -> list[Named]:
    return [
        (f"{name}.weight", "U8", (out, into // 2)),
        (f"{name}.weight_scale", "F8_E4M3", (out, into // 16)),
        (f"{name}.weight_scale_2", "F32", ()),
    ]


def codes(name: str, out: int, into: int) -> list[Named]:
    return [(f"{name}.codes", "I16", (out, into // 8, 1))]


def compressed(bits: int, group: int) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": "int", "group_size": group}
    return {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": weights}}}


def inspected(command: Command, path: Path) -> dict[str, Any]:
    found = command("inspect", path, "--json")
    assert found.code == 0, found
    return dict(json.loads(found.out))


def test_an_awq_folder_is_a_model_of_4_bits(command: Command, tmp_path: Path) -> None:
    folder = of_4b(tmp_path / "gemma-3-4b-it-AWQ-4bit", awq, compressed(4, 32))
    found = inspected(command, folder)
    precision = found["precision"]
    bits = round((PACKED * 4.5 + PLAIN * 16) / (PACKED + PLAIN), 2)
    assert found["parameters"] == PACKED + PLAIN
    assert (precision["label"], precision["bits"]) == ("4-bit AWQ", 4)
    assert precision["bits_per_weight"] == bits
    assert (precision["training"], precision["mismatch"]) == ("unknown", None)
    people = command("inspect", folder).out
    assert f"4-bit AWQ · int4, BF16 embedding · {bits} bits/weight" in people
    assert "not quantized" not in people
    assert "4-bit AWQ int4" in command("list", "--folder", tmp_path).out


def test_nvfp4_of_modelopt(command: Command, tmp_path: Path) -> None:
    how = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    found = inspected(command, of_4b(tmp_path / "gemma-3-4b-it-NVFP4", nvfp4, how))
    assert found["parameters"] == PACKED + PLAIN
    assert (found["precision"]["label"], found["precision"]["mismatch"]) == ("NVFP4", None)


def test_an_unknown_method_is_named_and_not_counted(command: Command, tmp_path: Path) -> None:
    folder = of_4b(tmp_path / "gemma-3-4b-it-AQLM-2bit", codes, {"quant_method": "aqlm"})
    precision = inspected(command, folder)["precision"]
    assert precision["label"] == "bits unknown: quantized with aqlm"
    assert (precision["bits_per_weight"], precision["mismatch"]) == (None, None)
    people = command("inspect", folder).out
    assert "number unknown" in people
    assert "0 (0)" not in people
    assert "bits unknown: quantized with aqlm" in command("list", "--folder", tmp_path).out


def test_plan_knows_the_weights_where_no_engine_can_be_asked(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "plugins_manager", load_plugins(only=["echo"]))
    folder = of_4b(tmp_path / "gemma-3-4b-it-AWQ-4bit", awq, compressed(4, 32))
    found = command("plan", folder)
    size = (PACKED * 4.5 / 8 + PLAIN * 2) / 1e9
    assert found.code != 0
    assert f"its weights alone need {size:.2f} GB" in found.err


@pytest.mark.parametrize(
    ("name", "number", "file_type", "label", "note"),
    [
        ("gemma-3-4b-it-IQ4_K", 139, 140, "IQ4_K", "which is a type of ik_llama.cpp"),
        ("gemma-2-2b-it-Q4_0_4_4", 31, 33, "Q4_0_4_4", "no longer reads Q4_0_4_4: fetch Q4_0"),
        ("file-type-63", 2, 63, "Q4_0", "file type 63 is unknown"),
    ],
)
def test_types_that_llamacpp_does_not_read(
    command: Command, tmp_path: Path, name: str, number: int, file_type: int, label: str, note: str
) -> None:
    path = tmp_path / f"{name}.gguf"
    keys = {"general.architecture": "gemma3", "general.file_type": file_type}
    write_gguf(path, keys, [("blk.0.ffn_up.weight", (256, 256), number)])
    found = inspected(command, path)
    assert (found["precision"]["label"], found["precision"]["mismatch"]) == (label, None)
    assert any(note in each for each in found["notes"])


# --- architectures ------------------------------------------------------------------------------

COHERE2 = Decoder(
    "cohere2", 8, 512, 1024, 8, 2, 64, 4096, 132096,
    more={"attention.sliding_window": 4096, "logit_scale": 0.25,
          "attention.layer_norm_epsilon": 1e-5},
)  # fmt: skip


@pytest.fixture
def cohere2(tmp_path: Path) -> Path:
    """Three of its four layers have a window, which only llama.cpp's code knows."""
    path = tmp_path / "command-r-small.gguf"
    write_decoder(path, COHERE2)
    (tmp_path / "config.toml").write_text('[run.backends]\ngguf = "llama.cpp"\n')
    return path


def test_a_known_architecture_is_planned_by_formula(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "llama-3.1-8b.gguf"
    write_decoder(path, DECODERS["llama-3.1-8b"])
    found = json.loads(command("plan", path, "--context", 32768, "--json").out)
    assert found["memory"]["kv_cache_bytes"] == 4096 * 2**20
    assert not any("estimated" in note for note in found["notes"])


def test_an_unknown_architecture_has_exact_weights_and_no_cache(
    command: Command, cohere2: Path
) -> None:
    found = command("plan", cohere2, "--context", 32768)
    assert (found.code, found.out) == (1, "")
    assert "the cache size of a cohere2 model is unknown" in found.err
    assert "its weights alone need 14.2 MB" in found.err
    assert "plan --exact asks the engine" in found.err


def test_the_engine_is_asked_about_an_unknown_architecture(command: Command, cohere2: Path) -> None:
    found = command("plan", cohere2, "--context", 32768, "--exact", "--json")
    assert found.code == 0, found
    plan = json.loads(found.out)
    memory, row = plan["memory"], 2 * 2 * 2 * 64
    assert memory["kv_cache_global_bytes"] == 2 * 32768 * row  # two of eight layers see it all
    assert memory["kv_cache_window_bytes"] == 6 * 4608 * row
    assert not any("estimated" in note for note in plan["notes"])
