"""The few fields of ``LlmMetadata`` that are shown, out of its protocol buffer.

Sources: google-ai-edge/LiteRT-LM runtime/proto/llm_metadata.proto@5cd8d69a;
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub_litertlm.families import MODEL_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_FIELDS: Final = 100_000


@dataclass(frozen=True, slots=True)
class LlmMetadata:
    """What the bundle says of the model; empty and 0 for what it does not say."""

    context: int = 0
    model_type: str = ""
    template: str = ""
    least_version: str = ""
    thinks: bool = False
    calls_tools: bool = False


def read_metadata(content: bytes) -> LlmMetadata:
    """The metadata in the bytes of its section. Raises: IntegrityError."""
    context, model_type, template, least = 0, "", "", ""
    thinks = calls = False
    for number, value in _fields(content):
        if number == 5 and isinstance(value, int):
            context = value if value < 1 << 31 else 0
        elif number == 6 and isinstance(value, bytes):
            kinds = [kind for kind, _ in _fields(value)]
            model_type = MODEL_TYPES.get(kinds[-1], "") if kinds else ""
        elif number == 7 and isinstance(value, bytes):
            template = value.decode("utf-8", "replace")
        elif number == 11:
            thinks = bool(value)
        elif number == 12:
            calls = bool(value)
        elif number == 14 and isinstance(value, bytes):
            least = value[:40].decode("utf-8", "replace")
    return LlmMetadata(context, model_type, template, least, thinks, calls)


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = count = 0
    while at < len(content):
        count += 1
        key, at = _varint(content, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(content, at)
        else:
            length = {1: 8, 5: 4}.get(kind, -1)
        if length < 0 or at + length > len(content) or count > _MOST_FIELDS:
            raise _damaged()
        yield number, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _damaged()


def _damaged() -> IntegrityError:
    return IntegrityError(
        "the metadata of the bundle is damaged",
        "Fetch the file again; if that does not help, report it to its publisher.",
    )
