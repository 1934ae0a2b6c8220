"""llama.cpp's quantizer through the plugin: the same bytes as its own tool, and nothing broken."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gemmahub.engines.contract import Artifact, Quantization, Settings
from gemmahub.errors import BackendError, LoadFailed
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.gguf_writer import write_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.testing.model_writer import write_model
from gemmahub_llamacpp.importance import read_importance
from gemmahub_llamacpp.quantizing import patterns_of
from gemmahub_llamacpp.rounding import lattice_of, packed

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub_llamacpp.backend import LlamaCppBackend

# sha256 of all tensors that `llama-quantize --allow-requantize` of ggml-org/llama.cpp@0c1e57098
# made of the real file, one after the other.
TOOL = {
    "Q8_0": "969956a670f789d6",
    "Q4_0": "73e4be3a69e97ce4",
    "Q6_K": "c06c27ff4b7406ed",
    "Q3_K_M": "b5cbd1b2eff47318",
    "Q2_K": "c49e411b7048a350",
    "Q4_K_M": "f6c5edb9500ce23f",
}


def hashes(path: Path) -> dict[str, tuple[str, str]]:
    """Type and sha256 of each tensor, in the order of the file."""
    with LocalFile(path) as source:
        header = read_gguf(source)
        return {
            tensor.name: (
                tensor.type,
                hashlib.sha256(
                    source.read(header.data_offset + offset, tensor.bytes or 0)
                ).hexdigest(),
            )
            for tensor, offset in zip(header.tensors, header.offsets, strict=True)
        }


@pytest.mark.parametrize("label", TOOL)
def test_the_bytes_are_those_of_llama_quantize(
    backend: LlamaCppBackend, artifact: Artifact, tmp_path: Path, label: str
) -> None:
    target = tmp_path / "made.gguf"
    backend.quantize(artifact, Quantization(label, target))
    whole = hashlib.sha256()
    with LocalFile(target) as source:
        header = read_gguf(source)
        for tensor, offset in zip(header.tensors, header.offsets, strict=True):
            whole.update(source.read(header.data_offset + offset, tensor.bytes or 0))
    assert whole.hexdigest()[:16] == TOOL[label]


def test_only_the_embedding_changes(backend: LlamaCppBackend, tmp_path: Path) -> None:
    """Every other tensor keeps its bytes, and the file its type; the source stays as it is."""
    source, target = tmp_path / "source.gguf", tmp_path / "made.gguf"
    write_model(tmp_path / "f32.gguf")
    first = Quantization("Q4_0", source, {"token_embd.weight": "F16", "output.weight": "Q4_0"})
    backend.quantize(Artifact("gguf", tmp_path / "f32.gguf"), first)
    before = hashes(source)
    assert before["token_embd.weight"][0] == "F16"
    stamp = source.stat().st_mtime_ns
    wanted = Quantization("", target, {"token_embd.weight": "Q8_0"}, metadata={"a.b": "made"})
    backend.quantize(Artifact("gguf", source), wanted)
    after = hashes(target)
    assert list(after) == list(before)
    changed = {name: after[name][0] for name in after if after[name] != before[name]}
    assert changed == {"token_embd.weight": "Q8_0"}
    assert source.stat().st_mtime_ns == stamp
    with LocalFile(target) as made, LocalFile(source) as old:
        metadata = dict(read_gguf(made).metadata)
        assert metadata.pop("a.b") == "made"
        assert metadata["general.file_type"] == 2
        assert metadata.keys() == read_gguf(old).metadata.keys()


def test_exceptions_from_sixteen_bits(backend: LlamaCppBackend, tmp_path: Path) -> None:
    """llama.cpp by itself heeds none there."""
    write_model(tmp_path / "f32.gguf")
    target = tmp_path / "made.gguf"
    wanted = Quantization("BF16", target, {"blk.1.ffn_down.weight": "Q8_0"})
    backend.quantize(Artifact("gguf", tmp_path / "f32.gguf"), wanted)
    types = {name: type_ for name, (type_, _) in hashes(target).items()}
    assert types.pop("blk.1.ffn_down.weight") == "Q8_0"
    assert set(types.values()) == {"BF16", "F32"}
    with LocalFile(target) as source:
        assert read_gguf(source).metadata["general.file_type"] == 32


def on_lattice(path: Path) -> None:
    """Make each matrix of the layers one of multiples of a bfloat16 scale, rounded to bfloat16,
    as training for Q4_0 leaves it."""
    draw = np.random.default_rng(1)
    with LocalFile(path) as source:
        header = read_gguf(source)
    with path.open("r+b") as file:
        for tensor, offset in zip(header.tensors, header.offsets, strict=True):
            if not tensor.name.startswith("blk.") or len(tensor.shape) < 2:
                continue
            blocks = tensor.parameters // 32
            largest = draw.integers(3, 9, (blocks, 1))
            multiples = draw.integers(-largest, np.minimum(largest, 7) + 1, (blocks, 32))
            scales = bfloat16(draw.uniform(0.001, 0.02, (blocks, 1)).astype(np.float32))
            file.seek(header.data_offset + offset)
            file.write(bfloat16(scales * multiples.astype(np.float32)).tobytes())


def bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest bfloat16, as float32."""
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def test_weights_of_the_training_stay_on_their_lattice(
    backend: LlamaCppBackend, tmp_path: Path
) -> None:
    """llama.cpp's own rounding moves them by percents, this one by what 16 bits round."""
    source, target = tmp_path / "qat.gguf", tmp_path / "made.gguf"
    write_model(source)
    on_lattice(source)
    naive = tmp_path / "naive.gguf"
    assert backend.quantize(Artifact("gguf", source), Quantization("Q4_0", naive)) is None
    wanted = Quantization("Q4_0", target, lattice=True)
    found = backend.quantize(Artifact("gguf", source), wanted)
    assert found is not None
    assert (found.type, found.tensors) == ("Q4_0", 14)
    assert found.naive > 0.02
    assert found.lattice < 0.003
    assert found.on_lattice > 0.99
    assert target.stat().st_size == naive.stat().st_size
    before, after = hashes(naive), hashes(target)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {n for n, (type_, _) in after.items() if n.startswith("blk.") and
                       type_ == "Q4_0"}  # fmt: skip
    with backend.load(Artifact("gguf", target), Settings(context=64)) as session:
        assert session.info.precision == "Q4_0"


