"""A file of a repository as a source of bytes, read by HTTP ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from gemmahub.formats.source import PrefixSource
from gemmahub.http.addresses import REDIRECTS, same_origin
from gemmahub.http.values import content_range
from gemmahub.hub import failures
from gemmahub.hub.addresses import redirect_of
from gemmahub.hub.client import Later
from gemmahub.text import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    import httpx2

    from gemmahub.hub.client import HubClient
    from gemmahub.hub.records import HubFile

# A vocabulary follows a few KB of metadata, and is then read in windows of the right size.
GGUF_WINDOW: Final = 64 * 1024
# The header of one safetensors file of many takes about 10 KB.
SAFETENSORS_WINDOW: Final = 16 * 1024
_EXPIRED: Final = frozenset({401, 403, 410})  # a signed address that was made some time ago


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the bytes are, once redirects are followed."""

    url: str
    signed: bool


class RangedFile(PrefixSource):
    """Over HTTP; the header that was read can be written down as ``prefix``.

    ``prefix`` are bytes of the file's beginning that are known already; ``keep`` gets the file
    where more of it was read without an error. Reading raises NotFound,
    Gated or NetworkError; NetworkError also for a server that ignores ranges, before more than a
    window of the file has come, and for a file that changed since it was looked up.
    """

    def __init__(
        self,
        client: HubClient,
        file: HubFile,
        prefix: bytes = b"",
        keep: Callable[[RangedFile], None] | None = None,
    ) -> None:
        window = SAFETENSORS_WINDOW if file.path.endswith(".safetensors") else GGUF_WINDOW
        super().__init__(file.name, file.size, window, prefix)
        self.file = file
        self._client = client
        self._keep = keep
        self._known = len(prefix)
        self._place: _Place | None = None
        self._content_etag = ""
        self._hops = 0

    def __exit__(self, *exc_info: object) -> None:
        if self._keep is not None and exc_info[0] is None and len(self._prefix) > self._known:
            self._keep(self)
            self._known = len(self._prefix)
        self.close()

    def _extend(self, end: int) -> None:
        """Fetches what is missing of the first ``end`` bytes."""
        self._client.patiently(
            lambda: self._fetch(end), self._client.endpoint, lambda: len(self._prefix)
        )

    def _fetch(self, end: int) -> None:
        """What is missing; what comes is kept, also when the connection breaks."""
        while len(self._prefix) < end:
            for piece in self.pieces(len(self._prefix), end):
                self._prefix += piece

    def pieces(self, begin: int, end: int) -> Generator[bytes]:
        """The bytes from ``begin`` to ``end`` as they come, by one request.

        Nothing where the answer only told where to ask instead: ask again. Raises what a try may
        raise: :class:`Later`, errors of the connection, NetworkError, NotFound, Gated; of these
        RangesIgnored for a server that would send all of it instead.
        """
        place = self._located()
        wanted = {"Range": f"bytes={begin}-{end - 1}"}
        left = end - begin
        with self._client.send("GET", place.url, headers=wanted, length=left) as response:
            if (target := redirect_of(response, place.url)) is not None:
                self._place = self._further(target)
                return
            if place.signed and response.status_code in _EXPIRED:
                self._place = None
                raise Later(failures.odd_answer(place.url, "its address for the file has expired"))
            if response.status_code == 416:
                raise failures.changed(self.name, "it is shorter now")
            self._client.check(response, self.file.repository, self.file.path)
            self._check_range(response, place, begin, end)
            for piece in response.iter_raw():
                self._client.count(len(piece))
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    break
        if left > 0:
            raise Later(failures.odd_answer(place.url, "it sent less than it announced"))

    def _check_range(self, response: httpx2.Response, place: _Place, begin: int, end: int) -> None:
        """Whether the answer is the part that was asked for, of the file that was looked up."""
        headers = response.headers
        whole = response.status_code == 200 and begin == 0 and end == self.size
        if not whole and response.status_code != 206:
            raise failures.ignores_ranges(place.url, self.name, format_bytes(self.size))
        if headers.get("content-encoding", "identity") != "identity":
            raise failures.odd_answer(place.url, "it compresses parts of a file")
        if whole:
            length = headers.get("content-length", str(self.size))
            if length != str(self.size):
                raise failures.changed(
                    self.name, f"its size is no longer {format_bytes(self.size)}"
                )
        else:
            found = content_range(headers.get("content-range", ""))
            if found is None or found[0] != begin or found[1] >= end:
                raise failures.odd_answer(place.url, "it sends another part than was asked for")
            if found[2] != self.size:
                raise failures.changed(
                    self.name, f"its size is no longer {format_bytes(self.size)}"
                )
        etag = headers.get("etag", "")
        if self._content_etag and etag and etag != self._content_etag:
            raise failures.changed(self.name, "its etag has changed")
        self._content_etag = self._content_etag or etag

    def _located(self) -> _Place:
        """Where the bytes are; asked once, and again when a signed address has expired."""
        if self._place is None:
            self._place = self._locate()
        return self._place

    def _further(self, target: str) -> _Place:
        """Another address for the same bytes: a mirror sends to the hub, which sends further."""
        self._hops += 1
        if self._hops > REDIRECTS:
            raise failures.odd_answer(target, "it redirects endlessly")
        return _Place(target, signed=True)

    def _locate(self) -> _Place:
        file, client = self.file, self._client
        url = f"{client.endpoint}/{file.repository}/resolve/{file.commit}/{quote(file.path)}"
        for _ in range(REDIRECTS):
            with client.send("HEAD", url) as response:
                client.check(response, file.repository, file.path)
                self._check_identity(response.headers)
                target = redirect_of(response, url)
                if target is not None and same_origin(target, client.endpoint):
                    url = target
                    continue
                # What says where the bytes are says of which commit: found out before they come.
                if not response.headers.get("x-repo-commit"):
                    raise failures.no_commit(url, self.name)
                return _Place(target or url, signed=target is not None)
        raise failures.odd_answer(url, "it redirects endlessly")

    def _check_identity(self, headers: Mapping[str, str]) -> None:
        """Whether the hub still means the file that was looked up."""
        commit, size = headers.get("x-repo-commit"), headers.get("x-linked-size")
        etag = headers.get("x-linked-etag", "").removeprefix("W/").strip('"')
        if commit and commit != self.file.commit:
            raise failures.changed(self.name, "its commit has changed")
        if size and size != str(self.file.size):
            raise failures.changed(
                self.name, f"its size is no longer {format_bytes(self.file.size)}"
            )
        if etag and self.file.sha256 and len(etag) == 64 and etag != self.file.sha256:
            raise failures.changed(self.name, "its sha256 has changed")
