"""Which projector, and which drafter, belongs to a model: by the widths of both, then by names.

Stores ask this on every listing, of files that lie beside a projector. The keys are searched for in
the first 16 KiB, where all writers put them; the header is only read of a projector that does not
state its width (``clip.vision.projection_dim``) there: then the sizes of ``mm.*`` tell.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from gemmahub.errors import GemmahubError
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.kinds import DRAFTER, PROJECTOR, is_drafter
from gemmahub.formats.source import LocalFile
from gemmahub.precision.labels import model_sizes, projector_rank

if TYPE_CHECKING:
    from collections.abc import Iterable

_READ: Final = 16 * 1024
_ARCHITECTURE: Final = b"general.architecture"
_WIDTHS: Final = (b"clip.vision.projection_dim", b"clip.audio.projection_dim")
_TYPES: Final = (b"clip.vision.projector_type", b"clip.projector_type")
_INTEGERS: Final = {4: 4, 5: 4, 10: 8, 11: 8}  # bytes by value type
_TYPE, _STRING, _IS_STRING = 4, 8, 8
_LONGEST: Final = 100
_OF_GEMMA: Final = re.compile(r"(gemma[0-9]+n?)[a-z]*")
_DRAFTS: Final = re.compile(r"[-_](?:assistant|mtp).*")
_WORD: Final = re.compile(r"[a-z0-9.]+")


class Seam(NamedTuple):
    """What a file says of the seam between a text model and a projector.

    ``widths`` are embedding lengths of the text model that fit, empty where it does not say;
    ``family`` is the architecture of that model, empty likewise. ``kind`` is "projector" or
    "drafter" where the file says that it is one.
    """

    widths: frozenset[int] = frozenset()
    family: str = ""
    kind: str = ""

    def fits(self, other: Seam) -> bool | None:
        """Whether both fit; None where they do not say enough."""
        if self.family and other.family and self.family != other.family:
            return False
        return bool(self.widths & other.widths) if self.widths and other.widths else None


def best_fitting(model: Path, companions: Iterable[Path]) -> Path | None:
    """The projector or drafter for a text model, None where none fits."""
    found = [(path, seam_of(path)) for path in dict.fromkeys(companions) if path != model]
    if not found:
        return None
    own, ranked = seam_of(model), []
    for path, side in found:
        fits = own.fits(side)
        if fits is False or (fits is None and _other_size(model.name, path.name)):
            continue
        shared = len(_words(model.name) & _words(path.name))
        ranked.append((not fits, -shared, projector_rank(path.name), str(path), path))
    return min(ranked)[-1] if ranked else None


def seam_of(path: Path) -> Seam:
    """What a GGUF file says; nothing of one that cannot be read."""
    try:
        found = path.stat()
        return _seam(path, found.st_size, found.st_mtime_ns)
    except (GemmahubError, OSError):
        return Seam()


@lru_cache(maxsize=4096)
def _seam(path: Path, size: int, changed: int) -> Seam:
    """Raises: GemmahubError, OSError."""
    del changed  # another file under this name is looked at again
    with LocalFile(path) as source:
        keys = _Head(source.read(0, min(_READ, size, source.size)))
        architecture = keys.text(_ARCHITECTURE)
        if architecture != "clip":
            drafts = is_drafter(architecture)
            name = b".embedding_length_out" if drafts else b".embedding_length"
            width = keys.number(architecture.encode() + name)
            family = _DRAFTS.sub("", architecture) if drafts else architecture
            return Seam(frozenset({width} if width else ()), family, DRAFTER if drafts else "")
        type_ = next(filter(None, map(keys.text, _TYPES)), "")
        of = _OF_GEMMA.fullmatch(type_)
        widths = {width for width in map(keys.number, _WIDTHS) if width}
        if not widths:
            tensors = read_gguf(source).tensors
            widths = {n for t in tensors if t.name.startswith("mm.") for n in t.shape if n > 1}
    return Seam(frozenset(widths), of[1] if of else "", PROJECTOR)


class _Head:
    """The first bytes of a GGUF file, searched for keys."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order: Literal["big", "little"] = "big" if data[4:6] == b"\0\0" else "little"

    def text(self, key: bytes) -> str:
        """A short string; "" where there is none."""
        at = self._value(key)
        if at < 0 or self._whole(at, _TYPE) != _IS_STRING:
            return ""
        begin, length = at + _TYPE + _STRING, self._whole(at + _TYPE, _STRING)
        return self._data[begin : begin + min(length, _LONGEST)].decode(errors="replace")

    def number(self, key: bytes) -> int | None:
        """A whole number; None where there is none."""
        at = self._value(key)
        length = 0 if at < 0 else _INTEGERS.get(self._whole(at, _TYPE), 0)
        return self._whole(at + _TYPE, length) if length else None

    def _value(self, key: bytes) -> int:
        """Where the value of a key begins, with its type; -1 without one."""
        found = self._data.find(len(key).to_bytes(_STRING, self._order) + key)
        return found if found < 0 else found + _STRING + len(key)

    def _whole(self, begin: int, length: int) -> int:
        return int.from_bytes(self._data[begin : begin + length], self._order)


def _other_size(one: str, other: str) -> bool:
    """Whether two names say sizes, and none in common."""
    sizes = model_sizes(one), model_sizes(other)
    return bool(sizes[0] and sizes[1]) and not sizes[0] & sizes[1]


def _words(name: str) -> set[str]:
    return set(_WORD.findall(Path(name).stem.lower()))