def test_a_block_is_never_farther_off_than_llama_cpp_has_it(
    backend: LlamaCppBackend, tmp_path: Path
) -> None:
    """Weights on no lattice: what is sought is nearer, and said to be none."""
    source, target = tmp_path / "random.gguf", tmp_path / "made.gguf"
    write_model(source)
    found = backend.quantize(Artifact("gguf", source), Quantization("Q4_0", target, lattice=True))
    assert found is not None
    assert 0 < found.lattice <= found.naive
    assert found.on_lattice < 0.01


def test_blocks_of_q4_0_are_packed_as_llama_cpp_reads_them() -> None:
    multiples = np.arange(32, dtype=np.float32).reshape(1, 32) % 16 - 8
    raw = packed(np.array([0.5], np.float32), multiples)
    assert raw.shape == (1, 18)
    assert struct.unpack("<e", raw[0, :2].tobytes()) == (0.5,)
    assert [int(byte) & 15 for byte in raw[0, 2:]] == list(range(16))
    assert [int(byte) >> 4 for byte in raw[0, 2:]] == list(range(16))


def test_empty_blocks_have_a_scale_of_nothing() -> None:
    scales, multiples = lattice_of(np.zeros((2, 32), np.float32))
    assert not scales.any()
    assert not multiples.any()


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (("Q4_0_4_4", {}), "does not make Q4_0_4_4 any more"),
        (("Q99_Z", {}), "does not make Q99_Z"),
        (("Q4_0", {"token_embd.weight": "Q8_K"}), "makes no tensors of Q8_K"),
    ],
)
def test_a_type_that_is_not_made(
    backend: LlamaCppBackend, artifact: Artifact, tmp_path: Path,
    wanted: tuple[str, dict[str, str]], said: str,
) -> None:  # fmt: skip
    target = tmp_path / "made.gguf"
    with pytest.raises(LoadFailed, match=said):
        backend.quantize(artifact, Quantization(wanted[0], target, wanted[1]))
    assert not target.exists()


