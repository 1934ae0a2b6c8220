"""Reads ``.sbs`` files: the precision of each tensor, the configuration, the tokenizer.

Two kinds of contents lie in the same container (google/gemma.cpp gemma/model_store.cc@0acc653c):
the single file of May 2025 and later has the blobs ``config``, ``tokenizer`` and ``toc``, a table
of the tensors; older files have a letter for the type before each tensor's name, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.errors import IntegrityError
from gemmahub.formats.reader import ModelFile
from gemmahub.formats.tensor import Tensor
from gemmahub.text import format_bytes, one_line
from gemmahub_gemmacpp.blobs import MAGIC, Blob, check_end, read_blob, read_blobs
from gemmahub_gemmacpp.config import ModelConfig, read_config
from gemmahub_gemmacpp.fields import Fields, Words
from gemmahub_gemmacpp.names import role_name
from gemmahub_gemmacpp.weight_types import LETTERS, bytes_of, type_name, weights_of

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.source import ByteSource, Opener

FORMAT: Final = "sbs"
CONFIG, TOC, TOKENIZER = "config", "toc", "tokenizer"
_MOST_CONFIG: Final = 4 * 1024 * 1024
_MOST_TOC: Final = 32 * 1024 * 1024
_OLD: Final = (
    "a file from before 2025: it has neither the model's configuration nor its tokenizer; "
    "gemma.cpp's io/migrate_weights makes a single file of both"
)
_TURNS: Final = "gemma.cpp puts prompts into turns by itself"
_NO_WORDS: Final = "it has no tokenizer: gemma needs the option tokenizer=PATH"


@dataclass(frozen=True, slots=True)
class SbsModel:
    """What an ``.sbs`` file says; ``config`` is None for one of before 2025."""

    tensors: tuple[Tensor, ...]
    config: ModelConfig | None
    has_tokenizer: bool

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors, as they are stored."""
        return sum(tensor.bytes or 0 for tensor in self.tensors)


def read_sbs(source: ByteSource) -> SbsModel:
    """Directory, configuration and tensor table of a file; no weights are read.

    Raises: FormatError, IntegrityError.
    """
    blobs = read_blobs(source)
    check_end(source, blobs)
    if TOC not in blobs:
        return SbsModel(_by_letters(blobs), None, has_tokenizer=False)
    config = None
    if CONFIG in blobs:
        config = read_config(read_blob(source, blobs[CONFIG], _MOST_CONFIG), source.name)
    tensors = _by_table(read_blob(source, blobs[TOC], _MOST_TOC), blobs, source.name)
    return SbsModel(tensors, config, TOKENIZER in blobs)


class SbsReader:
    """The format ``sbs``."""

    name: str = FORMAT
    suffixes: tuple[str, ...] = (".sbs",)

    def reads(self, path: Path) -> bool:
        """By the first bytes, ``SBS`` and a line break."""
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC

    def tensors(self, source: ByteSource) -> tuple[Tensor, ...]:
        """From the table of the file. Raises: FormatError, IntegrityError."""
        return read_sbs(source).tensors

    def model(self, path: Path, open_file: Opener) -> ModelFile:
        """The file with what it says of the model. Raises: FormatError, IntegrityError; what
        ``open_file`` raises."""
        with open_file(path) as source:
            found, size = read_sbs(source), source.size
        config = found.config
        notes = [] if config else [_OLD]
        if config and config.takes_turns:
            notes.append(_TURNS)
        if config and not found.has_tokenizer:
            notes.append(_NO_WORDS)
        return ModelFile(
            FORMAT,
            (path,),
            size,
            found.tensors,
            metadata=config.metadata() if config else {},
            notes=tuple(notes),
            label=config.weight if config else None,
        )


def _by_table(content: bytes, blobs: dict[str, Blob], name: str) -> tuple[Tensor, ...]:
    """One record a tensor (util/mat.h@02548acc, ``MatPtr::VisitFields``)."""
    words = Words(content, f"the tensor table of {one_line(name)}")
    found: dict[str, Tensor] = {}
    while words.at < words.limit:
        fields = Fields(words)
        tensor, kind = fields.text(), type_name(fields.number())
        fields.number(), fields.number()  # element_bytes and num_elements follow from the rest
        rows, cols = fields.number(), fields.number()
        fields.real()
        stride = fields.number(cols)
        fields.finish()
        blob = blobs.get(tensor)
        if blob is None or tensor in found:
            why = "occurs twice" if tensor in found else "has no blob"
            raise words.damaged(f"the tensor {one_line(tensor)!r} {why}")
        possible = {bytes_of(kind, rows * cols), bytes_of(kind, rows * stride)}
        if None not in possible and blob.size not in possible:
            raise words.damaged(
                f"the tensor {one_line(tensor)!r} is {rows:,} x {cols:,} of {kind}, which is "
                f"not {format_bytes(blob.size)}"
            )
        shape = (cols, rows) if rows != 1 else (cols,)
        found[tensor] = Tensor(role_name(tensor), kind, shape, rows * cols, blob.size)
    if not found:
        raise IntegrityError(f"{one_line(name)} has no tensors", "Fetch the file again.")
    return tuple(found.values())


def _by_letters(blobs: dict[str, Blob]) -> tuple[Tensor, ...]:
    """Of files of before 2025: types by the names' first letters, weights by the bytes."""
    found = []
    for blob in blobs.values():
        kind = LETTERS.get(blob.name[:1])
        if kind is None or blob.name == "Fscales":
            continue
        weights = weights_of(kind, blob.size) or 0
        found.append(Tensor(role_name(blob.name[1:]), kind, (weights,), weights, blob.size))
    if not found:
        raise IntegrityError(
            "the file has no tensors that are known", "Fetch another file of the model."
        )
    return tuple(found)
