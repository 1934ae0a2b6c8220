"""The formats that gemmahub reads itself, each a reader like those of plugins."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from gemmahub.errors import GemmahubError, NotFound
from gemmahub.formats.folder import CONFIG
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.kinds import MODELS, PIECE, WHAT, kind_of
from gemmahub.formats.layouts import with_packed_joined
from gemmahub.formats.mlx import read_model_folder
from gemmahub.formats.reader import ModelFile
from gemmahub.formats.safetensors import read_safetensors
from gemmahub.formats.sniff import GGUF_MAGIC, HEAD_BYTES, looks_like_safetensors
from gemmahub.formats.source import LocalFile
from gemmahub.formats.split import gguf_parts, read_gguf_files, split_key
from gemmahub.formats.tensor import UNKNOWN_PACKING
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gemmahub.formats.reader import ModelReader
    from gemmahub.formats.source import ByteSource, Opener
    from gemmahub.formats.tensor import Tensor

_OF_A_FOLDER: Final = re.compile(r"model(-[0-9]{5}-of-[0-9]{5})?\.safetensors")
_NAMED_FILES: Final = 8


class GgufReader:
    """GGUF: one file, any part of a split one, or a folder with one model."""

    name: Final = "gguf"
    suffixes: Final = (".gguf",)
    made_by: Final = ""

    def reads(self, path: Path) -> bool:
        """By its first bytes; a folder that has such files, and is no model folder itself.

        Raises: NotFound, FormatError.
        """
        if is_folder(path):
            files = _files_in(path)
            return bool(_ggufs(files)) and not _is_model_folder(path, files)
        return _head(path).startswith(GGUF_MAGIC)

    def tensors(self, source: ByteSource) -> tuple[Tensor, ...]:
        """Those of one file. Raises: FormatError, IntegrityError."""
        return read_gguf(source).tensors

    def model(self, path: Path, open_file: Opener = LocalFile) -> ModelFile:
        """With all its parts. Raises: NotFound, FormatError, IntegrityError."""
        if is_folder(path):
            path = _only_model_in(path, open_file)
        found = read_gguf_files(gguf_parts(path), open_file)
        return ModelFile(
            self.name,
            found.files,
            found.size_bytes,
            found.tensors,
            dict(found.metadata),
            found.chat_template,
            found.notes,
            big_endian=found.parts[0].big_endian,
        )


class ModelFolderReader:
    """Folders of ``config.json`` and safetensors, as MLX and Transformers write them.

    One whose weights are not packed, and that MLX did not write, is called "safetensors".
    """

    name: Final = "mlx"
    suffixes: Final = ()
    made_by: Final = ""

    def reads(self, path: Path) -> bool:
        """A folder with safetensors, or one of its files of the usual names. Raises: NotFound."""
        if is_folder(path):
            return _is_model_folder(path, _files_in(path))
        return bool(_OF_A_FOLDER.fullmatch(path.name)) and (path.parent / CONFIG).is_file()

    def tensors(self, source: ByteSource) -> tuple[Tensor, ...]:
        """Those of one file, as they are stored. Raises: FormatError, IntegrityError."""
        return read_safetensors(source).tensors

    def model(self, path: Path, open_file: Opener = LocalFile) -> ModelFile:
        """The whole folder. Raises: NotFound, FormatError, IntegrityError."""
        found = read_model_folder(path if is_folder(path) else path.parent, open_file)
        return ModelFile(
            found.format,
            found.files,
            found.size_bytes,
            found.tensors,
            dict(found.config),
            found.chat_template,
            found.notes,
        )


class SafetensorsReader:
    """A safetensors file without the folder that it belongs to."""

    name: Final = "safetensors"
    suffixes: Final = (".safetensors",)
    made_by: Final = ""

    def reads(self, path: Path) -> bool:
        """By its first bytes, or its name. Raises: NotFound, FormatError."""
        if is_folder(path):
            return False
        return path.suffix.lower() in self.suffixes or looks_like_safetensors(_head(path))

    def tensors(self, source: ByteSource) -> tuple[Tensor, ...]:
        """Those of the file, as they are stored. Raises: FormatError, IntegrityError."""
        return read_safetensors(source).tensors

    def model(self, path: Path, open_file: Opener = LocalFile) -> ModelFile:
        """The one file. Raises: NotFound, FormatError, IntegrityError."""
        with open_file(path) as source:
            found = read_safetensors(source)
        tensors = with_packed_joined({tensor.name: tensor for tensor in found.tensors}, {})
        packed = any(tensor.type.startswith(UNKNOWN_PACKING) for tensor in tensors)
        note = f"read without its {CONFIG}: the packing of its weights is unknown"
        return ModelFile(
            "mlx" if found.metadata.get("format") == "mlx" else self.name,
            (path,),
            found.size_bytes,
            tensors,
            dict(found.metadata),
            notes=(note,) if packed else (),
        )


BUILT_IN: Final[tuple[ModelReader, ...]] = (GgufReader(), ModelFolderReader(), SafetensorsReader())
"""In the order in which they are asked."""


def is_folder(path: Path) -> bool:
    """Whether it is one; what cannot be looked at is none, and opening it says what is wrong."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _head(path: Path) -> bytes:
    with LocalFile(path) as source:
        return source.read(0, min(HEAD_BYTES, source.size))


def _files_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / entry.name for entry in entries if entry.is_file())
    except OSError as error:
        raise NotFound(
            f"the folder {one_line(str(folder))} cannot be read: {error.strerror}",
            "Give yourself read permission for it.",
        ) from error


def _ggufs(files: Iterable[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in GgufReader.suffixes]


def _is_model_folder(folder: Path, files: Sequence[Path]) -> bool:
    """Without its config it is one where no GGUF file lies beside the weights."""
    weights = any(path.suffix in SafetensorsReader.suffixes for path in files)
    return weights and (folder / CONFIG in files or not _ggufs(files))


def _only_model_in(folder: Path, open_file: Opener) -> Path:
    """One file of the one model in a folder. Raises: NotFound where it holds none, or several."""
    ggufs = _ggufs(_files_in(folder))
    models: dict[object, Path] = {}
    for path in ggufs:
        key = split_key(path.name)
        models.setdefault((key[0], key[2]) if key else path.name, path)
    kinds = {path: _kind(path, open_file) for path in models.values()}
    found = [path for path, kind in kinds.items() if kind in MODELS]
    found = found or [path for path, kind in kinds.items() if kind == PIECE]
    if len(found) == 1:
        return found[0]
    shown = one_line(str(folder))
    named = ", ".join(one_line(path.name, 120) for path in (found or ggufs)[:_NAMED_FILES])
    more = len(found or ggufs) - _NAMED_FILES
    named += f" and {more:,} more" if more > 0 else ""
    if found:
        problem = f"the folder {shown} has {len(found):,} models"
        raise NotFound(problem, f"Name one of its files: {named}.")
    first = WHAT[next(iter(kinds.values()))].partition(":")[0]
    raise NotFound(
        f"there is no model in the folder {shown}, only {first}",
        f"It contains {named}; the model itself is another file.",
    )


def _kind(path: Path, open_file: Opener) -> str:
    """By the header; of a part of a model, and of a damaged file, by name."""
    if split_key(path.name) is not None:
        return kind_of(path.name)
    try:
        with open_file(path) as source:
            header = read_gguf(source)
    except GemmahubError:  # what is wrong with it is said when it is opened
        return kind_of(path.name)
    return kind_of(path.name, header.metadata, header.tensors)
