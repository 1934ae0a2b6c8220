"""GGUF headers that are as they should be: against the reference package, and a real model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest

from gemmahub.errors import NotFound
from gemmahub.formats.gguf import ArrayRef, GgufFile, TextRef, read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.testing.gguf_writer import GgufValue, gguf_header, write_gguf
from tests.formats.memory_source import MemorySource

if TYPE_CHECKING:
    from pathlib import Path

METADATA: dict[str, Any] = {
    "general.architecture": "gemma3",
    "a.u8": GgufValue("u8", 255),
    "a.i8": GgufValue("i8", -128),
    "a.u16": GgufValue("u16", 65535),
    "a.i16": GgufValue("i16", -32768),
    "a.u32": 4_294_967_295,
    "a.i32": -2_147_483_648,
    "a.u64": 2**64 - 1,
    "a.i64": -(2**63),
    "a.f32": 0.5,
    "a.f64": GgufValue("f64", 0.1),
    "a.yes": True,
    "a.no": False,
    "a.text": "Grüße, 世界",
    "a.empty": "",
    "heads": [1, 4, 1, 4],
    "flags": [True, False],
    "scales": GgufValue("f32", [0.25, -2.0]),
    "words": ["a", "", "ä"],
    "nested": [[1, 2], [3]],
}
TENSORS: list[tuple[str, tuple[int, ...], int | str]] = [
    ("token_embd.weight", (256, 4), "Q4_K"),
    ("output_norm.weight", (256,), 0),
    ("blk.0.attn_q.weight", (64, 3), "Q8_0"),
]


def header(**changes: Any) -> tuple[GgufFile, MemorySource]:
    raw, full = gguf_header(METADATA, TENSORS, **changes)
    source = MemorySource(raw + bytes(full - len(raw)), "model.gguf")
    return read_gguf(source), source


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("big_endian", [False, True])
def test_every_type_in_every_version_and_byte_order(version: int, big_endian: bool) -> None:
    file, source = header(version=version, big_endian=big_endian)
    assert (file.version, file.big_endian) == (version, big_endian)
    for key, value in METADATA.items():
        plain = value.value if isinstance(value, GgufValue) else value
        if key in ("words", "nested"):
            continue
        assert file.metadata[key] == (tuple(plain) if isinstance(plain, list) else plain), key
    assert file.metadata["a.yes"] is True
    words = file.metadata["words"]
    assert isinstance(words, ArrayRef)
    assert (words.item_type, words.length) == ("string", 3)
    assert file.read_array(source, "words") == ("a", "", "ä")
    assert file.read_array(source, "nested") == ((1, 2), (3,))
    assert file.read_array(source, "heads") == (1, 4, 1, 4)
    assert [t.name for t in file.tensors] == [name for name, _, _ in TENSORS]
    assert [t.bytes for t in file.tensors] == [4 * 144, 1024, 6 * 34]
    assert file.offsets == (0, 576, 1600)
    assert file.data_offset % 32 == 0
    assert file.size_bytes == source.size


def test_long_arrays_and_texts_stay_in_the_file() -> None:
    numbers = list(range(1025))
    text = "ä" * 600_000
    metadata = {"numbers": numbers, "short": numbers[:1024], "text": text, "after": 7}
    raw, _ = gguf_header(metadata)
    source = MemorySource(raw)
    file = read_gguf(source)
    assert isinstance(file.metadata["numbers"], ArrayRef)
    assert file.metadata["short"] == tuple(numbers[:1024])
    assert isinstance(file.metadata["text"], TextRef)
    assert file.metadata["after"] == 7
    assert file.read_array(source, "numbers") == tuple(numbers)
    assert file.read_text(source, "text") == text
    with pytest.raises(NotFound, match="no array after"):
        file.read_array(source, "after")
    with pytest.raises(NotFound, match="no string numbers"):
        file.read_text(source, "numbers")


def test_alignment_moves_the_data() -> None:
    metadata = {"general.alignment": 256}
    raw, full = gguf_header(metadata, TENSORS)
    file = read_gguf(MemorySource(raw + bytes(full - len(raw))))
    assert file.alignment == 256
    assert file.data_offset % 256 == 0
    assert file.offsets == (0, 768, 1792)


def test_type_of_unknown_size_is_named_or_numbered() -> None:
    raw, full = gguf_header({}, [("a", (32,), 299), ("b", (5, 1), 4), ("c", (1,), 139)])
    file = read_gguf(MemorySource(raw + bytes(full - len(raw))))
    assert [(t.type, t.bytes) for t in file.tensors] == [
        ("type 299 (unknown)", None),
        ("Q4_2", None),
        ("IQ4_K", None),
    ]


def test_name_that_is_not_utf8_is_replaced() -> None:
    raw, full = gguf_header({}, [("xx", (1,), 0)])
    file = read_gguf(MemorySource(raw.replace(b"xx", b"\xff\xfe") + bytes(full - len(raw))))
    assert file.tensors[0].name == "\ufffd\ufffd"


def test_sparse_file_of_27_billion_weights_passes(tmp_path: Path) -> None:
    path = tmp_path / "large.gguf"
    shape = (5376, 21504)
    full = write_gguf(path, {}, [(f"blk.{n}.ffn_up.weight", shape, "BF16") for n in range(200)])
    assert full > 40_000_000_000
    assert path.stat().st_blocks * 512 < 100_000
    with LocalFile(path) as source:
        file = read_gguf(source)
    assert sum(t.bytes or 0 for t in file.tensors) + file.data_offset == full


class CountingSource(MemorySource):
    """Keeps what was asked of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.requests: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.requests.append((offset, length))
        return super().read(offset, length)


