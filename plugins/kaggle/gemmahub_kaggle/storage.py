"""The bytes of files, from the storage that Kaggle's API sends to, by ranges.

The storage is Google Cloud Storage; an address there is signed for a while. Its answers carry
``x-goog-hash`` with the MD5 of the whole object, where it knows it
(cloud.google.com/storage/docs/xml-api/reference-headers); kagglehub 1.0 (``integrity.py``) reads it
from there. An address ends in ``NAME.zip`` where Kaggle packed the file (kagglehub ``clients.py``,
``_detect_auto_compressed_member_name``).
"""

from __future__ import annotations

import base64
import binascii
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from gemmahub.errors import GemmahubError, NetworkError, RangesIgnored
from gemmahub.formats.source import PrefixSource
from gemmahub.http.addresses import REDIRECTS, host_of
from gemmahub.http.limits import (
    WHOLE,
    ConnectFailed,
    ConnectionLost,
    ExchangeStopped,
    Limits,
    NoAnswer,
    TooSlow,
)
from gemmahub.http.values import content_range
from gemmahub.text import format_bytes, one_line
from gemmahub_kaggle.failures import changed, odd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx2

    from gemmahub.http.limits import Patience
    from gemmahub_kaggle.api import KaggleApi, ListedFile
    from gemmahub_kaggle.handle import Handle

_LIMITS: Final = Limits()
_EXPIRED: Final = frozenset({400, 401, 403, 410})  # a signed address that was made some time ago
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_LARGEST_PART: Final = 16 << 20  # bytes; a part of a file up to this has to come in its time
_SLOWEST: Final = 4096  # bytes a second
_TRIES: Final = 3
_TRICKLES: Final = 2  # in a row: what a line brings in one is no sign that it works
_MUCH: Final = 1 << 20  # bytes that are
_WINDOW: Final = 64 * 1024
_LOOK_SECONDS: Final = 0.2  # how often it is asked whether to stop


@dataclass(slots=True)
class StoredFile:
    """What is known of a file in the storage: its address, ``md5`` (hexadecimal), ``size``.

    ``zipped`` says that the storage has it packed, and ``size`` is that of the archive then.
    """

    name: str
    size: int
    url: str = ""
    md5: str = ""
    zipped: bool = False


class PackedInStorage(Exception):
    """The storage has the file packed: ``stored`` says how long the archive is."""

    def __init__(self, stored: StoredFile) -> None:
        super().__init__(stored.name)
        self.stored = stored


