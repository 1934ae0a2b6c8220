"""Whatever the bytes are, the readers answer or refuse, within time and memory set by the size."""

from __future__ import annotations

import json
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemmahub.errors import FormatError, GemmahubError, IntegrityError
from gemmahub.formats.gguf import ArrayRef, read_gguf
from gemmahub.formats.safetensors import read_safetensors
from gemmahub.testing.gguf_writer import gguf_header
from tests.formats.memory_source import MemorySource

if TYPE_CHECKING:
    from collections.abc import Callable

# Reading a window and keeping a table cost this much whatever the file's size.
_ALLOWANCE: Final = 4_000_000
_METADATA: Final[dict[str, Any]] = {
    "general.architecture": "gemma3",
    "general.alignment": 32,
    "gemma3.block_count": 2,
    "gemma3.attention.head_count_kv": [1, 2],
    "flags": [True, False],
    "epsilon": 1e-6,
    "tokenizer.ggml.tokens": [f"<{n}>" for n in range(40)],
    "nested": [[1, 2], [3]],
}
_TENSORS: Final = [
    ("token_embd.weight", (32, 40), "Q8_0"),
    ("blk.0.attn_q.weight", (256, 2), "Q4_K"),
    ("output_norm.weight", (32,), "F32"),
]
HUGE: Final = st.sampled_from([0, 1, 2, 255, 1 << 31, (1 << 32) - 1, 1 << 60, (1 << 64) - 1])


def gguf_bytes(big_endian: bool) -> bytes:
    raw, full = gguf_header(_METADATA, _TENSORS, big_endian=big_endian)
    return raw + bytes(full - len(raw))


def safetensors_bytes() -> bytes:
    header = {
        "__metadata__": {"format": "pt"},
        "a.weight": {"dtype": "BF16", "shape": [4, 8], "data_offsets": [0, 64]},
        "b.weight": {"dtype": "U8", "shape": [10], "data_offsets": [64, 74]},
    }
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(74)


GGUF: Final = {big_endian: gguf_bytes(big_endian) for big_endian in (False, True)}
SAFETENSORS: Final = safetensors_bytes()


@st.composite
def mutated(draw: st.DrawFn, whole: bytes, header: int) -> bytes:
    """``whole`` with flipped bytes, huge numbers, cut, removed and doubled pieces."""
    raw = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(header, max(len(raw) - 1, 0))))
        match draw(st.sampled_from(["flip", "u32", "u64", "cut", "remove", "double"])):
            case "flip" if raw:
                raw[at] ^= draw(st.integers(1, 255))
            case "u32":
                raw[at : at + 4] = struct.pack("<I", draw(HUGE) & 0xFFFFFFFF)
            case "u64":
                raw[at : at + 8] = struct.pack("<Q", draw(HUGE))
            case "cut":
                del raw[at:]
            case "remove":
                del raw[at : at + draw(st.integers(1, 32))]
            case "double":
                raw[at:at] = raw[at : at + draw(st.integers(1, 64))]
    return bytes(raw)


def check_gguf(source: MemorySource) -> None:
    file = read_gguf(source)
    for key, value in file.metadata.items():
        if isinstance(value, ArrayRef):
            file.read_array(source, key)
    for tensor, offset in zip(file.tensors, file.offsets, strict=True):
        assert file.data_offset + offset + (tensor.bytes or 0) <= source.size
        assert tensor.parameters > 0


def check_safetensors(source: MemorySource) -> None:
    file = read_safetensors(source)
    assert file.data_offset + sum(tensor.bytes or 0 for tensor in file.tensors) == source.size


def answers_or_refuses(check: Callable[[MemorySource], None], raw: bytes) -> None:
    refusal: GemmahubError | None = None
    tracemalloc.start()
    try:
        check(MemorySource(raw))
    except (FormatError, IntegrityError) as error:
        refusal = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 * len(raw) + _ALLOWANCE
    assert refusal is None or (refusal.message and refusal.hint)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), big_endian=st.booleans())
def test_mutated_gguf(data: st.DataObject, big_endian: bool) -> None:
    whole = GGUF[big_endian]
    answers_or_refuses(check_gguf, data.draw(mutated(whole, 1600)))


@settings(max_examples=300, deadline=None)
@given(raw=mutated(SAFETENSORS, 200))
def test_mutated_safetensors(raw: bytes) -> None:
    answers_or_refuses(check_safetensors, raw)


@settings(max_examples=200, deadline=None)
@given(tail=st.binary(max_size=300), version=st.sampled_from([2, 3]))
def test_any_bytes_after_the_magic(tail: bytes, version: int) -> None:
    answers_or_refuses(check_gguf, b"GGUF" + struct.pack("<I", version) + tail)
    answers_or_refuses(check_gguf, tail)
    answers_or_refuses(check_safetensors, tail)
    answers_or_refuses(check_safetensors, len(tail).to_bytes(8, "little") + tail)


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
ENTRY: Final = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F4", "BOOL", "?"]) | JSON,
        "shape": st.lists(st.integers(-1, 1 << 64) | st.booleans(), max_size=5) | JSON,
        "data_offsets": st.lists(st.integers(-1, 1 << 64), max_size=3) | JSON,
    }
)


@settings(max_examples=200, deadline=None)
@given(header=st.dictionaries(st.text(max_size=5), ENTRY | JSON, max_size=3) | JSON)
def test_any_json_as_a_safetensors_header(header: Any) -> None:
    raw = json.dumps(header).encode()
    answers_or_refuses(check_safetensors, len(raw).to_bytes(8, "little") + raw)


@pytest.mark.parametrize("item", [struct.pack("<Q", 0), struct.pack("<IQ", 8, 0)])
def test_a_megabyte_of_nothing(item: bytes) -> None:
    count = 1_000_000 // len(item)
    kind = 8 if len(item) == 8 else 9
    head = struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a"
    raw = b"GGUF" + head + struct.pack("<IIQ", 9, kind, count) + item * count
    tracemalloc.start()
    try:
        file = read_gguf(MemorySource(raw))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    ref = file.metadata["a"]
    assert isinstance(ref, ArrayRef)
    assert ref.length == count
    assert peak < _ALLOWANCE
