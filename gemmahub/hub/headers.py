"""Headers of files in repositories: read by ranges, each byte once, and remembered by content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.formats.remote import describing, read_remote
from gemmahub.hub.remote_file import RangedFile

if TYPE_CHECKING:
    from gemmahub.formats.reader import ModelFile
    from gemmahub.hub.client import HubClient
    from gemmahub.hub.records import HubFile, HubModel
    from gemmahub.hub.remembered import Remembered


class Headers:
    """Opens files with what is remembered of their beginnings."""

    def __init__(self, client: HubClient, remembered: Remembered) -> None:
        self._client = client
        self._remembered = remembered

    def open(self, file: HubFile) -> RangedFile:
        """The file as a source. What was read of it is remembered once it is closed without an
        error."""
        known = self._remembered.get(_key(file)) or b""
        known = known if len(known) <= file.size else b""
        return RangedFile(self._client, file, known, keep=self._keep)

    def forget(self, file: HubFile) -> bool:
        """Forgets what is remembered of a file: it was not its beginning. False: it was nothing."""
        if not self._remembered.get(_key(file)):
            return False
        self._remembered.put(_key(file), b"")
        return True

    def recall(self, model: HubModel) -> ModelFile | None:
        """The model as its headers describe it, where all of them are remembered; fetches nothing.

        Raises: FormatError, IntegrityError.
        """
        weights = [file.path for file in model.files]
        files = {file.path: file for file in (*model.files, *model.companions)}
        names = describing(weights, [(file.path, file.size) for file in model.companions])
        if not all(self._remembered.get(_key(files[name])) for name in names):
            return None
        return read_remote(model.name, weights, names, lambda name: self.open(files[name]))

    def _keep(self, source: RangedFile) -> None:
        self._remembered.put(_key(source.file), source.prefix)


def _key(file: HubFile) -> str:
    """What a file's content is known by: its hash, else its place at a commit."""
    content = file.sha256 or file.blob
    return content or f"{file.repository}@{file.commit}/{file.path}"