def test_what_is_not_a_model_is_refused(backend: LlamaCppBackend, tmp_path: Path) -> None:
    adapter, target = tmp_path / "lora.gguf", tmp_path / "made.gguf"
    metadata = {"general.architecture": "gemma3", "general.type": "adapter"}
    write_gguf(adapter, metadata, [("blk.0.attn_q.weight.lora_a", (64, 8), "F32")])
    with pytest.raises(LoadFailed, match="an adapter"):
        backend.quantize(Artifact("gguf", adapter), Quantization("Q4_0", target))
    (tmp_path / "text.gguf").write_text("no model at all")
    with pytest.raises(LoadFailed):
        backend.quantize(Artifact("gguf", tmp_path / "text.gguf"), Quantization("Q4_0", target))
    assert not target.exists()


def test_a_folder_that_is_not_there(backend: LlamaCppBackend, tmp_path: Path) -> None:
    source = tmp_path / "f32.gguf"
    write_model(source)
    target = tmp_path / "none" / "made.gguf"
    with pytest.raises(LoadFailed, match="is not writable"):
        backend.quantize(Artifact("gguf", source), Quantization("Q4_0", target))


def test_a_text_that_is_longer_than_llama_cpp_takes(
    backend: LlamaCppBackend, artifact: Artifact, tmp_path: Path
) -> None:
    wanted = Quantization("Q4_0", tmp_path / "made.gguf", metadata={"a.b": "x" * 200})
    with pytest.raises(BackendError, match="127 bytes"):
        backend.quantize(artifact, wanted)


def test_layers_that_are_alike_share_a_pattern() -> None:
    types = {f"blk.{n}.attn_v.weight": "Q6_K" if n < 2 else "Q4_K" for n in range(4)}
    assert patterns_of(types | {"token_embd.weight": "Q8_0"}) == [
        (r"^token_embd\.weight$", "Q8_0"),
        (r"^blk\.(0|1)\.attn_v\.weight$", "Q6_K"),
        (r"^blk\.(2|3)\.attn_v\.weight$", "Q4_K"),
    ]


def test_an_importance_matrix_is_that_of_the_inputs(
    backend: LlamaCppBackend, tmp_path: Path
) -> None:
    """Sums of squares of each matrix's inputs: the queries', keys' and values' are the same ones,
    and the tool's format is read by llama.cpp's own quantizer."""
    model, matrix = tmp_path / "f32.gguf", tmp_path / "matrix.gguf"
    write_model(model)
    seen: list[float] = []
    backend.make_importance(Artifact("gguf", model), "some words " * 120, matrix, seen.append)
    assert seen == [0.5, 1.0]
    found = read_importance(matrix)
    assert len(found) == 14
    query, key = found["blk.0.attn_q.weight"], found["blk.0.attn_k.weight"]
    assert query.shape == (64,)
    assert np.array_equal(query, key)
    assert (query > 0).all()
    assert not np.array_equal(query, found["blk.1.attn_q.weight"])
    with LocalFile(matrix) as source:
        header = read_gguf(source)
        assert header.metadata["general.type"] == "imatrix"
        assert header.metadata["imatrix.chunk_count"] == 2
    plain, weighted = tmp_path / "plain.gguf", tmp_path / "weighted.gguf"
    backend.quantize(Artifact("gguf", model), Quantization("Q4_1", plain))
    backend.quantize(Artifact("gguf", model), Quantization("Q4_1", weighted, importance=matrix))
    before, after = hashes(plain), hashes(weighted)
    assert before["blk.1.attn_q.weight"] != after["blk.1.attn_q.weight"]
    assert before["token_embd.weight"] == after["token_embd.weight"]


def test_a_text_that_is_too_short(backend: LlamaCppBackend, tmp_path: Path) -> None:
    model, matrix = tmp_path / "f32.gguf", tmp_path / "matrix.gguf"
    write_model(model)
    with pytest.raises(LoadFailed, match="tokens, but it needs at least 1,024"):
        backend.make_importance(Artifact("gguf", model), "word", matrix)
    assert not matrix.exists()


def test_a_file_that_is_not_an_importance_matrix(backend: LlamaCppBackend, tmp_path: Path) -> None:
    model, target = tmp_path / "f32.gguf", tmp_path / "made.gguf"
    write_model(model)
    for path, said in (
        (model, "is not an importance matrix"),
        (tmp_path / "text", "cannot be read"),
    ):
        if path != model:
            path.write_text("words")
        with pytest.raises(LoadFailed, match=said):
            backend.quantize(Artifact("gguf", model), Quantization("Q4_0", target, importance=path))
        assert not target.exists()
