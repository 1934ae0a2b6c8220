"""GGUF files that are damaged, cut short, or something else: each says what is wrong."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import pytest

from gemmahub.errors import FormatError, GemmahubError, IntegrityError
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.source import LocalFile
from gemmahub.testing.gguf_writer import gguf_header, write_gguf
from tests.formats.memory_source import MemorySource

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 1 << 60


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def pair(key: str | bytes, number: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", number) + value


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dims + struct.pack("<IQ", kind, offset)


def gguf_bytes(
    pairs: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    *,
    data: int = 4096,
    **counts: int,
) -> bytes:
    head = struct.pack(
        "<IQQ",
        counts.get("version", 3),
        counts.get("tensor_count", len(tensors)),
        counts.get("key_count", len(pairs)),
    )
    raw = b"GGUF" + head + b"".join(pairs) + b"".join(tensors)
    return raw + bytes(-len(raw) % 32 + data)


def refused(raw: bytes, kind: type[GemmahubError], match: str) -> GemmahubError:
    with pytest.raises(kind, match=match) as caught:
        read_gguf(MemorySource(raw, "x.gguf"))
    assert type(caught.value) is kind
    assert caught.value.hint
    assert "x.gguf" in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"\x10\0\0\0\0\0\0\0{}              ", "it is a safetensors file"),
        (b"PK\x03\x04rest", "it is a zip archive"),
        (b"\n <!DOCTYPE html><html>", "it is a web page"),
        (b"<html lang=en>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS pointer"),
        (b'{"error": "gated"}', "JSON text"),
        (b"tjgg\x03\0\0\0", "before GGUF"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"\x7fELF\x02", "a program"),
        (b"Not found", 'a text that begins "Not found"'),
        (b"\x01\x02\x03\xff\xfe\xfd", "begins with the bytes 01 02 03 ff fe fd"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "version 4,"),
        (b"GGUF" + struct.pack("<IQQ", 0, 0, 0), "version 0,"),
        (b"GGUF" + struct.pack(">IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 9, 0, 0), "version 9,"),
    ],
)
def test_other_kinds_of_file(raw: bytes, match: str) -> None:
    refused(raw, FormatError, match)


def test_text_from_a_file_cannot_steer_the_terminal() -> None:
    error = refused(b"\x09hello \x9b2J world", FormatError, "begins")
    assert "\x9b" not in error.message


@pytest.mark.parametrize(
    ("raw", "match"),
    [(b"", "is empty"), (bytes(5000), "256 zero bytes"), (b"GG", "ends"), (b"GGUF", "ends")],
)
def test_unfinished_downloads(raw: bytes, match: str) -> None:
    refused(raw, IntegrityError, match)


NUMBER = pair("a", 4, struct.pack("<I", 1))
DAMAGED: dict[str, tuple[bytes, str]] = {
    "keys": (gguf_bytes(key_count=HUGE), "table of .* metadata keys"),
    "many keys": (gguf_bytes(key_count=70_000, data=1_000_000), "70,000 metadata keys"),
    "tensors": (gguf_bytes(tensor_count=HUGE), "table of .* tensors"),
    "many tensors": (gguf_bytes(tensor_count=200_000, data=9_000_000), "200,000 tensors"),
    "key length": (gguf_bytes((struct.pack("<Q", HUGE),), key_count=1), "metadata key"),
    "long key": (gguf_bytes((pair("k" * 70_000, 0, b"\1"),)), "has 70.0 KB"),
    "string length": (gguf_bytes((pair("a", 8, struct.pack("<Q", HUGE)),)), "the value of a"),
    "string count": (gguf_bytes((pair("a", 9, struct.pack("<IQ", 8, HUGE)),)), "the value of a"),
    "number count": (gguf_bytes((pair("a", 9, struct.pack("<IQ", 4, HUGE)),)), "the value of a"),
    "array count": (gguf_bytes((pair("a", 9, struct.pack("<IQ", 9, HUGE)),)), "the value of a"),
    "string in array": (
        gguf_bytes((pair("a", 9, struct.pack("<IQQ", 8, 2, 2**63) + text("b")),)),
        "the value of a",
    ),
    "name length": (gguf_bytes((), (struct.pack("<Q", HUGE),), tensor_count=1), "tensor's name"),
    "duplicate key": (gguf_bytes((NUMBER, NUMBER)), "key a occurs twice"),
    "empty key": (gguf_bytes((pair("", 0, b"\1"),)), "key is empty"),
    "key not UTF-8": (gguf_bytes((pair(b"\xff", 0, b"\1"),)), "not UTF-8"),
    "value type": (gguf_bytes((pair("a", 13, bytes(8)),)), "unknown value type 13"),
    "item type": (gguf_bytes((pair("a", 9, struct.pack("<IQ", 77, 1)),)), "unknown value type 77"),
    "bool": (gguf_bytes((pair("a", 7, b"\2"),)), "bool of value 2"),
    "nesting": (
        gguf_bytes((pair("a", 9, struct.pack("<IQ", 9, 1) * 20),)),
        "nests arrays more than 4 deep",
    ),
    "many nested": (
        gguf_bytes((pair("a", 9, struct.pack("<IQ", 9, 300_000)),), data=4_000_000),
        "nests more than",
    ),
    "alignment 0": (gguf_bytes((pair("general.alignment", 4, bytes(4)),)), "power of two"),
    "alignment 48": (
        gguf_bytes((pair("general.alignment", 4, struct.pack("<I", 48)),)),
        "is 48, not a power of two",
    ),
    "alignment text": (gguf_bytes((pair("general.alignment", 8, text("32")),)), "power of two"),
    "duplicate tensor": (
        gguf_bytes((), (tensor("t", (4,)), tensor("t", (4,), offset=32))),
        "two tensors are called t",
    ),
    "dimensions": (gguf_bytes((), (tensor("t", (1, 1, 1, 1, 1)),)), "5 dimensions"),
    "zero": (gguf_bytes((), (tensor("t", (4, 0)),)), "dimension of zero"),
    "overflow": (gguf_bytes((), (tensor("t", (1 << 32, 1 << 31)),)), "implausible size"),
    "block": (gguf_bytes((), (tensor("t", (33,), kind=8),)), "rows of 33 weights.*blocks of 32"),
    "aligned": (gguf_bytes((), (tensor("t", (4,), offset=33),)), "multiple of 32"),
    "overlap": (
        gguf_bytes((), (tensor("t", (9,)), tensor("u", (4,), offset=32))),
        "tensors t and u overlap",
    ),
    "same place": (
        gguf_bytes((), (tensor("t", (4,), kind=199), tensor("u", (4,), kind=199))),
        "overlap",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_header(name: str) -> None:
    raw, match = DAMAGED[name]
    refused(raw, IntegrityError, match)


def test_missing_tensor_data_is_counted() -> None:
    raw = gguf_bytes((), (tensor("t", (1024,)),), data=1000)
    error = refused(raw, IntegrityError, "incomplete: 3.10 KB of its tensors are missing")
    assert "download is incomplete" in error.hint


def test_every_truncation_is_noticed() -> None:
    metadata: dict[str, Any] = {"a": 1, "b": "text", "c": ["x", "y"], "d": [[1], [2]], "e": [1.5]}
    raw, full = gguf_header(metadata, [("t", (4, 2), 0), ("u", (3,), "F16")])
    whole = raw + bytes(full - len(raw))
    needed = full - 32 + 6  # the padding behind the last tensor may be missing
    for length in range(needed):
        refused(whole[:length], IntegrityError, "x.gguf")
    for length in range(needed, full):
        read_gguf(MemorySource(whole[:length]))


def test_header_without_its_data(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    full = write_gguf(path, {}, [("t", (1024,), 0)], truncate_to_full=False)
    assert path.stat().st_size == full - 4096
    with LocalFile(path) as source, pytest.raises(IntegrityError, match=r"4\.10 KB"):
        read_gguf(source)


def test_header_has_a_largest_size(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    # An array of two billion bytes in a sparse file: all there, but no header is like that.
    raw = gguf_bytes((pair("a", 9, struct.pack("<IQ", 0, 2_000_000_000)),))
    with path.open("wb") as file:
        file.write(raw)
        file.truncate(3_000_000_000)
    with LocalFile(path) as source, pytest.raises(IntegrityError, match="may have at most"):
        read_gguf(source)