def test_few_requests_forward_and_no_byte_twice() -> None:
    words = [f"word number {n} of a vocabulary" for n in range(262_144)]
    raw, full = gguf_header({"tokenizer.ggml.tokens": words, "x": 1}, TENSORS)
    source = CountingSource(raw + bytes(full - len(raw)) + bytes(20_000_000))
    file = read_gguf(source)
    assert file.metadata["x"] == 1
    assert len(source.requests) <= 8
    end = 0
    for offset, length in source.requests:
        assert offset >= end
        end = offset + length
    assert end <= file.header_bytes + 2 * 1024 * 1024


def test_long_number_array_is_not_fetched() -> None:
    raw, _ = gguf_header({"scores": GgufValue("f32", [0.0] * 3_000_000), "x": 1})
    source = CountingSource(raw)
    assert read_gguf(source).metadata["x"] == 1
    assert sum(length for _, length in source.requests) < 600_000


def write_reference(path: Path, **options: Any) -> None:
    writer = gguf.GGUFWriter(path, "gemma3", **options)
    writer.add_name("Reference")
    writer.add_uint32("gemma3.block_count", 2)
    writer.add_float32("gemma3.attention.layer_norm_rms_epsilon", 1e-6)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_array("gemma3.attention.head_count_kv", [1, 2])
    writer.add_token_list([f"<{n}>" for n in range(300)])
    writer.add_token_scores([float(n) for n in range(300)])
    writer.add_tensor("token_embd.weight", np.zeros((4, 8), np.float32))
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(7, np.float16))
    writer.add_tensor(
        "blk.0.ffn_up.weight",
        np.zeros((3, 68), np.uint8),
        raw_dtype=gguf.GGMLQuantizationType.Q8_0,
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def assert_like_reference(path: Path) -> None:
    reader = gguf.GGUFReader(path)
    with LocalFile(path) as source:
        file = read_gguf(source)
        assert file.data_offset == reader.data_offset
        assert file.alignment == reader.alignment
        wanted = {k: f for k, f in reader.fields.items() if not k.startswith("GGUF.")}
        assert set(file.metadata) == set(wanted)
        for key, field in wanted.items():
            value = file.metadata[key]
            contents = field.contents()
            if isinstance(value, (ArrayRef, tuple)):
                items = file.read_array(source, key) if len(contents) < 1000 else None
                assert items is None or list(items) == contents
            else:
                assert value == contents
    ours = [
        (t.name, t.type, t.shape, t.parameters, t.bytes, file.data_offset + offset)
        for t, offset in zip(file.tensors, file.offsets, strict=True)
    ]
    theirs = [
        (
            t.name,
            t.tensor_type.name,
            tuple(int(n) for n in t.shape),
            int(t.n_elements),
            int(t.n_bytes),
            int(t.data_offset),
        )
        for t in reader.tensors
    ]
    assert ours == theirs


@pytest.mark.parametrize("order", [gguf.GGUFEndian.LITTLE, gguf.GGUFEndian.BIG])
def test_same_as_the_reference_package(tmp_path: Path, order: gguf.GGUFEndian) -> None:
    path = tmp_path / "reference.gguf"
    write_reference(path, endianess=order)
    assert_like_reference(path)


def test_own_writer_is_read_by_the_reference_package(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    write_gguf(path, {k: v for k, v in METADATA.items() if k != "nested"}, TENSORS)
    assert_like_reference(path)


def test_real_model(real_model: Path) -> None:
    with LocalFile(real_model) as source:
        file = read_gguf(source)
        tokens = file.metadata["tokenizer.ggml.tokens"]
        assert isinstance(tokens, ArrayRef)
        assert (tokens.item_type, tokens.length) == ("string", 262_144)
        assert file.read_array(source, "tokenizer.ggml.tokens")[:3] == ("<pad>", "<eos>", "<bos>")
    assert len(file.tensors) == 236
    assert sum(t.parameters for t in file.tensors) == 268_098_176
    assert sum(t.bytes or 0 for t in file.tensors) == 246_587_904
    assert file.size_bytes == 253_113_024
    assert file.metadata["gemma3.block_count"] == 18
