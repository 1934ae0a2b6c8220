"""Writes OCDBT databases by hand, after the format's description, for the tests of their reader.

Source: google/tensorstore ``tensorstore/kvstore/ocdbt/index.rst``. Nothing is shared with the
reader but the checksum, which has a test of its own; TensorStore reads what is written here
(``test_real_checkpoints.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from zarr_folders import metadata, zarray

from gemmahub_jax.crc32c import crc32c

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DATA = "d/" + "5" * 32
INLINE = 1024  # bytes up to which values stand in the node


def varint(number: int) -> bytes:
    found = b""
    while number >= 0x80:
        found += bytes([number & 0x7F | 0x80])
        number >>= 7
    return found + bytes([number])


def varints(numbers: Sequence[int]) -> bytes:
    return b"".join(map(varint, numbers))


def block(magic: int, body: bytes, *, packed: bool = True, version: int = 0) -> bytes:
    """A body between its header and its checksum."""
    if packed:
        import zstandard

        body = zstandard.ZstdCompressor(write_content_size=False).compress(body)
    whole = magic.to_bytes(4, "big") + (18 + len(body)).to_bytes(8, "little")
    whole += bytes([version, packed]) + body
    return whole + crc32c(whole).to_bytes(4, "little")


def file_table(paths: Sequence[str]) -> bytes:
    """All of their paths are relative to the database, with nothing in common."""
    found = varint(len(paths)) + varints([0] * (len(paths) - 1))
    found += varints([len(path) for path in paths]) + varints([0] * len(paths))
    return found + "".join(paths).encode()


def leaf(values: Mapping[str, bytes], places: Mapping[str, tuple[int, int]]) -> bytes:
    """A node of keys in order; ``places`` are offset and length of values in the data file."""
    keys = sorted(values.keys() | places.keys())
    raw = [key.encode() for key in keys]
    found = bytes([0]) + file_table([DATA] if places else [])
    found += varint(len(keys)) + varints([0] * (len(keys) - 1)) + varints([len(k) for k in raw])
    found += b"".join(raw)
    found += varints([places[k][1] if k in places else len(values[k]) for k in keys])
    found += varints([int(key in places) for key in keys])
    found += varints([0 for key in keys if key in places])
    found += varints([places[key][0] for key in keys if key in places])
    return found + b"".join(values[key] for key in keys if key not in places)


def parent(children: Sequence[tuple[str, int, int, int]], height: int = 1) -> bytes:
    """A node above others: first key, offset, length, number of keys of each."""
    keys = [key.encode() for key, *_ in children]
    found = bytes([height]) + file_table([DATA])
    found += varint(len(keys)) + varints([0] * (len(keys) - 1)) + varints([len(k) for k in keys])
    found += varints([0] * len(keys)) + b"".join(keys)
    found += varints([0] * len(keys))
    for column in range(1, 4):
        found += varints([child[column] for child in children])
    return found + varints([child[2] for child in children]) + varints([0] * len(keys))


def manifest(offset: int, length: int, height: int, keys: int, path: str = DATA) -> bytes:
    found = bytes(range(16)) + varints([0, INLINE, 100_000_000]) + bytes([4]) + varint(1) + bytes(4)
    found += file_table([path]) + varint(1) + varint(1) + bytes([height])
    found += varints([0, offset, length, keys, length, 0]) + bytes(8)
    return found + varint(0)  # no older versions


MANIFEST, NODE = 0x0CDB3A2A, 0x0CDB20DE


@dataclass
class OcdbtWriter:
    """Puts values and nodes into one data file, one behind the other."""

    data: bytearray = field(default_factory=bytearray)

    def add(self, content: bytes) -> tuple[int, int]:
        """Where it stands: offset and length."""
        place = (len(self.data), len(content))
        self.data += content
        return place

    def write(self, folder: Path, root: tuple[int, int], height: int, keys: int) -> None:
        (folder / "d").mkdir(parents=True, exist_ok=True)
        (folder / DATA).write_bytes(self.data)
        (folder / "manifest.ocdbt").write_bytes(block(MANIFEST, manifest(*root, height, keys)))


def write_ocdbt(
    folder: Path,
    arrays: Mapping[str, tuple[str, tuple[int, ...]]],
    *,
    node_keys: int = 1000,
    packed: bool = True,
) -> Path:
    """A checkpoint with these arrays, in one chunk each; ``node_keys`` is how many a node holds."""
    writer, values, places = OcdbtWriter(), {}, {}
    for name, (dtype, shape) in arrays.items():
        values[f"{name}/.zarray"] = zarray(dtype, shape, shape)
        key = f"{name}/{'.'.join('0' for _ in shape) or '0'}"
        places[key] = writer.add(b"\0" * INLINE + name.encode())
    keys = sorted(values | places)
    children = []
    for start in range(0, len(keys), node_keys):
        own = keys[start : start + node_keys]
        node = leaf(
            {key: values[key] for key in own if key in values},
            {key: places[key] for key in own if key in places},
        )
        children.append((own[0], *writer.add(block(NODE, node, packed=packed)), len(own)))
    root, height = children[0][1:3], 0
    if len(children) > 1:
        root, height = writer.add(block(NODE, parent(children), packed=packed)), 1
    writer.write(folder, root, height, len(keys))
    (folder / "_METADATA").write_text(metadata(list(arrays)))
    return folder
