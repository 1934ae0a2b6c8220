"""What llama.cpp refuses, told from a header, and which engine is then taken."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from gemmahub.engines.llama_files import llama_cpp_loads
from gemmahub.formats.reader import ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub.memory.builds import LIBRARY_BUILD, SERVER_BUILD

KEYS: dict[str, Any] = {
    "general.architecture": "gemma3",
    "general.file_type": 2,
    "gemma3.context_length": 8192,
    "gemma3.embedding_length": 2560,
    "gemma3.block_count": 34,
    "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": 262_144,
}


def header(*tensors: tuple[str, str], big_endian: bool = False, **keys: Any) -> ModelFile:
    about = {k: v for k, v in (KEYS | keys).items() if v is not None}
    made = [
        Tensor(name, type_, (), 1, 1) for name, type_ in (*tensors, ("token_embd.weight", "F16"))
    ]
    return ModelFile("gguf", (Path("x.gguf"),), 1, tuple(made), about, big_endian=big_endian)


def reason(file: ModelFile, commit: str = "") -> str:
    answer = llama_cpp_loads(file, lambda: commit)
    assert answer.ok is (answer.reason == "")
    assert bool(answer.hint) is not answer.ok
    assert "download" not in answer.hint
    return answer.reason


@pytest.mark.parametrize("keys", [{}, {"general.file_type": None}, {"general.file_type": 1026},
                                  {"general.alignment": 64},
                                  {"tokenizer.ggml.model": "none", "tokenizer.ggml.tokens": None},
                                  {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.merges": 5},
                                  {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "kimi-k2"},
                                  {"tokenizer.ggml.model": "younger"}])  # fmt: skip
def test_files_that_llama_cpp_loads(keys: dict[str, Any]) -> None:
    assert reason(header(("blk.0.attn_q.weight", "Q4_0"), **keys)) == ""


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"general.alignment": 8}, "aligned to 8 B"),
        ({"general.alignment": 16}, "aligned to 16 B"),
        ({"general.file_type": "Q4_0"}, "file_type is not a number"),
        ({"gemma3.attention.layer_norm_rms_epsilon": None}, "lacks gemma3.attention.layer_norm"),
        ({"gemma3.block_count": None}, "lacks gemma3.block_count"),
        ({"gemma3.context_length": "8192"}, "context_length is not a number"),
        ({"gemma3.dense_2_feat_out": 3072}, "dense layers"),
        ({"general.architecture": None}, "names no architecture"),
        ({"tokenizer.ggml.model": None}, "vocabulary is missing (tokenizer.ggml.model)"),
        ({"tokenizer.ggml.tokens": None}, "tokens of its vocabulary are missing"),
        ({"tokenizer.ggml.model": "gemma4"}, "vocabulary has no merges"),
    ],
)
def test_keys_that_llama_cpp_refuses(keys: dict[str, Any], expected: str) -> None:
    assert expected in reason(header(**keys))


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (("blk.0.ffn_up.weight", "type 139 (unknown)"), "stored as type 139"),
        (("blk.0.ffn_up.weight", "IQ4_K"), "stored as IQ4_K"),
        (
            ("v.blk.0.attn_q.weight", "F16"),
            "image encoder is inside the file (v.blk.0.attn_q.weight)",
        ),
        (("mm.mm_input_projection.weight", "F16"), "image encoder is inside"),
        (("a.conv1d.0.weight", "F16"), "image encoder is inside"),
    ],
)
def test_tensors_that_llama_cpp_refuses(tensor: tuple[str, str], expected: str) -> None:
    assert expected in reason(header(tensor))


def test_the_other_byte_order_is_refused() -> None:
    assert "endian" in reason(header(big_endian=sys.byteorder == "little"))


def test_an_architecture_is_unknown_only_to_builds_that_were_looked_at() -> None:
    keys: dict[str, Any] = {"general.architecture": "gemma9", "gemma9.context_length": 1,
            "gemma9.embedding_length": 1, "gemma9.block_count": 1}  # fmt: skip
    assert reason(header(**keys)) == ""
    assert reason(header(**keys), "f" * 9) == ""
    for build in (LIBRARY_BUILD, SERVER_BUILD):
        assert "gemma9 is unknown to this build" in reason(header(**keys), build.commit)
        younger: dict[str, Any] = {"tokenizer.ggml.model": "younger"}
        assert "does not know: younger" in reason(header(**younger), build.commit)
