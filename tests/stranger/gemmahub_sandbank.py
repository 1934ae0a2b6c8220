"""A stranger's plugin: a reader of a file format that is made up, with what it cannot do without.

A file is ``SAND``, the length of a JSON object in four bytes, ``{"tensors": [[name, type, shape,
weights, bytes], ...]}``, and the weights.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gemmahub import hookimpl
from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.json_text import parse_object
from gemmahub.formats.tensor import Tensor

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.source import ByteSource

MAGIC = b"SAND"


class SandbankReader:
    """Reads sandbank files."""

    name = "sandbank"

    def reads(self, path: Path) -> bool:
        """By the first bytes."""
        with path.open("rb") as file:
            return file.read(4) == MAGIC

    def tensors(self, source: ByteSource) -> list[Tensor]:
        """From the list at its beginning."""
        if source.read(0, 4) != MAGIC:
            raise FormatError(f"{source.name} is not a sandbank", "Choose another file.")
        length = int.from_bytes(source.read(4, 4), "little")
        rows = parse_object(source.read(8, length), f"the header of {source.name}")
        try:
            found = [
                Tensor(name, type_, tuple(shape), weights, size)
                for name, type_, shape, weights, size in rows["tensors"]
            ]
            missing = 8 + length + sum(tensor.bytes or 0 for tensor in found) > source.size
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"{source.name} is damaged", "Fetch it again.") from error
        if missing:
            raise IntegrityError(f"{source.name} is not whole", "Fetch it again.")
        return found


def write_sandbank(path: Path, *rows: tuple[str, str, list[int], int, Any]) -> Path:
    """A file of these tensors, with zeros for weights."""
    head = json.dumps({"tensors": rows}).encode()
    weights = sum(row[4] if isinstance(row[4], int) else 0 for row in rows)
    path.write_bytes(MAGIC + len(head).to_bytes(4, "little") + head + bytes(max(0, weights)))
    return path


@hookimpl
def gemmahub_formats() -> list[SandbankReader]:
    """One reader."""
    return [SandbankReader()]
