"""Reading the header of safetensors files, never the weights.

Source: huggingface/safetensors README, section "Format", and ``safetensors/src/tensor.rs`` for the
names of the types. The tensors fill the file behind the header without gap or overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.cursor import Cursor
from gemmahub.formats.json_text import parse_object
from gemmahub.formats.sniff import GGUF_MAGIC, MAX_SAFETENSORS_HEADER, not_a_model
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.formats.tensor import Tensor
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gemmahub.formats.source import ByteSource

# Bits of one number. A type that is not listed is taken at the size that its offsets give it.
DTYPE_BITS: Final[dict[str, int]] = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
MAX_TENSORS: Final = 1 << 16
"""Of one file. Models of more tensors come in many files."""
MAX_HEADER_BYTES: Final = 8 * 1024 * 1024
"""The reference reader takes 100 MB; published headers have up to some hundred KB."""
_METADATA: Final = "__metadata__"
_MAX_ELEMENTS: Final = 1 << 63
_DAMAGED_HINT: Final = "Fetch the file again; if that does not help, report it to its publisher."


@dataclass(frozen=True, slots=True)
class SafetensorsFile:
    """The header of one safetensors file.

    ``tensors`` stand in the order of the header and ``offsets`` are theirs, in bytes from
    ``data_offset``, the byte behind the header; ``size_bytes`` is the size of the file.
    """

    name: str
    metadata: Mapping[str, str]
    tensors: tuple[Tensor, ...]
    offsets: tuple[int, ...]
    data_offset: int
    size_bytes: int


def read_safetensors(source: ByteSource) -> SafetensorsFile:
    """The header of a safetensors file.

    Raises :class:`FormatError` for something that is not safetensors, and :class:`IntegrityError`
    for a file that is damaged or ends too early.
    """
    cursor = Cursor(source)
    cursor.need(min(9, source.size), "the header")
    if not _may_be_safetensors(cursor.data[:9]):
        raise not_a_model(source, "a safetensors file")
    length = int.from_bytes(cursor.take(8, "the header's length"), "little")
    name = cursor.name
    if length > MAX_SAFETENSORS_HEADER:
        raise _damaged(name, f"it states a header of {format_bytes(length)}")
    if length > cursor.left:
        raise cursor.ends_in("the header", length)
    if length > MAX_HEADER_BYTES:
        raise FormatError(
            f"{name} has a header of {format_bytes(length)}, but gemmahub reads at most "
            f"{format_bytes(MAX_HEADER_BYTES)}",
            "If other programs can read the model, report it.",
        )
    cursor.expect(length)
    raw = cursor.take(length, "the header")
    if raw.count(b"{") + raw.count(b"[") > 3 * MAX_TENSORS:
        raise _damaged(name, f"its header describes more than {MAX_TENSORS:,} tensors")
    header = parse_object(raw, f"the header of {name}", unique_keys=True)
    metadata = _metadata(name, header.pop(_METADATA, {}))
    tensors, offsets = [], []
    for key, entry in header.items():
        tensor, offset = _tensor(name, key, entry)
        tensors.append(tensor)
        offsets.append(offset)
    _check_layout(name, tensors, offsets, source.size - cursor.offset)
    return SafetensorsFile(
        name=source.name,
        metadata=metadata,
        tensors=tuple(tensors),
        offsets=tuple(offsets),
        data_offset=cursor.offset,
        size_bytes=source.size,
    )


def _may_be_safetensors(head: bytes) -> bool:
    """Whether ``head`` (up to 9 bytes) can begin a safetensors file, damaged or cut short."""
    if len(head) == 9:
        return head.endswith(b"{") and not head.startswith(GGUF_MAGIC)
    return any(head) and len(head) > 4 and not any(head[4:])


def _metadata(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _damaged(name, "its __metadata__ is not an object of strings")
    return value


def _tensor(name: str, key: str, entry: Any) -> tuple[Tensor, int]:
    """One entry of the header as a tensor and its offset in bytes."""
    if not isinstance(entry, dict):
        raise _damaged(name, f"{_shown(key)} is not described by an object")
    dtype, shape, span = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str):
        raise _damaged(name, f"{_shown(key)} has no dtype")
    if not _are_sizes(shape):
        raise _damaged(name, f"{_shown(key)} has no shape of whole numbers")
    if not _are_sizes(span) or len(span) != 2 or span[0] > span[1]:
        raise _damaged(name, f"{_shown(key)} has no offsets of its data")
    # A product over a long shape of large numbers would take long itself: stop early.
    parameters = 0 if 0 in shape else 1
    for size in shape:
        parameters *= size
        if parameters >= _MAX_ELEMENTS:
            raise _damaged(name, f"{_shown(key)} has an implausible size")
    length = span[1] - span[0]
    bits = DTYPE_BITS.get(dtype)
    if bits is not None and parameters * bits != length * 8:
        raise _damaged(
            name,
            f"{_shown(key)} has {format_bytes(length)}, which does not match {parameters:,} "
            f"numbers of type {dtype}",
        )
    return Tensor(key, one_line(dtype[:40], 40), tuple(shape), parameters, length), span[0]


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    # bool is an int to isinstance.
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < _MAX_ELEMENTS for item in value
    )


def _check_layout(name: str, tensors: list[Tensor], offsets: list[int], available: int) -> None:
    """Whether the tensors fill ``available`` bytes without gap or overlap."""
    end = 0
    spans = sorted(
        (offset, offset + (tensor.bytes or 0), tensor.name)
        for offset, tensor in zip(offsets, tensors, strict=True)
    )
    for begin, stop, key in spans:
        if begin != end:
            problem = "overlaps another tensor" if begin < end else "has a hole before it"
            raise _damaged(name, f"{_shown(key)} {problem}")
        end = stop
    missing = end - available
    if missing > 0:
        raise IntegrityError(
            f"{name} is incomplete: {format_bytes(missing)} of its tensors are missing",
            INCOMPLETE_HINT,
        )
    if missing < 0:
        raise _damaged(name, f"{format_bytes(-missing)} behind its last tensor belong to nothing")


def _damaged(name: str, problem: str) -> IntegrityError:
    return IntegrityError(f"{name} is damaged: {problem}", _DAMAGED_HINT)


def _shown(key: str) -> str:
    return f"tensor {one_line(key[:80], 80)}"
