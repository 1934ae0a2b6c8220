"""One entry for any path: a GGUF file with its parts, a safetensors file, a model folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import GemmahubError, NotFound
from gemmahub.formats.folder import CONFIG
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.mlx import FolderModel, read_model_folder
from gemmahub.formats.projector import is_projector
from gemmahub.formats.safetensors import read_safetensors
from gemmahub.formats.sniff import HEAD_BYTES, looks_like_safetensors, not_a_model
from gemmahub.formats.source import LocalFile
from gemmahub.formats.split import gguf_parts, read_gguf_files, split_key
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.source import ByteSource, Opener
    from gemmahub.formats.tensor import Tensor

_PROJECTOR_ARCHITECTURE: Final = "clip"
_OF_A_FOLDER: Final = re.compile(r"model(-[0-9]{5}-of-[0-9]{5})?\.safetensors")
_NAMED_FILES: Final = 8


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on this disk, whatever its format.

    ``format`` is "gguf", "safetensors" or "mlx"; ``size_bytes`` is the size of ``files``, those
    with tensors. ``metadata`` is that of the file (GGUF: numbers, texts, tuples, ``ArrayRef`` for
    what was left in the file), or the folder's config. ``notes`` are for people.
    """

    format: str
    files: tuple[Path, ...]
    size_bytes: int
    tensors: tuple[Tensor, ...]
    metadata: dict[str, Any]
    chat_template: str | None
    notes: tuple[str, ...]


def open_model(path: Path, open_file: Opener = LocalFile) -> ModelFile:
    """The model at ``path``: a file, one part of a split file, or a folder.

    ``open_file`` opens the files with tensors. For a model that lies elsewhere it gives the bytes
    of the files whose names are at ``path``.

    Raises :class:`NotFound` where there is no model, :class:`FormatError` for a file of another
    kind, and :class:`IntegrityError` for one that is damaged or incomplete.
    """
    if _is_folder(path):
        return _open_folder(path, open_file)
    with open_file(path) as source:
        head = source.read(0, min(HEAD_BYTES, source.size))
        if head.startswith(b"GGUF"):
            source.close()
            return _open_gguf(path, open_file)
        if _OF_A_FOLDER.fullmatch(path.name) and (path.parent / CONFIG).is_file():
            return _from_folder(read_model_folder(path.parent, open_file))
        if looks_like_safetensors(head) or path.suffix.lower() == ".safetensors":
            return _from_safetensors(path, source)
        raise not_a_model(source, "a GGUF or safetensors file")


def _open_gguf(path: Path, open_file: Opener) -> ModelFile:
    model = read_gguf_files(gguf_parts(path), open_file)
    notes = [*model.notes]
    if model.metadata.get("general.architecture") == _PROJECTOR_ARCHITECTURE:
        notes.append("a vision or audio projector (mmproj), not a language model by itself")
    return ModelFile(
        format="gguf",
        files=model.files,
        size_bytes=model.size_bytes,
        tensors=model.tensors,
        metadata=dict(model.metadata),
        chat_template=model.chat_template,
        notes=tuple(notes),
    )


def _from_safetensors(path: Path, source: ByteSource) -> ModelFile:
    header = read_safetensors(source)
    return ModelFile(
        format="mlx" if header.metadata.get("format") == "mlx" else "safetensors",
        files=(path,),
        size_bytes=header.size_bytes,
        tensors=header.tensors,
        metadata=dict(header.metadata),
        chat_template=None,
        notes=(f"read without its {CONFIG}: packed weights count as they are stored",)
        if any(tensor.type == "U32" for tensor in header.tensors)
        else (),
    )


def _from_folder(model: FolderModel) -> ModelFile:
    return ModelFile(
        format=model.format,
        files=model.files,
        size_bytes=model.size_bytes,
        tensors=model.tensors,
        metadata=dict(model.config),
        chat_template=model.chat_template,
        notes=model.notes,
    )


def _open_folder(folder: Path, open_file: Opener) -> ModelFile:
    try:
        present = sorted(p for p in folder.iterdir() if p.is_file())
    except OSError as error:
        raise NotFound(
            f"the folder {one_line(str(folder))} cannot be read: {error.strerror}",
            "Give yourself read permission for it.",
        ) from error
    ggufs = [path for path in present if path.suffix.lower() == ".gguf"]
    weights = any(path.suffix == ".safetensors" for path in present)
    if weights and ((folder / CONFIG).is_file() or not ggufs):
        return _from_folder(read_model_folder(folder, open_file))
    models = _models_among(ggufs, open_file)
    if len(models) == 1:
        return _open_gguf(models[0], open_file)
    raise _no_one_model(folder, ggufs, models)


def _no_one_model(folder: Path, ggufs: list[Path], models: list[Path]) -> NotFound:
    """The error for a folder that holds no model, or several."""
    shown = one_line(str(folder))
    if not ggufs:
        return NotFound(
            f"there is no model in the folder {shown}",
            f"Name a .gguf file, or a folder with {CONFIG} and *.safetensors.",
        )
    named = ", ".join(one_line(p.name, 120) for p in (models or ggufs)[:_NAMED_FILES])
    more = len(models or ggufs) - _NAMED_FILES
    named += f" and {more:,} more" if more > 0 else ""
    if models:
        problem = f"the folder {shown} holds {len(models):,} models"
        return NotFound(problem, f"Name one of its files: {named}.")
    return NotFound(
        f"there is no language model in the folder {shown}, only a projector (mmproj)",
        f"It holds {named}; the model that belongs to it is another file.",
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # opening it as a file says what is wrong
        return False


def _models_among(ggufs: list[Path], open_file: Opener) -> list[Path]:
    """One file of each model, projectors left out."""
    models: dict[object, Path] = {}
    for path in ggufs:
        key = split_key(path.name)
        if not is_projector(path.name):
            models.setdefault((key[0], key[2]) if key else path.name, path)
    return [path for path in models.values() if not _holds_projector(path, open_file)]


def _holds_projector(path: Path, open_file: Opener) -> bool:
    try:
        with open_file(path) as source:
            architecture = read_gguf(source).metadata.get("general.architecture")
    except GemmahubError:
        return False  # what is wrong with it is said when it is opened
    return architecture == _PROJECTOR_ARCHITECTURE
