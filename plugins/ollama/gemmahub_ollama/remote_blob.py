"""A blob of a registry as a source of bytes, read by HTTP ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gemmahub.formats.source import PrefixSource

if TYPE_CHECKING:
    from gemmahub_ollama.place import TagAddress
    from gemmahub_ollama.registry import RegistryClient

_WINDOW: Final = 64 * 1024
"""A vocabulary follows a few KB of metadata, and is then read in windows of the right size."""


class RemoteBlob(PrefixSource):
    """Over HTTP. Reading raises NetworkError, Gated, NotFound and IntegrityError."""

    def __init__(
        self, client: RegistryClient, place: TagAddress, name: str, digest: str, size: int
    ) -> None:
        super().__init__(name, size, _WINDOW)
        self._client = client
        self._place = place
        self._digest = digest
        self._url = ""

    def close(self) -> None:
        """Gives the connection back; twice is fine."""
        self._client.close()

    def _extend(self, end: int) -> None:
        begin = len(self._prefix)
        for piece, url in self._client.part(
            self._place, self._digest, begin, end, self.size, self._url
        ):
            self._prefix += piece
            self._url = url
