"""Headers of safetensors files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.safetensors import DTYPE_BITS, read_safetensors
from gemmahub.formats.source import LocalFile
from gemmahub.testing.safetensors_writer import write_safetensors
from tests.formats.memory_source import MemorySource

if TYPE_CHECKING:
    from pathlib import Path


def raw_file(header: Any, data: int = 0) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(data)


def entry(dtype: Any, shape: Any, begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_every_type(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = [(f"t.{dtype}", dtype, (4, 6)) for dtype in DTYPE_BITS]
    full = write_safetensors(path, tensors, {"format": "pt"})
    with LocalFile(path) as source:
        file = read_safetensors(source)
    assert [(t.name, t.type, t.shape) for t in file.tensors] == tensors
    assert [t.bytes for t in file.tensors] == [3 * bits for bits in DTYPE_BITS.values()]
    assert all(t.parameters == 24 for t in file.tensors)
    assert file.metadata == {"format": "pt"}
    assert file.size_bytes == full == file.data_offset + sum(3 * b for b in DTYPE_BITS.values())


def test_order_of_header_and_data_may_differ() -> None:
    header = {"b": entry("U8", [2], 4, 6), "a": entry("F32", [], 0, 4), "c": entry("I8", [0], 6, 6)}
    file = read_safetensors(MemorySource(raw_file(header, 6)))
    assert [t.name for t in file.tensors] == ["b", "a", "c"]
    assert file.offsets == (4, 0, 6)
    assert [t.parameters for t in file.tensors] == [2, 1, 0]


def test_unknown_type_has_the_size_of_its_data() -> None:
    file = read_safetensors(MemorySource(raw_file({"a": entry("F3_NEW", [8], 0, 3)}, 3)))
    assert (file.tensors[0].type, file.tensors[0].bytes) == ("F3_NEW", 3)


F32 = entry("F32", [1], 0, 4)
DAMAGED: dict[str, tuple[bytes, str]] = {
    "header length": ((1 << 60).to_bytes(8, "little") + b"{}", "states a header of"),
    "header past the end": ((500).to_bytes(8, "little") + b"{}", "ends in the middle"),
    "cut in the length": (b"\x10\0\0\0\0\0", "ends"),
    "not JSON": (raw_file(b"{]"), "is damaged"),
    "not UTF-8": (raw_file(b'{"\xff": 1}'), "is damaged"),
    "deep": (raw_file(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "is damaged"),
    "lists": (raw_file(b'{"a":[' + b"[]," * 800_000 + b"1]}"), "more than 65,536 tensors"),
    "digits": (raw_file(b'{"a":' + b"1" * 10_000 + b"}"), "is damaged"),
    "NaN": (raw_file(b'{"a": NaN}'), "NaN is not JSON"),
    "duplicate": (
        raw_file(b'{"a":' + json.dumps(F32).encode() + b',"a":' + json.dumps(F32).encode() + b"}"),
        "key a occurs twice",
    ),
    "metadata": (raw_file({"__metadata__": {"a": 1}}), "__metadata__"),
    "metadata list": (raw_file({"__metadata__": []}), "__metadata__"),
    "entry": (raw_file({"a": 1}), "not described"),
    "dtype": (raw_file({"a": entry(3, [1], 0, 4)}, 4), "no dtype"),
    "shape": (raw_file({"a": entry("F32", [1.0], 0, 4)}, 4), "no shape"),
    "shape bool": (raw_file({"a": entry("F32", [True], 0, 4)}, 4), "no shape"),
    "negative": (raw_file({"a": entry("F32", [-1], 0, 4)}, 4), "no shape"),
    "overflow": (raw_file({"a": entry("F32", [1 << 40] * 2, 0, 4)}, 4), "implausible size"),
    "offsets": (raw_file({"a": entry("F32", [1], 4, 0)}, 4), "no offsets"),
    "no offsets": (raw_file({"a": {"dtype": "F32", "shape": [1]}}, 4), "no offsets"),
    "byte count": (
        raw_file({"a": entry("F32", [2], 0, 4)}, 4),
        "match 2 numbers of type F32",
    ),
    "half bytes": (
        raw_file({"a": entry("F4", [3], 0, 1)}, 1),
        "match 3 numbers of type F4",
    ),
    "hole": (raw_file({"a": F32, "b": entry("F32", [1], 8, 12)}, 12), "b has a hole before it"),
    "overlap": (raw_file({"a": F32, "b": entry("F32", [1], 2, 6)}, 6), "b overlaps"),
    "not at 0": (raw_file({"a": entry("F32", [1], 4, 8)}, 8), "a has a hole"),
    "missing": (raw_file({"a": F32}, 3), "incomplete: 1 B of its tensors are missing"),
    "too much": (raw_file({"a": F32}, 6), "2 B behind its last tensor"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged(name: str) -> None:
    raw, match = DAMAGED[name]
    with pytest.raises(IntegrityError, match=match) as caught:
        read_safetensors(MemorySource(raw, "x.safetensors"))
    assert caught.value.hint
    assert "x.safetensors" in caught.value.message


@pytest.mark.parametrize(
    ("raw", "match"),
    [(b"GGUF\3\0\0\0{}", "a GGUF file"), (b"PK\3\4aaaaaaaa", "zip"), (b"hello", "a text")],
)
def test_other_kinds_of_file(raw: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        read_safetensors(MemorySource(raw))


@pytest.mark.parametrize(
    ("raw", "told"), [(b"", "is empty"), (bytes(100), "begins with 100 zero bytes")]
)
def test_unfinished_downloads(raw: bytes, told: str) -> None:
    with pytest.raises(IntegrityError, match=told):
        read_safetensors(MemorySource(raw))


def test_every_truncation_is_noticed() -> None:
    whole = raw_file({"a": F32, "b": entry("BF16", [3], 4, 10)}, 10)
    read_safetensors(MemorySource(whole))
    for length in range(len(whole)):
        with pytest.raises((IntegrityError, FormatError)):
            read_safetensors(MemorySource(whole[:length]))
