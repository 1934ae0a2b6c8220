"""Frames between this program and processes of ours that handle what strangers wrote: a length,
then JSON.

JSON and not pickle: what a stranger's template could make of the process that renders it must not
become objects here.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Final

_LENGTH: Final = struct.Struct("<Q")


def write_frame(pipe: IO[bytes], record: dict[str, Any]) -> None:
    """Send one record.

    Raises: OSError when the other end is gone.
    """
    data = json.dumps(record).encode()
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def read_frame(pipe: IO[bytes], most: int | None = None) -> dict[str, Any] | None:
    """The next record; None when the other end is gone, or its record has more than ``most`` bytes.

    Raises: ValueError when it is no JSON.
    """
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if most is not None and length > most:
        return None
    data = pipe.read(length)
    if len(data) < length:
        return None
    record = json.loads(data)
    return record if isinstance(record, dict) else None
