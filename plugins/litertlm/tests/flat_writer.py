"""Writes FlatBuffers for tests: tables of fields by number, forward in the file.

Source: the format's "Internals" (https://flatbuffers.dev/internals/). Nothing of the reader is
used.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Num:
    """A number: ``<i``, ``<Q``, ..."""

    form: str
    value: Any


@dataclass(frozen=True)
class Vec:
    """A vector of numbers, its bytes as they are; ``align`` of its first item."""

    form: str
    values: Any
    align: int = 4


@dataclass(frozen=True)
class Table:
    """Fields by their number: numbers, texts, vectors, tables, lists of tables or texts."""

    fields: dict[int, Any]


def flatbuffer(root: Table, identifier: bytes = b"") -> bytes:
    """The bytes of a buffer with this root."""
    out = bytearray(8 if identifier else 4)
    if identifier:
        out[4:8] = identifier
    _refer(out, 0, root)
    return bytes(out)


def _pad(out: bytearray, align: int, ahead: int = 0) -> None:
    out.extend(bytes(-(len(out) + ahead) % align))


def _refer(out: bytearray, place: int, value: Any) -> None:
    """Write the value at the end, and at ``place`` how far away it is."""
    at = _write(out, value)
    struct.pack_into("<I", out, place, at - place)


def _write(out: bytearray, value: Any) -> int:
    if isinstance(value, Table):
        return _table(out, value)
    if isinstance(value, str):
        content = value.encode()
        _pad(out, 4)
        at = len(out)
        out.extend(struct.pack("<I", len(content)) + content + b"\0")
        return at
    if isinstance(value, Vec):
        _pad(out, max(4, value.align), 4)
        at = len(out)
        raw = isinstance(value.values, bytes)
        content = (
            value.values if raw else b"".join(struct.pack(value.form, v) for v in value.values)
        )
        out.extend(struct.pack("<I", len(value.values)) + content)
        return at
    _pad(out, 4)
    at = len(out)
    out.extend(struct.pack("<I", len(value)) + bytes(4 * len(value)))
    for index, item in enumerate(value):
        _refer(out, at + 4 + 4 * index, item)
    return at


def _table(out: bytearray, table: Table) -> int:
    fields = {number: value for number, value in table.fields.items() if value is not None}
    count = max(fields, default=-1) + 1
    # Largest first, so that each lies at a multiple of its size.
    sizes = {n: struct.calcsize(v.form) if isinstance(v, Num) else 4 for n, v in fields.items()}
    order = sorted(fields, key=lambda number: -sizes[number])
    _pad(out, 8, 4 + 2 * count)
    vtable = len(out)
    begin = 4
    if any(size == 8 for size in sizes.values()):
        begin = 8
    offsets, at = {}, begin
    for number in order:
        offsets[number] = at
        at += sizes[number]
    entries = [offsets.get(number, 0) for number in range(count)]
    out.extend(struct.pack(f"<HH{count}H", 4 + 2 * count, at, *entries))
    _pad(out, 8)
    place = len(out)
    out.extend(bytes(at))
    struct.pack_into("<i", out, place, place - vtable)
    for number in order:
        value = fields[number]
        if isinstance(value, Num):
            struct.pack_into(value.form, out, place + offsets[number], value.value)
    for number in sorted(fields):
        if not isinstance(fields[number], Num):
            _refer(out, place + offsets[number], fields[number])
    return place
