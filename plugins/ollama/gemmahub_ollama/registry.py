"""Ollama's registry: manifests and blobs over HTTP, without any Ollama being installed.

The protocol is that of Docker's registry (distribution, HTTP API V2) with Ollama's own media types.
Source: ollama/ollama ``server/images.go`` (``pullModelManifest``), ``server/download.go``,
``types/model/name.go``. A blob's address sends on to a signed one elsewhere, which expires.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gemmahub.errors import (
    Gated,
    GemmahubError,
    IntegrityError,
    NetworkError,
    NotFound,
)
from gemmahub.http.addresses import REDIRECTS
from gemmahub.http.bodies import read_whole
from gemmahub.http.client import WebClient
from gemmahub.http.limits import WHOLE, ConnectFailed, ConnectionLost, Limits, NoAnswer, TooSlow
from gemmahub.http.values import content_range
from gemmahub.text import one_line
from gemmahub_ollama.place import MIRROR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    import httpx2

    from gemmahub.http.limits import Patience
    from gemmahub_ollama.place import TagAddress

_MANIFEST: Final = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.ollama.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json"
)
LIMITS: Final = Limits()
_LARGEST: Final = 4 << 20  # bytes of a manifest: what Docker's registry takes, too
_LARGEST_TEXT: Final = 64 * 1024
_LARGEST_PART: Final = 16 << 20  # bytes; a part of a blob up to this has to come in its time
_SLOWEST: Final = 4096  # bytes a second
_TRIES: Final = 3
_TRICKLES: Final = 2  # in a row: what a line brings in one is no sign that it works
_MUCH: Final = 1 << 20  # bytes that are
_EXPIRED: Final = frozenset({401, 403, 410})
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})


class RegistryClient:
    """Asks registries. ``requests`` and ``received_bytes`` count what was moved.

    Methods raise NetworkError, Gated, NotFound and IntegrityError.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.received_bytes = 0
        from gemmahub import __version__

        self._web = WebClient(headers={"User-Agent": f"gemmahub/{__version__}"})

    def close(self) -> None:
        """Give back connections; it can be used again, and twice is fine."""
        self._web.close()

    def __enter__(self) -> RegistryClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def manifest(self, place: TagAddress, digest: str | None = None) -> bytes:
        """The manifest of the place's tag, or of a sha256.

        Raises: NotFound when there is none.
        """
        wanted = place.tag if digest is None else f"sha256:{digest}"
        text = self._small(f"{place.url}/manifests/{wanted}", place, {"Accept": _MANIFEST})
        if digest is not None:
            check_sum(text, digest, "a manifest")
        return text

    def text(self, place: TagAddress, digest: str) -> str:
        """A small blob as text, checked against its digest."""
        found = self._small(f"{place.url}/blobs/sha256:{digest}", place, {}, _LARGEST_TEXT)
        check_sum(found, digest, "a part of the model")
        return found.decode("utf-8", "replace")

    def part(
        self, place: TagAddress, digest: str, begin: int, end: int, size: int, url: str = ""
    ) -> Iterator[tuple[bytes, str]]:
        """Bytes ``begin`` to ``end`` (exclusive) of a blob, in pieces, each with the address that
        gave it. ``url`` is such an address from before; where it has expired, a new one is got.
        """
        home = f"{place.url}/blobs/sha256:{digest}"
        tries, at, last = 0, begin, begin
        while at < end:
            most, enough = _TRIES, 1
            problem: GemmahubError = odd_answer(place, "it sent less than it announced")
            try:
                for piece, giver in self._range(place, url or home, at, end, size):
                    at += len(piece)
                    url = giver
                    yield piece, giver
                if at >= end:
                    return
            except (NoAnswer, ConnectionLost, ConnectFailed) as error:
                problem = error
            except TooSlow as error:
                if not error.transfer:
                    raise
                problem = error
                most, enough = _TRICKLES, _MUCH
            except _Expired:
                if url in ("", home):
                    raise refused(place, 403) from None
                url = ""
                continue
            if at >= last + enough:
                tries, last = 0, at
            tries += 1
            if tries >= most:
                raise problem

    def _range(
        self, place: TagAddress, url: str, begin: int, end: int, size: int
    ) -> Iterator[tuple[bytes, str]]:
        wanted = {"Range": f"bytes={begin}-{end - 1}"}
        patience = LIMITS.patience(place.host)
        with self._stream(url, patience, wanted) as response:
            status = response.status_code
            if status in _EXPIRED:
                raise _Expired
            if status == 404:
                raise NotFound(
                    f"{place.host} no longer has a part of {place.name}", "try another tag"
                )
            if status >= 400 and status != 416:
                raise refused(place, status)
            whole = status == 200 and begin == 0 and end == size
            found = content_range(response.headers.get("content-range", ""))
            if not whole and status == 200:
                raise NetworkError(
                    f"{place.host} ignores byte ranges: it would send the whole file",
                    "inspect it after downloading it: gemmahub pull",
                )
            if not whole and (found is None or (found[0], found[2]) != (begin, size)):
                raise changed(place)
            left = end - begin
            patience.as_transfer()
            patience.within(WHOLE + left / _SLOWEST if left <= _LARGEST_PART else None)
            for piece in response.iter_raw():
                self.received_bytes += len(piece)
                yield piece[:left], str(response.url)
                left -= len(piece)
                if left <= 0:
                    return

    def _small(
        self, url: str, place: TagAddress, headers: Mapping[str, str], most_bytes: int = _LARGEST
    ) -> bytes:
        patience = LIMITS.patience(place.host)
        with self._stream(url, patience, headers) as response:
            if response.status_code == 404:
                raise NotFound(f"{place.host} has no {place.name}", "check name and tag")
            if response.status_code >= 400:
                raise refused(place, response.status_code)
            return read_whole(response, most_bytes, self._count)

    def _count(self, length: int) -> None:
        self.received_bytes += length

    def _stream(
        self, url: str, patience: Patience, headers: Mapping[str, str]
    ) -> AbstractContextManager[httpx2.Response]:
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE:
            raise NetworkError(
                "the registry was not contacted: HF_HUB_OFFLINE is set",
                "installed models still work: gemmahub list",
            )
        self.requests += 1
        return self._web.open("GET", url, patience=patience, headers=headers, redirects=REDIRECTS)


