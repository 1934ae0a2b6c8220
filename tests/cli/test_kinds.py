"""What is no model by itself is called what it is: in list, inspect, plan and run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.testing.gguf_writer import write_gguf
from gemmahub.testing.projector_writer import write_projector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

MODEL = [("token_embd.weight", (32, 8), "F16"), ("blk.0.attn_q.weight", (32, 64), "Q4_0")]
KEYS: dict[str, Any] = {
    "general.architecture": "gemma3",
    "gemma3.block_count": 1,
    "gemma3.context_length": 128,
    "gemma3.embedding_length": 32,
}
OTHERS: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "small.gguf": (
        "a drafter for Gemma 4 E2B It",
        {"general.architecture": "gemma4_mtp", "general.name": "Gemma 4 E2B It Assistant"},
        [("token_embd.weight", (32, 8), "F16"), ("nextn.pre_projection.weight", (64, 32), "F16")],
    ),
    "story.gguf": (
        "an adapter (LoRA) for Gemma 3 4b It",
        KEYS | {"general.type": "adapter", "adapter.type": "lora",
                "general.base_model.0.name": "Gemma 3 4b It"},
        [("blk.0.attn_q.weight.lora_a", (32, 4), "F16"),
         ("blk.0.attn_q.weight.lora_b", (4, 64), "F16")],
    ),
    "numbers.gguf": (
        "an importance matrix",
        {"general.type": "imatrix"},
        [("blk.0.attn_q.weight.in_sum2", (32, 1), "F32")],
    ),
    "words.gguf": ("a vocabulary without weights", KEYS | {"tokenizer.ggml.model": "llama"}, []),
    "layer.gguf": ("a piece of a model", KEYS, [("blk.9.attn_q.weight", (32, 64), "Q4_0")]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def echo_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plugin brings models of its own."""
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with everything beside it that is none."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_gguf(folder / "gemma-Q4_0.gguf", KEYS, MODEL)
    for name, (_, keys, tensors) in OTHERS.items():
        write_gguf(folder / name, keys, tensors)
    write_projector(folder / "eyes.gguf", 32)
    return folder


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_a_model_is_reported_and_neither_planned_nor_run(
    command: Command, folder: Path, name: str
) -> None:
    path, what = folder / name, OTHERS[name][0]
    for words in (("run", path, "hi"), ("plan", path), ("plan", path, "--exact")):
        refused = command(*words)
        assert refused.code == 2
        assert f"{path} is {what}, not a model" in refused.err
        assert "download" not in refused.err
    shown = command("inspect", path)
    assert shown.code == 0
    assert what in shown.out
    assert "training" not in shown.out


def test_list_has_the_model_alone_with_what_belongs_to_it(command: Command, folder: Path) -> None:
    found = json.loads(command("list", "--folder", folder, "--json").out)
    assert [model["reference"] for model in found["models"]] == [str(folder / "gemma-Q4_0.gguf")]
    assert found["models"][0]["kind"] == "text"
    assert found["models"][0]["capabilities"] == ["text", "image"]
    others = {each["kind"]: each["of"] for each in found["companions"]}
    model = found["models"][0]["reference"]
    assert others == {
        "drafter": model, "adapter": model, "projector": model,
        "imatrix": None, "vocabulary": None, "piece": None,
    }  # fmt: skip
    text = command("list", "--folder", folder)
    assert "+ small.gguf" in text.out
    assert "+ eyes.gguf" in text.out
    assert "an importance matrix" in text.err


def test_a_folder_with_one_model_is_that_model(command: Command, folder: Path) -> None:
    shown = command("inspect", folder)
    assert (shown.code, "holds" in shown.err) == (0, False)
    assert command("run", folder, "hi", "--backend", "echo").code == 0


def test_an_embedding_model_by_ollamas_keys_is_not_run(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "vectors.gguf"
    write_gguf(path, KEYS | {"gemma3.pooling_type": 1}, MODEL)
    refused = command("run", path, "hi")
    assert refused.code == 2
    assert "an embedding model: it does not generate text" in refused.err
    assert "gemmahub embed" in refused.err
    assert "gives embeddings" in command("inspect", path).out


def test_an_embedding_model_is_neither_recommended_nor_offered_for_a_chat(
    tmp_path: Path,
) -> None:
    from gemmahub.service import Library
    from gemmahub.service.overview import LibraryReading

    write_gguf(tmp_path / "vectors.gguf", KEYS | {"gemma3.pooling_type": 1}, MODEL)
    write_gguf(tmp_path / "writes.gguf", KEYS, MODEL)
    rows = {
        row.variant.name: row for row in LibraryReading(Library(folders=[tmp_path])).overview().rows
    }
    assert rows["vectors"].obstacle == "an embedding model: it does not generate text"
    assert rows["vectors"].recommendation is None
    assert rows["writes"].obstacle == ""


def test_an_adapter_of_peft_and_a_dense_module_are_not_models(
    command: Command, tmp_path: Path
) -> None:
    from gemmahub.testing.safetensors_writer import write_safetensors

    for name, config, text in (
        ("tuned", "adapter_config.json", {"peft_type": "LORA", "r": 8}),
        ("2_Dense", "config.json", {"in_features": 8, "out_features": 16, "bias": False}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / config).write_text(json.dumps(text))
        dense = name == "2_Dense"
        tensor = "linear.weight" if dense else "base.q_proj.lora_A.weight"
        file = "model.safetensors" if dense else "adapter_model.safetensors"
        write_safetensors(tmp_path / name / file, [(tensor, "F32", (16, 8))])
    found = json.loads(command("list", "--folder", tmp_path, "--json").out)
    assert found["models"] == []
    assert {each["kind"] for each in found["companions"]} == {"adapter", "module"}
    assert "not a model" in command("run", tmp_path / "tuned", "hi").err


def test_modules_stand_under_the_embedding_model_above_them(
    command: Command, tmp_path: Path
) -> None:
    from gemmahub.testing.safetensors_writer import write_safetensors

    config = {"model_type": "gemma3_text", "architectures": ["Gemma3TextModel"]}
    for folder, about in (
        (tmp_path / "eg", config),
        (tmp_path / "eg" / "2_Dense", {"in_features": 8, "out_features": 16}),
    ):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(about))
        write_safetensors(folder / "model.safetensors", [("embed.weight", "F32", (16, 8))])
    found = json.loads(command("list", "--folder", tmp_path, "--json").out)
    assert [(m["reference"], m["kind"]) for m in found["models"]] == [
        (str(tmp_path / "eg"), "embedding")
    ]
    assert [(c["kind"], c["of"]) for c in found["companions"]] == [("module", str(tmp_path / "eg"))]
