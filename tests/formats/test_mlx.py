"""Model folders: Transformers and MLX, whole and in shards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import IntegrityError, NotFound
from gemmahub.formats.mlx import read_model_folder
from gemmahub.testing.safetensors_writer import write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

Stored = list[tuple[str, str, tuple[int, ...]]]
ROWS, COLUMNS = 8, 256


def packed(module: str, bits: int, group: int, scales: str = "BF16") -> Stored:
    """A weight of 8 x 256 numbers as MLX stores it; scales in bytes have no biases."""
    groups = (ROWS, COLUMNS // group)
    made: Stored = [
        (f"{module}.weight", "U32", (ROWS, COLUMNS * bits // 32)),
        (f"{module}.scales", scales, groups),
    ]
    return made if scales == "U8" else [*made, (f"{module}.biases", scales, groups)]


def folder_with(path: Path, tensors: Stored, config: dict[str, Any], **metadata: str) -> Path:
    write_safetensors(path / "model.safetensors", tensors, metadata)
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_transformers_folder(tmp_path: Path) -> None:
    config = {"model_type": "gemma3", "num_hidden_layers": 18}
    folder = folder_with(tmp_path, [("a.weight", "BF16", (4, 4))], config, format="pt")
    model = read_model_folder(folder)
    assert model.format == "safetensors"
    assert model.config == config
    assert [(t.type, t.parameters, t.bytes) for t in model.tensors] == [("BF16", 16, 32)]
    assert model.size_bytes == (folder / "model.safetensors").stat().st_size
    assert (model.chat_template, model.notes) == (None, ())


@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
@pytest.mark.parametrize("group", [32, 64, 128])
def test_packed_weights_are_one_tensor(tmp_path: Path, bits: int, group: int) -> None:
    config = {"quantization": {"bits": bits, "group_size": group}}
    stored = [*packed("a", bits, group), ("norm.weight", "BF16", (COLUMNS,))]
    model = read_model_folder(folder_with(tmp_path, stored, config))
    assert model.format == "mlx"
    assert model.notes == ()
    assert [t.name for t in model.tensors] == ["a.weight", "norm.weight"]
    tensor = model.tensors[0]
    assert tensor.type == f"MLX {bits}-bit g{group}"
    assert tensor.parameters == ROWS * COLUMNS
    assert tensor.bytes == ROWS * COLUMNS * bits // 8 + 2 * 2 * ROWS * COLUMNS // group


@pytest.mark.parametrize(
    ("mode", "bits", "group"), [("mxfp4", 4, 32), ("nvfp4", 4, 16), ("mxfp8", 8, 32)]
)
@pytest.mark.parametrize("said", [True, False])
def test_float_modes(tmp_path: Path, mode: str, bits: int, group: int, said: bool) -> None:
    quantization = {"bits": bits, "group_size": group, "mode": mode} if said else {"bits": 4}
    stored = packed("a", bits, group, "U8")
    model = read_model_folder(folder_with(tmp_path, stored, {"quantization": quantization}))
    assert model.tensors[0].type == f"MLX {mode} g{group}"
    assert model.tensors[0].parameters == ROWS * COLUMNS
    assert bool(model.notes) is not said


def test_overrides_by_layer(tmp_path: Path) -> None:
    quantization = {
        "bits": 4,
        "group_size": 64,
        "model.embed": {"bits": 8},
        "b": {"bits": 6, "group_size": 32},
        "c": False,
        "d": True,
        "e": {"mode": "mxfp4"},
    }
    stored = [
        *packed("language_model.model.embed", 8, 64),
        *packed("b", 6, 32),
        ("c.weight", "BF16", (2, 64)),
        *packed("d", 4, 64),
        *packed("e", 4, 32, "U8"),
    ]
    model = read_model_folder(folder_with(tmp_path, stored, {"quantization": quantization}))
    assert model.notes == ()
    assert [t.type for t in model.tensors] == [
        "MLX 8-bit g64",
        "MLX 6-bit g32",
        "BF16",
        "MLX 4-bit g64",
        "MLX mxfp4 g32",
    ]


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        (
            "model.language_model.layers.0.mlp.down_proj",
            "language_model.model.layers.0.mlp.down_proj",
        ),
        ("language_model.layers.0.mlp.down_proj", "model.layers.0.mlp.down_proj"),
        ("layers.0.mlp.down_proj", "language_model.model.layers.0.mlp.down_proj"),
        ("model.vision_tower.blocks.0.fc1", "vision_tower.blocks.0.fc1"),
        ("language_model.lm_head", "lm_head"),
    ],
)
def test_prefixes_in_another_order_are_the_same_module(
    tmp_path: Path, said: str, stored: str
) -> None:
    quantization = {"bits": 4, "group_size": 64, said: {"bits": 6, "group_size": 64}}
    folder = folder_with(tmp_path, packed(stored, 6, 64), {"quantization": quantization})
    model = read_model_folder(folder)
    assert (model.tensors[0].type, model.notes) == ("MLX 6-bit g64", ())


def test_the_exact_name_comes_before_one_without_prefixes(tmp_path: Path) -> None:
    quantization = {"bits": 4, "group_size": 64, "a": {"bits": 8}, "model.a": {"bits": 6}}
    folder = folder_with(tmp_path, packed("model.a", 6, 64), {"quantization": quantization})
    assert read_model_folder(folder).notes == ()


def test_conflicts_are_notes(tmp_path: Path) -> None:
    quantization = {"bits": 4, "group_size": 64, "b": False, "c": {"bits": 8}}
    stored = [
        *packed("a", 8, 64),
        *packed("a2", 8, 64),
        *packed("b", 4, 64),
        ("c.weight", "F16", (2, 2)),
        ("d.weight", "U32", (8, 32)),
        ("d.scales", "BF16", (4, 4)),
        ("e.weight", "U32", (1, 1)),
        ("e.scales", "BF16", (1, 1)),
    ]
    model = read_model_folder(folder_with(tmp_path, stored, {"quantization": quantization}))
    assert model.notes == (
        "config.json says MLX 4-bit g64, but the tensors are MLX 8-bit g64 "
        "(a.weight and 1 more tensor)",
        "config.json says not quantized, but the tensors are MLX 4-bit g64 (b.weight)",
        "config.json says MLX 8-bit g64, but the weights are F16 (c.weight)",
        "the shapes of packed weights and scales do not fit each other (d.weight)",
        "the shapes give 32 bits per group, which no packing has (e.weight)",
    )
    assert model.tensors[0].type == "MLX 8-bit g64"
    assert [t.type for t in model.tensors[-2:]] == ["U32", "BF16"]


def test_group_size_that_config_has_wrong(tmp_path: Path) -> None:
    config = {"quantization": {"bits": 4, "group_size": 128}}
    model = read_model_folder(folder_with(tmp_path, packed("a", 4, 32), config))
    assert model.tensors[0].type == "MLX 4-bit g32"
    assert model.notes


def test_packed_weights_without_a_word_in_config(tmp_path: Path) -> None:
    model = read_model_folder(folder_with(tmp_path, packed("a", 4, 64), {}))
    assert (model.format, model.tensors[0].type) == ("mlx", "MLX 4-bit g64")
    assert "not quantized" in model.notes[0]


def test_other_quantization_is_not_mlx(tmp_path: Path) -> None:
    config = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}
    model = read_model_folder(folder_with(tmp_path, [("a.qweight", "I32", (8, 8))], config))
    assert model.format == "safetensors"


def test_unquantised_mlx_says_so_in_its_file(tmp_path: Path) -> None:
    stored: Stored = [("a.weight", "BF16", (2, 2))]
    assert read_model_folder(folder_with(tmp_path, stored, {}, format="mlx")).format == "mlx"


def write_shards(folder: Path, count: int = 2) -> list[str]:
    names = [f"model-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    weight_map = {}
    for number, name in enumerate(names):
        write_safetensors(folder / name, [(f"t{number}.weight", "F16", (2, 2))])
        weight_map[f"t{number}.weight"] = name
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text("{}")
    return names


def test_shards(tmp_path: Path) -> None:
    names = write_shards(tmp_path)
    write_safetensors(tmp_path / "adapters.safetensors", [("lora", "F16", (1,))])
    model = read_model_folder(tmp_path)
    assert [path.name for path in model.files] == names
    assert [t.name for t in model.tensors] == ["t0.weight", "t1.weight"]
    (tmp_path / "model.safetensors.index.json").unlink()
    assert [path.name for path in read_model_folder(tmp_path).files] == names


@pytest.mark.parametrize("index", [True, False])
def test_missing_shard_is_named(tmp_path: Path, index: bool) -> None:
    names = write_shards(tmp_path, 3)
    (tmp_path / names[1]).unlink()
    if not index:
        (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(IntegrityError, match="lacks 1 of 3 files: model-00002-of-00003"):
        read_model_folder(tmp_path)


def test_index_left_over_from_another_model(tmp_path: Path) -> None:
    for name in write_shards(tmp_path):
        (tmp_path / name).unlink()
    write_safetensors(tmp_path / "model.safetensors", [("a.weight", "F16", (1,))])
    model = read_model_folder(tmp_path)
    assert [path.name for path in model.files] == ["model.safetensors"]
    assert "names missing files, so" in model.notes[0]


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "a\\x", 3, ""])
def test_index_must_not_point_out_of_the_folder(tmp_path: Path, name: Any) -> None:
    write_shards(tmp_path)
    text = json.dumps({"weight_map": {"a": name}})
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(IntegrityError, match="not a file of its folder"):
        read_model_folder(tmp_path)


def test_index_without_a_map(tmp_path: Path) -> None:
    write_shards(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(IntegrityError, match="no weight_map"):
        read_model_folder(tmp_path)


def test_same_tensor_in_two_shards(tmp_path: Path) -> None:
    names = write_shards(tmp_path)
    write_safetensors(tmp_path / names[1], [("t0.weight", "F16", (1,))])
    with pytest.raises(IntegrityError, match=r"repeats the tensor t0\.weight"):
        read_model_folder(tmp_path)


def test_what_a_folder_must_have(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no safetensors"):
        read_model_folder(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", [("a.weight", "F16", (1,))])
    with pytest.raises(IntegrityError, match=r"no config\.json"):
        read_model_folder(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(IntegrityError, match=r"config\.json is damaged"):
        read_model_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("chat_template.jinja", "{{ a }}", "{{ a }}"),
        ("chat_template.jinja", "", None),
        ("chat_template.json", '{"chat_template": "{{ b }}"}', "{{ b }}"),
        ("tokenizer_config.json", '{"chat_template": "{{ c }}"}', "{{ c }}"),
        (
            "tokenizer_config.json",
            '{"chat_template": [{"name": "tool", "template": "t"}, '
            '{"name": "default", "template": "d"}]}',
            "d",
        ),
        ("tokenizer_config.json", '{"chat_template": []}', None),
        ("tokenizer_config.json", "not json", None),
        ("tokenizer_config.json", "{}", None),
    ],
)
def test_chat_template(tmp_path: Path, name: str, text: str, found: str | None) -> None:
    folder = folder_with(tmp_path, [("a.weight", "F16", (1,))], {})
    (folder / name).write_text(text)
    assert read_model_folder(folder).chat_template == found
