"""Headers that lie, through the program: the good models beside them are listed all along."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.gguf_writer import GgufValue, write_gguf
from gemmahub.testing.model_writer import write_model
from gemmahub.testing.safetensors_writer import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

Command = Any
WIDTH, EXPERTS, NARROW = 64, 8, 32


def write_experts(path: Path, **changes: Any) -> Path:
    """A Gemma 4 with experts, one layer, header only."""
    keys: dict[str, Any] = {
        "context_length": 8192, "embedding_length": WIDTH, "block_count": 1,
        "feed_forward_length": 128, "attention.head_count": 2, "attention.head_count_kv": 1,
        "attention.key_length": 32, "attention.value_length": 32, "attention.sliding_window": 64,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.sliding_window_pattern": GgufValue("bool", [False]),
        "expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": NARROW,
    }  # fmt: skip
    shapes = {
        "token_embd": (WIDTH, 100), "output_norm": (WIDTH,), "blk.0.attn_q": (WIDTH, 64),
        "blk.0.attn_k": (WIDTH, 32), "blk.0.ffn_up": (WIDTH, 128),
        "blk.0.ffn_gate_inp": (WIDTH, EXPERTS),
        "blk.0.ffn_gate_up_exps": (WIDTH, 2 * NARROW, EXPERTS),
        "blk.0.ffn_down_exps": (NARROW, WIDTH, EXPERTS),
    }  # fmt: skip
    about = {"general.architecture": "gemma4", "general.file_type": 0}
    about |= {"tokenizer.ggml.model": "no_vocab"}
    about |= {f"gemma4.{key}": value for key, value in {**keys, **changes}.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_gguf(path, about, [(f"{name}.weight", shape, "F32") for name, shape in shapes.items()])
    return path


def listed(command: Command, folder: Path) -> dict[str, Any]:
    """What ``list`` says of a folder, beside a good model that must be there."""
    write_model(folder / "good.gguf")
    found: dict[str, Any] = json.loads(command("list", "--folder", folder, "--json").out)
    assert any(row["reference"].endswith("good.gguf") for row in found["models"])
    return found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"expert_used_count": 2**31 - 1}, "2,147,483,647"),
        ({"expert_used_count": 0}, "none of its 8 experts"),
        ({"expert_used_count": 9}, "9 experts are used of 8"),
        ({"expert_count": 2**32 - 1, "expert_used_count": 2**32 - 1}, "4,294,967,295"),
        ({"expert_count": 1024, "expert_used_count": 1024}, "64 x 8"),
        ({"expert_used_count": GgufValue("u64", 2**64 - 1)}, "gemma4.expert_used_count"),
        ({"expert_used_count": GgufValue("f32", 2.0)}, "2.0"),
        ({"expert_feed_forward_length": 2**30}, "expert_feed_forward_length"),
        ({"block_count": 2**31}, "block_count"),
        ({"attention.head_count": 2**32 - 1}, "head_count"),
        ({"attention.shared_kv_layers": 2**32 - 1}, "shared_kv_layers"),
        ({"context_length": GgufValue("u64", 2**64 - 1)}, "context_length"),
        ({"attention.key_length": GgufValue("i32", -1)}, "key_length"),
    ],
)
def test_a_header_that_lies_is_shown_with_its_reason(
    command: Command, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    bad = write_experts(tmp_path / "bad.gguf", **changes)
    found = listed(command, tmp_path)
    rows = [row for row in found["models"] if row["reference"] == str(bad)]
    assert len(rows) == 1
    assert command("inspect", bad).code == 0
    planned = command("plan", bad)
    assert planned.code == 1
    assert reason in planned.err
    assert "defect" not in planned.err


def test_a_header_that_tells_the_truth_is_planned(command: Command, tmp_path: Path) -> None:
    good = write_experts(tmp_path / "experts.gguf")
    assert command("plan", good).code in (0, 4)


def test_what_cannot_be_read_is_its_own_row(command: Command, tmp_path: Path) -> None:
    raw = b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 1) + bytes(100)
    (tmp_path / "bad.gguf").write_bytes(raw)
    (tmp_path / "claims.safetensors").write_bytes(struct.pack("<Q", 90_000_000) + b"{")
    found = listed(command, tmp_path)
    assert str(tmp_path / "bad.gguf") in [row["path"] for row in found["broken"]]
    said = command("list", "--folder", tmp_path)
    assert said.code == 0
    assert "not read: bad.gguf" in said.err


@pytest.mark.parametrize(
    ("file", "text", "note"),
    [
        ("tokenizer_config.json", '{"chat_template": [{"name": {}}]}', "no template with a name"),
        ("tokenizer_config.json", '{"chat_template": [{"name": ["x"], "template": "y"}]}', "name"),
        ("tokenizer_config.json", '{"chat_template": [1, 2]}', "no template with a name"),
        ("tokenizer_config.json", '{"chat_template": 5}', "it is not a text"),
        ("tokenizer_config.json", '{"chat_template": {"default": "x"}}', "it is not a text"),
        ("tokenizer_config.json", '{"chat_template": [{"name": "a", "template": 5}]}', "text"),
        ("tokenizer_config.json", '{"chat_template": %s}' % ("[" * 50_000 + "]" * 50_000), "dam"),
        ("tokenizer_config.json", '{"chat_template": "\\ud83d"}', "not Unicode"),
        ("tokenizer_config.json", '{"a": 1e999}', "beyond all numbers"),
        ("tokenizer_config.json", '{"a": NaN}', "NaN"),
        ("tokenizer_config.json", '{"a": %s}' % ("9" * 5000), "damaged"),
        ("tokenizer_config.json", "[]", "not a JSON object"),
        ("chat_template.json", '{"chat_template": true}', "it is not a text"),
    ],
)  # fmt: skip
def test_an_odd_chat_template_is_a_note_of_its_folder(
    command: Command, tmp_path: Path, file: str, text: str, note: str
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    write_safetensors(odd / "model.safetensors", [("a.weight", "BF16", (4,))])
    (odd / "config.json").write_text('{"model_type": "gemma3_text"}')
    (odd / file).write_text(text)
    row = next(r for r in listed(command, tmp_path)["models"] if r["reference"] == str(odd))
    assert row["chat_template"] is False
    assert any(f"no chat template was read from {file}" in n and note in n for n in row["notes"])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000, "{}" * 2, '{"model_type": "gemma3_text", "a": 1e400}', '{"a": "\\uDC00"}',
        '{"model_type": %s}' % ("7" * 4301), "\ufeff{}", "null", '{"a": ' * 70 + "1" + "}" * 70,
    ],
)  # fmt: skip
def test_a_config_that_cannot_be_read_is_a_row(command: Command, tmp_path: Path, text: str) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    write_safetensors(odd / "model.safetensors", [("a.weight", "BF16", (4,))])
    (odd / "config.json").write_text(text)
    broken = listed(command, tmp_path)["broken"]
    assert [row["path"] for row in broken] == [str(odd)]
    assert "config.json" in broken[0]["reason"]


@pytest.mark.parametrize(
    "value",
    [10**400, -1, 1.5, True, None, "x" * 9000, [2] * 9000, {"a": 1}],
    ids=lambda value: str(value)[:12],
)
@pytest.mark.parametrize("field", ["num_hidden_layers", "sliding_window", "model_type", "bits"])
def test_odd_numbers_of_a_config_are_shown_as_none(
    command: Command, tmp_path: Path, field: str, value: object
) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    tensors = [
        ("a.weight", "U32", (4, 8)),
        ("a.scales", "BF16", (4, 1)),
        ("a.biases", "BF16", (4, 1)),
    ]
    write_safetensors(odd / "model.safetensors", tensors)
    packing = {"group_size": 64, "bits": 4}
    config: dict[str, object] = {"model_type": "gemma3_text", "quantization": packing}
    (packing if field == "bits" else config).update({field: value})  # type: ignore[dict-item]
    config["quantization"] = {**packing, "group_size": value, "mode": value}
    (odd / "config.json").write_text(json.dumps(config))
    found = listed(command, tmp_path)
    row = next(row for row in found["models"] if row["reference"] == str(odd))
    assert len(json.dumps(row)) < 5000
    for key in ("layers", "sliding_window", "context_length"):
        number = row["architecture"][key]
        assert number is None or (type(number) is int and abs(number) < 1 << 64)