class _Expired(Exception):
    """A signed address that gives nothing any more."""


def check_sum(content: bytes, digest: str, what: str) -> None:
    """Raises: IntegrityError where the content is not that of its digest."""
    wanted = digest.removeprefix("sha256:")
    if sha256(content).hexdigest() != wanted:
        raise IntegrityError(
            f"the registry sent {what} that does not match its digest {wanted[:12]}…",
            "try again; if it persists, do not trust this registry",
        )


def refused(place: TagAddress, status: int) -> NetworkError:
    """The error for an answer of 4xx or 5xx."""
    if status in (401, 403):
        return Gated(
            f"{place.host} asks for a login for {place.name}",
            f"ollama signin, then ollama pull {place.name}",
        )
    if status == 429:
        return NetworkError(f"{place.host} limits requests", "try again in a few minutes")
    return NetworkError(f"{place.host} refuses {place.name} (HTTP {status})", "try again later")


def changed(place: TagAddress) -> NetworkError:
    """The error for a blob that is another one than its manifest says."""
    return NetworkError(
        f"{place.host} has another file for {place.name} than its manifest states",
        "try again later",
    )


def odd_answer(place: TagAddress, problem: str) -> NetworkError:
    """The error for an answer that no registry gives."""
    return NetworkError(
        f"{place.host} sent an invalid answer: {one_line(problem, 160)}",
        f"check {MIRROR} and the proxy, which may have answered instead of the registry",
    )
