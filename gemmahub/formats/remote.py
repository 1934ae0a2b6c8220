"""Models whose files are elsewhere: read by their headers, and written down sparse."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError
from gemmahub.formats.cursor import FIRST_WINDOW
from gemmahub.formats.detect import open_model
from gemmahub.formats.folder import CONFIG, LARGEST_TEXT, QUANTIZATION_CONFIG
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.safetensors import read_safetensors
from gemmahub.formats.source import Closing
from gemmahub.formats.sparse import write_sparse
from gemmahub.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gemmahub.formats.reader import ModelFile, Readers
    from gemmahub.formats.source import OpenSource

_GGUF: Final = ".gguf"
_BEGINNING: Final = 4096  # of a file with tensors, in bytes: what a reader tells a format by
# What a model folder is described by. Of the files with a chat template the first is enough.
_DESCRIBING: Final = (CONFIG, QUANTIZATION_CONFIG, "model.safetensors.index.json")
_TEMPLATES: Final = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")


def describing(weights: Iterable[str], others: Iterable[tuple[str, int]]) -> list[str]:
    """The files whose headers (or texts) describe a model, by name: all of its weights, and of its
    ``others``, names with sizes in bytes, those that say what it is."""
    texts = {Path(name).name: name for name, size in others if size <= LARGEST_TEXT}
    found = [texts[name] for name in _DESCRIBING if name in texts]
    templates = [texts[name] for name in _TEMPLATES if name in texts]
    return [*weights, *found, *templates[:1]]


def read_remote(
    name: str,
    weights: Sequence[str],
    files: Iterable[str],
    open_file: Callable[[str], OpenSource],
    further: Readers = tuple,
) -> ModelFile:
    """A model as its headers describe it; only these are read.

    ``name`` is what its folder would be called, ``files`` are those that :func:`describing` names,
    the ``weights`` among them; ``open_file`` opens one by its name, ``further`` finds the readers
    of plugins. Raises: FormatError, IntegrityError, and what opening and reading raise.
    """
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="gemmahub-") as scratch:
        opened = {Path(n).name: stack.enter_context(open_file(n)) for n in files}
        # For the readers, which look at the folder to find parts and shards, and at beginnings.
        folder = Path(scratch) / name
        folder.mkdir()
        for file, source in opened.items():
            text = file in (*_DESCRIBING, *_TEMPLATES)
            length = source.size if text else min(source.size, _BEGINNING)
            (folder / file).write_bytes(source.read(0, length))
        whole = CONFIG in opened and not weights[0].lower().endswith(_GGUF)
        path = folder if whole else folder / Path(weights[0]).name
        found = open_model(path, lambda part: _Lent(opened[part.name]), further)
    places = {Path(n).name: Path(n) for n in weights}
    return replace(found, files=tuple(places[path.name] for path in found.files))


def write_remote(
    weights: Sequence[str], files: Iterable[str], open_file: Callable[[str], OpenSource], to: Path
) -> Path:
    """Writes each file into the folder ``to``: its header, then nothing up to its length.

    They have their full length and take a few MB on disk; an engine reads them with ``no_alloc``.
    Returns the path that names the model: the first file of a GGUF, else ``to``. Raises: as
    :func:`read_remote`; OSError.
    """
    to.mkdir(parents=True, exist_ok=True)
    for name in files:
        with open_file(name) as source:
            header = source.read(0, min(_header_bytes(name, source), source.size))
            write_sparse(to / Path(name).name, header, source.size)
    return to / Path(weights[0]).name if weights[0].lower().endswith(_GGUF) else to


def _header_bytes(name: str, source: OpenSource) -> int:
    if name.lower().endswith(_GGUF):
        return read_gguf(source).data_offset
    if name.endswith(".safetensors"):
        return read_safetensors(source).data_offset
    if source.size > LARGEST_TEXT:
        raise FormatError(
            f"the end of the header of {one_line(name)} is unknown",
            "Download the file: then it can be planned.",
        )
    return source.size


class _Lent(Closing):
    """A source that who opened it closes, not who reads it: readers open a file several times."""

    def __init__(self, source: OpenSource) -> None:
        self._source = source
        self.name, self.size = source.name, source.size
        self.first_window: int = getattr(source, "first_window", FIRST_WINDOW)

    def read(self, offset: int, length: int) -> bytes:
        return self._source.read(offset, length)

    def close(self) -> None:
        """Nothing: it is read again."""
