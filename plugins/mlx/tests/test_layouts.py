"""Which packed weights mlx-lm loads, told before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemmahub.formats.reader import ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub_mlx.backend import MlxBackend


def loads(kind: str, architecture: str) -> bool:
    tensors = (Tensor("a.weight", "BF16", (), 1, 2), Tensor("b.weight", kind, (), 8, 4))
    keys = {"general.architecture": architecture}
    answer = MlxBackend().loadable(ModelFile("safetensors", (Path(),), 6, tensors, keys))
    assert bool(answer.hint) is not answer.ok
    assert (kind in answer.reason) is not answer.ok
    return answer.ok


@pytest.mark.parametrize(
    "kind", ["F32", "F16", "BF16", "MLX 4-bit g64", "MLX MXFP4 g32", "AWQ 4-bit g128"]
)
def test_what_mlx_lm_reads(kind: str) -> None:
    assert loads(kind, "gemma3")


@pytest.mark.parametrize(
    "kind",
    ["GPTQ 4-bit g128", "AWQ 8-bit g128", "bnb NF4", "bnb INT8", "EXL2 4-bit", "EXL3 3-bit",
     "HQQ 4-bit g64", "quanto INT4", "torchao INT4", "auto-round 4-bit g128", "packed by aqlm",
     "NVFP4", "MXFP4", "F8_E4M3", "INT4 g32"],
)  # fmt: skip
def test_what_mlx_lm_does_not_read_of_a_gemma(kind: str) -> None:
    assert not loads(kind, "gemma3_text")


@pytest.mark.parametrize(("kind", "read"), [("F8_E4M3", True), ("MXFP4", True), ("bnb NF4", False)])
def test_other_architectures_have_readers_of_their_own(kind: str, read: bool) -> None:
    assert loads(kind, "deepseek_v3") is read
