"""Headers of models that lie in a repository: read by ranges, remembered, written down sparse."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gemmahub.errors import FormatError, IntegrityError
from gemmahub.formats.detect import open_model
from gemmahub.formats.folder import LARGEST_TEXT
from gemmahub.formats.gguf import read_gguf
from gemmahub.formats.safetensors import read_safetensors
from gemmahub.formats.sparse import write_sparse
from gemmahub.hub.records import RemoteModel
from gemmahub.hub.remote_file import RangedFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gemmahub.formats.detect import ModelFile
    from gemmahub.formats.source import OpenSource
    from gemmahub.hub.client import HubClient
    from gemmahub.hub.records import HubFile, HubModel
    from gemmahub.hub.remembered import Remembered

# What a model folder is described by. Of the files with a chat template the first is enough.
_DESCRIBING: Final = ("config.json", "model.safetensors.index.json")
_TEMPLATES: Final = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")


class Headers:
    """Reads headers of files in repositories, each byte once; remembers them by content.

    Methods raise what :class:`RangedFile` raises, and what the readers of the format raise:
    FormatError, IntegrityError.
    """

    def __init__(self, client: HubClient, remembered: Remembered) -> None:
        self._client = client
        self._remembered = remembered

    def open(self, file: HubFile) -> RangedFile:
        """The file as a source, with what is remembered of its beginning."""
        known = self._remembered.get(_key(file)) or b""
        return RangedFile(self._client, file, known if len(known) <= file.size else b"")

    def forget(self, file: HubFile) -> None:
        """Forgets what is remembered of a file: it was not the beginning of it."""
        self._remembered.put(_key(file), b"")

    def knows(self, model: HubModel) -> bool:
        """Whether the headers of all its files are remembered."""
        return all(self._remembered.get(_key(file)) for file in _described_by(model))

    def read(self, model: HubModel) -> RemoteModel:
        """The model as its headers describe it; only these are fetched.

        A remembered header that makes no sense is forgotten and fetched again.
        """
        before = replace(self._client.traffic)
        try:
            found = self._read(model, remembered=True)
        except (IntegrityError, FormatError):
            if not any(self._remembered.get(_key(file)) for file in model.files):
                raise
            found = self._read(model, remembered=False)
        traffic = self._client.traffic
        places = {file.name: file.path for file in model.files}
        return RemoteModel(
            source=model,
            model=replace(found, files=tuple(Path(places[path.name]) for path in found.files)),
            moved_bytes=traffic.received_bytes - before.received_bytes,
            requests=traffic.requests - before.requests,
        )

    def write(self, model: HubModel, folder: Path) -> Path:
        """Writes each file of the model into ``folder``: header, then nothing up to its length.

        The files have their full length and take a few MB on disk; an engine reads them with
        ``no_alloc``. Returns the path that names the model: the first file of a GGUF, else
        ``folder``.
        """
        folder.mkdir(parents=True, exist_ok=True)
        for file in _described_by(model):
            with self.open(file) as source:
                self._fill(source)
                write_sparse(folder / file.name, source.prefix, file.size)
        return folder / model.files[0].name if model.format == "gguf" else folder

    def _read(self, model: HubModel, *, remembered: bool) -> ModelFile:
        sources = {
            file.name: self.open(file) if remembered else RangedFile(self._client, file)
            for file in _described_by(model)
        }
        known = {name: len(source.prefix) for name, source in sources.items()}

        def open_file(path: Path) -> OpenSource:
            return sources[path.name]

        with tempfile.TemporaryDirectory(prefix="gemmahub-") as scratch:
            # Names for the readers, which look at the folder to find parts and shards.
            folder = Path(scratch) / model.repository.name.rpartition("/")[2]
            folder.mkdir()
            for name, source in sources.items():
                text = name in (*_DESCRIBING, *_TEMPLATES)
                (folder / name).write_bytes(source.read(0, source.size) if text else b"")
            whole = model.format != "gguf" and _has_config(model)
            found = open_model(folder if whole else folder / model.files[0].name, open_file)
        for name, source in sources.items():
            if len(source.prefix) > known[name]:
                self._remembered.put(_key(source.file), source.prefix)
        return found

    def _fill(self, source: RangedFile) -> None:
        """Reads the header of a source, so that its prefix holds all of it."""
        before = len(source.prefix)
        if source.name.lower().endswith(".gguf"):
            end = read_gguf(source).data_offset
        elif source.name.endswith(".safetensors"):
            end = read_safetensors(source).data_offset
        else:
            end = source.size
        source.read(0, min(end, source.size))
        if len(source.prefix) > before:
            self._remembered.put(_key(source.file), source.prefix)


def _described_by(model: HubModel) -> Sequence[HubFile]:
    """The files whose headers (or texts) describe a model."""
    beside = {file.name: file for file in model.companions if file.size <= LARGEST_TEXT}
    texts = [beside[name] for name in _DESCRIBING if name in beside]
    templates = [beside[name] for name in _TEMPLATES if name in beside]
    return [*model.files, *texts, *templates[:1]]


def _has_config(model: HubModel) -> bool:
    return any(file.name == _DESCRIBING[0] for file in model.companions)


def _key(file: HubFile) -> str:
    """What a file's content is known by: its hash, else its place at a commit."""
    content = file.sha256 or file.blob
    return content or f"{file.repository}@{file.commit}/{file.path}"
