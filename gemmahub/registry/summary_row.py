"""How a summary of a model file is written down, and read back with every field checked."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct

from gemmahub.errors import GemmahubError
from gemmahub.formats.kinds import WHAT
from gemmahub.memory import LayerShape, MemoryArchitecture, Weights, unpack
from gemmahub.precision.roles import ROLES
from gemmahub.records.parsing import Unfit, as_kind, from_json, is_plain

if TYPE_CHECKING:
    Role = str
    Kind = str
else:
    Kind = Literal[tuple(WHAT)]
    Role = Literal[ROLES]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
ShortText = Annotated[str, Meta(min_length=1, max_length=200)]
_UNKNOWN: Final = '{"unknown":'


_Mix = tuple[Role, ShortText, Count, Count, Count | None]
"""The fields of :class:`gemmahub.precision.mix.MixEntry`."""


class SummaryRow(Struct, forbid_unknown_fields=True):
    """As :class:`gemmahub.registry.artifacts.FileSummary`."""

    format: ShortText
    size_bytes: Count
    mix: tuple[_Mix, ...]
    metadata: dict[str, Any]
    label: ShortText | None
    chat_template: bool
    notes: tuple[str, ...]
    memory: str
    kind: Kind
    examples: tuple[str, ...]
    big_endian: bool


class _UnknownMemory(Struct, forbid_unknown_fields=True):
    """Why the memory of a model is not known: message and hint."""

    unknown: tuple[str, str]


def to_json(values: dict[str, Any]) -> str | None:
    """The text for a summary's fields (``mix`` as rows); None where it cannot be written down."""
    try:
        return msgspec.json.encode(as_kind(values, SummaryRow)).decode()
    except (Unfit, ValueError, OverflowError, RecursionError):
        return None


def from_text(text: str) -> dict[str, Any]:
    """The fields of a summary from a remembered text. Raises: Unfit for a damaged one."""
    row = from_json(text, SummaryRow)
    if not is_plain(row.metadata):
        raise Unfit("metadata: it is nested too deeply, or has a number out of range")
    if len(row.examples) != len(row.mix):
        raise Unfit("examples: they are not one for each entry of the mix")
    _check_memory(row.memory)
    return msgspec.structs.asdict(row)


@cache
def _known_memory() -> Any:
    """What :func:`gemmahub.memory.packed` writes, by the fields of the records in it."""
    shape = tuple(_ranged(get_type_hints(LayerShape)[f.name]) for f in fields(LayerShape))
    return msgspec.defstruct(
        "_KnownMemory",
        [
            ("architecture", _fields_of(MemoryArchitecture, "layers")),
            ("shapes", list[tuple[shape]]),  # type: ignore[valid-type]
            ("layers", list[Count]),
            ("weights", _fields_of(Weights)),
        ],
        forbid_unknown_fields=True,
    )


def _fields_of(record: type, *without: str) -> Any:
    hints = get_type_hints(record)
    known = [(f.name, _ranged(hints[f.name])) for f in fields(record) if f.name not in without]
    return msgspec.defstruct(f"_{record.__name__}", known, forbid_unknown_fields=True)


def _ranged(kind: Any) -> Any:
    """Whole numbers of a record are counts."""
    return {int: Count, tuple[int, ...]: tuple[Count, ...]}.get(kind, kind)


def _check_memory(text: str) -> None:
    """Raises: Unfit for what :func:`gemmahub.memory.packed` did not write."""
    if text.startswith(_UNKNOWN):
        from_json(text, _UnknownMemory)
        return
    from_json(text, _known_memory())
    try:
        unpack(text)
    except (GemmahubError, ValueError, TypeError, LookupError) as error:
        raise Unfit(f"memory: {error}") from None
