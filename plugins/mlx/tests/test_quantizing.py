"""Folders of packed weights: the same bytes as ``mlx_lm.convert`` makes, in the size that was said
before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.engines.contract import Artifact, Quantization, Settings
from gemmahub.errors import LoadFailed
from gemmahub.formats.detect import open_model
from gemmahub.formats.safetensors import read_safetensors
from gemmahub.formats.source import LocalFile
from gemmahub.testing.folder_writer import write_model_folder

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_mlx.backend import MlxBackend


@pytest.fixture(scope="module")
def source(backend: MlxBackend, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = write_model_folder(tmp_path_factory.mktemp("whole") / "tiny", "bfloat16")
    return Artifact("safetensors", folder, (folder / "model.safetensors",), name="tiny")


def stored(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Type and bytes of each tensor as it is stored."""
    with LocalFile(folder / "model.safetensors") as file:
        header = read_safetensors(file)
        return {
            tensor.name: (tensor.type, file.read(header.data_offset + offset, tensor.bytes or 0))
            for tensor, offset in zip(header.tensors, header.offsets, strict=True)
        }


@pytest.mark.parametrize(
    ("label", "bits", "group", "mode", "type_"),
    [
        ("4bit", 4, 64, "affine", "MLX 4-bit g64"),
        ("8bit-g32", 8, 32, "affine", "MLX 8-bit g32"),
        ("3bit", 3, 64, "affine", "MLX 3-bit g64"),
        ("MXFP4", 4, 32, "mxfp4", "MLX mxfp4 g32"),
        ("NVFP4", 4, 16, "nvfp4", "MLX nvfp4 g16"),
        ("MXFP8", 8, 32, "mxfp8", "MLX mxfp8 g32"),
    ],
)
def test_the_bytes_are_those_of_mlx_lm(
    backend: MlxBackend, source: Artifact, tmp_path: Path,
    label: str, bits: int, group: int, mode: str, type_: str,
) -> None:  # fmt: skip
    """Size to the byte and types as they were said before, tensors as mlx-lm's own function packs
    and saves them; the engine loads the folder, and its tokenizer is there."""
    from mlx_lm import utils

    wanted = Quantization(label, tmp_path / "made", metadata={"a.b": "made here"})
    said = backend.dry_quantize(source, wanted)
    assert not wanted.target.exists()
    seen: list[float] = []
    assert backend.quantize(source, wanted, seen.append) is None
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert {p.name: p.stat().st_size for p in wanted.target.glob("*.safetensors")} == said.files
    made = open_model(wanted.target)
    assert made.format == "mlx"
    assert {(t.name, t.type, t.bytes, t.parameters) for t in made.tensors} == {
        (each.name, each.type, each.bytes, each.parameters) for each in said.weights
    }
    assert type_ in {tensor.type for tensor in made.tensors}
    assert not made.notes
    assert made.metadata["a.b"] == "made here"

    own: Any = utils
    model, config = own.load_model(source.path, lazy=True)
    model, _ = own.quantize_model(model, config, group, bits, mode=mode)
    own.save_model(tmp_path / "theirs", model)
    assert stored(wanted.target) == stored(tmp_path / "theirs")
    with backend.load(Artifact("mlx", wanted.target), Settings(context=64)) as session:
        assert session.info.precision == (label[:4] if mode == "affine" else label)
        assert session.tokenizer.tokenize("abc", special=False, start=True)


def test_exceptions_have_a_packing_of_their_own(
    backend: MlxBackend, source: Artifact, tmp_path: Path
) -> None:
    """Or none; the engine loads what is mixed."""
    types = {
        "model.embed_tokens.weight": "6bit",
        "model.layers.1.mlp.down_proj.weight": "8bit-g32",
        "model.layers.0.mlp.up_proj.weight": "mxfp8",
        "lm_head.weight": "BF16",
    }
    wanted = Quantization("4bit", tmp_path / "made", types)
    backend.quantize(source, wanted)
    found = {tensor.name: tensor.type for tensor in open_model(wanted.target).tensors}
    assert found["model.embed_tokens.weight"] == "MLX 6-bit g64"
    assert found["model.layers.1.mlp.down_proj.weight"] == "MLX 8-bit g32"
    assert found["model.layers.0.mlp.up_proj.weight"] == "MLX mxfp8 g32"
    assert found["lm_head.weight"] == "BF16"
    assert found["model.layers.0.mlp.down_proj.weight"] == "MLX 4-bit g64"
    with backend.load(Artifact("mlx", wanted.target), Settings(context=64)) as session:
        assert list(session.score("some words " * 20, 16))


def test_rows_that_cannot_be_cut_into_groups_stay(
    backend: MlxBackend, source: Artifact, tmp_path: Path
) -> None:
    """Rows of 64 weights in groups of 128: only rows of 128 are packed, and the plan says so."""
    said = backend.dry_quantize(source, Quantization("4bit-g128", tmp_path / "made"))
    types = {each.name: each.type for each in said.weights}
    assert types["model.layers.0.mlp.down_proj.weight"] == "MLX 4-bit g128"
    query = next(w for w in said.weights if w.name == "model.layers.0.self_attn.q_proj.weight")
    assert (query.type, query.wanted) == ("BF16", "MLX 4-bit g128")


def test_packed_weights_are_not_packed_again(
    backend: MlxBackend, source: Artifact, tmp_path: Path
) -> None:
    first = Quantization("8bit", tmp_path / "made")
    backend.quantize(source, first)
    with pytest.raises(LoadFailed, match="packed already"):
        backend.quantize(Artifact("mlx", first.target), Quantization("4bit", tmp_path / "again"))
    assert not (tmp_path / "again").exists()


def test_what_mlx_does_not_make(backend: MlxBackend, source: Artifact, tmp_path: Path) -> None:
    """Is refused, and nothing is left; nor where a listener stops it in the middle."""
    target = tmp_path / "made"
    with pytest.raises(LoadFailed, match="cannot pack weights as 7bit"):
        backend.quantize(source, Quantization("7bit", target))
    with pytest.raises(LoadFailed, match="no importance matrix"):
        backend.quantize(source, Quantization("4bit", target, importance=tmp_path / "matrix"))

    def stop(fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backend.quantize(source, Quantization("4bit", target), stop)
    with pytest.raises(LoadFailed, match="cannot be written"):
        backend.quantize(source, Quantization("4bit", tmp_path / "none" / "made"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_code_is_refused(backend: MlxBackend, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_file": "code.py"}))
    (folder / "code.py").write_text("raise SystemExit('run')")
    with pytest.raises(LoadFailed):
        backend.quantize(Artifact("mlx", folder), Quantization("4bit", tmp_path / "made"))
