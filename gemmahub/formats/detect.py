"""One entry for any path: each reader is asked whether the file or folder is of its format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.errors import GemmahubError, NotFound
from gemmahub.formats.built_in import BUILT_IN, is_folder
from gemmahub.formats.folder import CONFIG
from gemmahub.formats.reader import BUILT_IN_SUFFIXES
from gemmahub.formats.sniff import not_a_model
from gemmahub.formats.source import LocalFile
from gemmahub.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from gemmahub.formats.reader import ModelFile, Readers
    from gemmahub.formats.source import Opener


def open_model(path: Path, open_file: Opener = LocalFile, further: Readers = tuple) -> ModelFile:
    """The model at ``path``: a file, one part of a split file, or a folder.

    ``open_file`` opens the files with tensors. For a model that lies elsewhere it gives the bytes
    of the files of which only the beginning is at ``path``. ``further`` finds the readers of
    plugins: they are asked last, and not about files that are named as those of our own formats.

    Raises :class:`NotFound` where there is no model, :class:`FormatError` for a file of another
    kind, and :class:`IntegrityError` for one that is damaged or incomplete.
    """
    for reader in BUILT_IN:
        if reader.reads(path):
            return reader.model(path, open_file)
    failed: GemmahubError | None = None
    for reader in further() if path.suffix.lower() not in BUILT_IN_SUFFIXES else ():
        try:
            found = reader.reads(path)
        except GemmahubError as error:
            failed = failed or error
            continue
        if found:
            return reader.model(path, open_file)
    raise failed or _no_model(path, open_file)


def _no_model(path: Path, open_file: Opener) -> GemmahubError:
    if is_folder(path):
        return NotFound(
            f"there is no model in the folder {one_line(str(path))}",
            f"Name a .gguf file, or a folder with {CONFIG} and *.safetensors.",
        )
    with open_file(path) as source:
        return not_a_model(source, "a GGUF or safetensors file")
