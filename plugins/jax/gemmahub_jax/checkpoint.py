"""The arrays of an Orbax checkpoint folder, from its index: JAX is not needed for that.

Orbax writes all arrays into one database (``manifest.ocdbt``), or each as a zarr folder of its own;
``_METADATA`` lists the arrays that there have to be. Sources: google/orbax
``checkpoint/orbax/checkpoint/_src/metadata/tree.py`` (``_METADATA``) and
``_src/serialization/tensorstore_utils.py`` (where the arrays lie).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import FormatError, IntegrityError, NotFound
from gemmahub.formats.json_text import read_object
from gemmahub.formats.reader import MOST_TENSORS
from gemmahub.formats.source import INCOMPLETE_HINT
from gemmahub.text import one_line
from gemmahub_jax.ocdbt import MANIFEST_NAME, Database
from gemmahub_jax.zarr import DESCRIPTIONS, LARGEST_DESCRIPTION, ZarrArray, parse_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gemmahub.formats.source import Opener

METADATA: Final = "_METADATA"
CHECKPOINT_METADATA: Final = "_CHECKPOINT_METADATA"
UNFINISHED: Final = ".orbax-checkpoint-tmp"
"""In the name of a folder that is still being written."""
_ITEM: Final = "default"
"""The folder of the arrays below the folder of a step, as Kauldron's trainer has it."""
_LARGEST_METADATA: Final = 64 << 20
_MOST_FILES: Final = 1024  # that gemmahub keeps of one model
_NO_ARRAY: Final = ("None", "Dict", "List", "Tuple", "NamedTuple", "string", "str")


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array by its ``name`` in the checkpoint; ``stored_bytes`` are those of its chunks, which
    are compressed, ``pieces`` how many there are."""

    name: str
    array: ZarrArray
    stored_bytes: int = 0
    pieces: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint. ``files`` are those with arrays, ``size_bytes`` their sizes together."""

    folder: Path
    arrays: tuple[StoredArray, ...]
    files: tuple[Path, ...]
    size_bytes: int


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is an Orbax checkpoint of arrays, by the names of its files."""
    return _arrays_folder(folder) is not None


def read_checkpoint(folder: Path, open_file: Opener) -> Checkpoint:
    """What the index of a checkpoint says.

    Raises: NotFound for another folder; FormatError for what is not known; IntegrityError for what
    is damaged, or lacks an array or a part of one.
    """
    place = _arrays_folder(folder)
    if place is None:
        raise NotFound(
            f"there is no Orbax checkpoint in {one_line(str(folder), 200)}",
            f"name the folder that has {METADATA} or {MANIFEST_NAME} in it",
        )
    shown = one_line(folder.name, 80)
    if UNFINISHED in folder.name:
        raise IntegrityError(
            f"the checkpoint {shown} is incomplete: writing it was interrupted",
            "write it or download it again",
        )
    listed = _listed(place)
    found = (_database if (place / MANIFEST_NAME).is_file() else _folders)(place, open_file)
    if not found.arrays:
        raise FormatError(f"the checkpoint {shown} has no arrays", INCOMPLETE_HINT)
    _check_whole(found, listed)
    return replace(found, folder=folder)


def _arrays_folder(folder: Path) -> Path | None:
    for place in (folder, folder / _ITEM):
        if (place / METADATA).is_file() or (place / MANIFEST_NAME).is_file():
            return place
    return None


def _listed(place: Path) -> set[str]:
    """The names of the arrays that ``_METADATA`` lists; empty where there is none.

    Raises: IntegrityError.
    """
    path = place / METADATA
    if not path.is_file():
        return set()
    tree = read_object(path, _LARGEST_METADATA).get("tree_metadata")
    if not isinstance(tree, dict):
        raise IntegrityError(f"{METADATA} lists no arrays", INCOMPLETE_HINT)
    return {name for entry in tree.values() if (name := _name_of(entry))}


def _name_of(entry: Any) -> str:
    """The array's name of an entry of ``_METADATA``, empty for what is none: keys, joined."""
    keys = entry.get("key_metadata") if isinstance(entry, dict) else None
    value = entry.get("value_metadata") if isinstance(entry, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise IntegrityError(f"{METADATA} is damaged: an entry has no keys", INCOMPLETE_HINT)
    if isinstance(value, dict) and value.get("value_type") in _NO_ARRAY:
        return ""
    return ".".join(str(key.get("key")) for key in keys)


def _database(place: Path, open_file: Opener) -> Checkpoint:
    with Database(place, open_file) as database:
        described: dict[str, StoredArray] = {}
        parts: list[tuple[str, int]] = []
        for raw, value in database.entries():
            key = raw.decode("utf-8", "replace")
            name, _, last = key.rpartition("/")
            if last in DESCRIPTIONS:
                text = database.read(value, LARGEST_DESCRIPTION)
                described[name] = StoredArray(name, parse_array(text, one_line(key, 120)))
                _check_count(described)
            else:
                database.check(value)
                parts.append((key, value.length))
        sums: dict[str, list[int]] = {name: [0, 0] for name in described}
        for key, length in parts:
            if (owner := _owner(key, sums)) is not None:
                sums[owner][0] += length
                sums[owner][1] += 1
        arrays = tuple(
            replace(described[n], stored_bytes=s, pieces=p) for n, (s, p) in sums.items()
        )
        return Checkpoint(place, arrays, database.files[:_MOST_FILES], database.size_bytes)


def _owner(key: str, arrays: Mapping[str, object]) -> str | None:
    """The array that a chunk is of: ``NAME/0.0``, ``NAME/c/0/0``."""
    while key:
        key = key.rpartition("/")[0]
        if key in arrays:
            return key
    return None


def _folders(place: Path, open_file: Opener) -> Checkpoint:
    """Arrays that are folders, ``NAME/.zarray`` or ``NAME/zarr.json``, also below one another."""
    found: dict[str, StoredArray] = {}
    files: list[Path] = []
    size = 0
    for path in sorted(_described_below(place)):
        name = path.parent.relative_to(place).as_posix()
        with open_file(path) as source:
            raw = source.read(0, min(source.size, LARGEST_DESCRIPTION))
        chunks = [Path(each) for each in _files_below(path.parent) if each != str(path)]
        stored = sum(chunk.stat().st_size for chunk in chunks)
        array = parse_array(raw, one_line(f"{name}/{path.name}", 120))
        found[name] = StoredArray(name, array, stored, len(chunks))
        files += chunks
        size += stored
        _check_count(found)
    return Checkpoint(place, tuple(found.values()), tuple(files[:_MOST_FILES]), size)


def _described_below(place: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(place):
        described = next((name for name in DESCRIPTIONS if name in files), None)
        if described:
            folders.clear()  # only its chunks are below
            yield Path(folder, described)


def _files_below(place: Path) -> Iterator[str]:
    for folder, _, files in os.walk(place):
        yield from (str(Path(folder, name)) for name in files)


def _check_count(found: Mapping[str, StoredArray]) -> None:
    if len(found) > MOST_TENSORS:
        raise FormatError(
            f"the checkpoint has more than {MOST_TENSORS:,} arrays", "choose another folder"
        )


def _check_whole(found: Checkpoint, listed: set[str]) -> None:
    """Raises: IntegrityError where an array, or a chunk of one, is not there."""
    missing = sorted(listed - {array.name for array in found.arrays})
    if missing:
        raise IntegrityError(
            f"{len(missing):,} of {len(listed):,} arrays of the checkpoint are missing, such "
            f"as {one_line(missing[0], 80)}",
            INCOMPLETE_HINT,
        )
    for array in found.arrays:
        if array.pieces < array.array.chunks:
            raise IntegrityError(
                f"the array {one_line(array.name, 80)} has {array.pieces:,} of "
                f"{array.array.chunks:,} chunks",
                INCOMPLETE_HINT,
            )
