"""Whether an engine can load a file is asked once, and all commands say the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.formats.gguf_writer import GgufValue
from gemmahub.service import Library
from gemmahub.testing.gguf_writer import write_gguf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Result

    Command = Callable[..., Result]

ONE = "gemma3.block_count"
KEYS: dict[str, Any] = {
    "general.architecture": "gemma3",
    "gemma3.context_length": 128,
    "gemma3.embedding_length": 32,
    "gemma3.feed_forward_length": 64,
    "gemma3.attention.head_count": 2,
    "gemma3.attention.head_count_kv": 1,
    "gemma3.attention.sliding_window": 64,
    "gemma3.attention.layer_norm_rms_epsilon": GgufValue("f32", 1e-6),
    ONE: 1,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": list("abcdefgh"),
}
TENSORS: list[Any] = [
    ("token_embd.weight", (32, 8), "F16"),
    ("blk.0.attn_q.weight", (32, 32), "F16"),
]
FILES: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "aligned.gguf": ({"general.alignment": 8}, TENSORS, "aligned to 8 B"),
    "pictures.gguf": ({}, [*TENSORS, ("v.blk.0.attn_q.weight", (32, 32), "F16")], "image encoder"),
    "wordless.gguf": (
        {"tokenizer.ggml.tokens": 0},
        TENSORS,
        "tokens of its vocabulary are missing",
    ),
    "unknown.gguf": ({}, [TENSORS[0], ("blk.0.attn_q.weight", (32, 32), 139)], "stored as"),
}


@pytest.fixture(autouse=True)
def llama_cpp_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one engine that this is about."""
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamaserver")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that llama.cpp refuses, and one that it takes."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_gguf(folder / "good.gguf", KEYS, TENSORS)
    for name, (keys, tensors, _) in FILES.items():
        write_gguf(folder / name, KEYS | keys, tensors)
    return folder


@pytest.mark.parametrize("name", FILES)
def test_plan_exact_plan_and_run_refuse_alike(command: Command, folder: Path, name: str) -> None:
    file = folder / name
    for words in (("plan", file), ("plan", file, "--exact"), ("run", file, "hi", "--json")):
        refused = command(*words)
        assert refused.code == 5, refused
        said = refused.err + refused.out
        assert "cannot load it" in said
        assert FILES[name][2] in said
        assert "download" not in said


def test_any_part_of_a_split_model_names_the_whole(command: Command, tmp_path: Path) -> None:
    for number, tensors in enumerate(([], TENSORS)):
        split = {"split.no": GgufValue("u16", number), "split.count": GgufValue("u16", 2),
                 "split.tensors.count": GgufValue("i32", 2)}  # fmt: skip
        name = f"m-{number + 1:05}-of-00002.gguf"
        write_gguf(tmp_path / name, (KEYS if number == 0 else {}) | split, tensors)
    found = json.loads(command("inspect", tmp_path / name, "--json").out)
    assert (found["kind"], found["problem"]) == ("text", None)
    artifact = Library().registry.resolve(str(tmp_path / name)).artifacts[0]
    assert [file.name for file in artifact.files] == ["m-00001-of-00002.gguf", name]


def test_list_does_not_say_that_they_fit(command: Command, folder: Path) -> None:
    found = json.loads(command("list", "--folder", folder, "--json").out)["models"]
    fits = {model["reference"].rpartition("/")[2]: model["fit"] for model in found}
    for name, (_, _, reason) in FILES.items():
        assert fits[name]["fits"] is False
        assert reason in fits[name]["reason"]
    assert "cannot load it" not in fits["good.gguf"]["reason"]
    people = command("list", "--folder", folder)
    assert people.out.count("not loadable") == len(FILES)
    assert "not loadable of 1 model" in people.err


def test_what_cannot_be_loaded_is_not_recommended(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_FOLDERS", str(folder))
    found = json.loads(command("recommend", "--installed", "--limit", 9, "--json").out)
    names = {each["reference"] for each in found["recommendations"]}
    assert names == {str(folder / "good.gguf")}


def test_an_engine_that_says_nothing_takes_them(
    command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "echo")
    assert command("run", folder / "aligned.gguf", "hi", "--backend", "echo").code == 0
    named = command("inspect", folder / "aligned.gguf", "--json")
    assert json.loads(named.out)["problem"] is None