class Storage:
    """The files of one version. ``received_bytes`` counts what came of them; ``stopped`` is asked
    several times a second, also while nothing comes: then the exchange ends (ExchangeStopped).
    """

    def __init__(
        self, api: KaggleApi, handle: Handle, stopped: Callable[[], bool] | None = None
    ) -> None:
        self.received_bytes = 0
        self._api = api
        self._handle = handle
        self._stopped = stopped
        self._files: dict[str, StoredFile] = {}

    def file(self, listed: ListedFile) -> StoredFile:
        """What is known of a file."""
        return self._files.setdefault(listed.name, StoredFile(listed.name, listed.size))

    def look(self, listed: ListedFile) -> StoredFile:
        """The same, with its MD5 where the storage tells it: one byte is asked for, if nothing was.
        (The address is signed for GET, so that HEAD is refused.)

        Raises: as :meth:`pieces`.
        """
        found, before = self.file(listed), self.received_bytes
        if not found.url:
            with suppress(RangesIgnored):  # its head has told the MD5
                for _ in self.pieces(found, 0, 1):
                    pass
            self.received_bytes = before
        return found

    def pieces(self, file: StoredFile, begin: int, end: int) -> Iterator[bytes]:
        """Bytes ``begin`` to ``end`` (exclusive) of a file as they come; it goes on where the
        connection broke.

        Raises: PackedInStorage; NetworkError, RangesIgnored, Gated, NotFound; IntegrityError for
        a file of another size; ExchangeStopped.
        """
        tries, at, last, fresh = 0, begin, begin, False
        while at < end:
            most, enough = _TRIES, 1
            problem: GemmahubError = odd("it sent less than it announced")
            if not file.url:
                file.url = self._api.address(self._handle, file.name, self._stopped)
                fresh = True
            try:
                for piece in self._range(file, at, end):
                    at += len(piece)
                    yield piece
                if at >= end or not file.size:
                    return
            except (NoAnswer, ConnectionLost, ConnectFailed) as error:
                problem = error
            except _BusyStorage as busy:
                problem = busy.error
                self._api.pause(2.0**tries, self._stopped)
            except TooSlow as error:
                if not error.transfer:
                    raise
                problem, most, enough = error, _TRICKLES, _MUCH
            except _ExpiredAddress as expired:
                file.url = ""
                if fresh:
                    raise self._api.refusal(expired.status, self._handle) from None
                continue
            fresh = False
            if at >= last + enough:
                tries, last = 0, at
            tries += 1
            if tries >= most:
                raise problem

    def _range(self, file: StoredFile, begin: int, end: int) -> Iterator[bytes]:
        wanted = {"Range": f"bytes={begin}-{end - 1}"}
        patience = _LIMITS.patience(host_of(file.url))
        with (
            self._stoppable(patience),
            self._api.web.open(
                "GET", file.url, patience=patience, headers=wanted, redirects=REDIRECTS
            ) as response,
        ):
            self._check_status(response)
            if response.status_code == 416 and not file.size:  # of nothing there is no first byte
                return
            self._check_content(response, file, begin, end)
            left = end - begin
            patience.as_transfer()
            patience.within(WHOLE + left / _SLOWEST if left <= _LARGEST_PART else None)
            for piece in response.iter_raw():
                self.received_bytes += len(piece)
                yield piece[:left]
                left -= len(piece)
                if left <= 0:
                    return

    def _check_status(self, response: httpx2.Response) -> None:
        status = response.status_code
        if status in _EXPIRED:
            raise _ExpiredAddress(status)
        if status in _AGAIN:
            raise _BusyStorage(NetworkError(
                f"Kaggle's storage refuses for now (HTTP {status})", "try again in a few minutes"
            ))  # fmt: skip
        if status >= 400 and status != 416:
            raise self._api.refusal(status, self._handle)

    def _check_content(
        self, response: httpx2.Response, file: StoredFile, begin: int, end: int
    ) -> None:
        """Whether the answer is what was asked for, of the file that was listed."""
        headers = response.headers
        name = unquote(urlsplit(str(response.url)).path).rpartition("/")[2]
        part = content_range(headers.get("content-range", ""))
        length = headers.get("content-length", "")
        total = part[2] if part else int(length) if length.isdigit() and len(length) < 19 else None
        packed = name == f"{file.name.rpartition('/')[2]}.zip"
        if packed and not file.zipped and total:
            file.zipped, file.size = True, total
            self._take_sum(headers.get("x-goog-hash", ""), file)
            raise PackedInStorage(file)
        if headers.get("content-encoding", "identity") != "identity":
            raise odd("it compresses parts of a file")
        if response.status_code == 416:
            raise changed(file.name, file.size, "another size")
        if headers.get("content-type", "").startswith("text/html") and total != file.size:
            raise odd(f"it sends a web page in place of {one_line(file.name, 80)}")
        if response.status_code == 206:
            if part is None or part[0] != begin or part[1] >= end:
                raise odd("it sends another part than was asked for")
        elif total == file.size and (begin, end) != (0, file.size):
            self._take_sum(headers.get("x-goog-hash", ""), file)
            raise RangesIgnored(
                f"Kaggle's storage ignores byte ranges: it would send all of "
                f"{one_line(file.name, 80)} ({format_bytes(file.size)})",
                "inspect it after downloading it: gemmahub pull",
            )
        if total is not None and total != file.size:
            raise changed(file.name, file.size, format_bytes(total))
        self._take_sum(headers.get("x-goog-hash", ""), file)

    def _take_sum(self, header: str, file: StoredFile) -> None:
        """The MD5 in a header such as ``crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==``."""
        for part in header.split(","):
            kind, _, value = part.strip().partition("=")
            if kind != "md5":
                continue
            try:
                found = base64.b64decode(value, validate=True).hex()
            except binascii.Error:
                continue
            if file.md5 and found != file.md5:
                raise odd(f"{one_line(file.name, 80)} changed since it was listed")
            file.md5 = found

    @contextmanager
    def _stoppable(self, patience: Patience) -> Iterator[None]:
        """Ends an exchange also while it waits, soon after ``stopped`` says so."""
        if self._stopped is None:
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_LOOK_SECONDS):
                if self._stopped is not None and self._stopped():
                    patience.stop()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        except NetworkError as error:
            if self._stopped():  # a socket that was shut down also breaks in other ways
                raise ExchangeStopped from error
            raise
        finally:
            over.set()
            watcher.join()


class _ExpiredAddress(Exception):
    """A signed address that gives nothing any more."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class _BusyStorage(Exception):
    """An answer that may be another one later."""

    def __init__(self, error: NetworkError) -> None:
        super().__init__(error.message)
        self.error = error


class RemoteKaggleFile(PrefixSource):
    """A file of a version, read by ranges. Reading raises NetworkError, Gated, IntegrityError;
    RangesIgnored where only the whole file can be had."""

    def __init__(self, storage: Storage, listed: ListedFile, api: KaggleApi) -> None:
        super().__init__(listed.name.rpartition("/")[2], listed.size, _WINDOW)
        self._storage = storage
        self._listed = listed
        self._api = api

    def close(self) -> None:
        """Gives the connection back; twice is fine."""
        self._api.close()

    def _extend(self, end: int) -> None:
        file = self._storage.file(self._listed)
        try:
            for piece in self._storage.pieces(file, len(self._prefix), end):
                self._prefix += piece
        except PackedInStorage:
            raise RangesIgnored(
                f"Kaggle has {one_line(self._listed.name, 80)} compressed: parts of it "
                "cannot be read",
                "inspect it after downloading it: gemmahub pull",
            ) from None
