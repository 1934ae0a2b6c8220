"""Bodies of answers: whole or line by line, with a limit before and after unpacking."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from gemmahub.http.limits import BadAnswer, TooLarge, too_large
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import httpx2

_STEP: Final = 64 * 1024  # bytes that are unpacked at once, whatever they unpack from
_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})


def read_whole(
    response: httpx2.Response,
    most_bytes: int,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> bytes:
    """All of the body, unpacked; ``on_bytes`` hears how much came over the line.

    Raises: TooLarge for more than ``most_bytes``, as it comes or as it is unpacked; BadAnswer;
    TooSlow; httpx2's errors.
    """
    host = response.request.url.host
    found = bytearray()
    for piece in unpacked(response, most_bytes, on_bytes):
        found += piece
        if len(found) > most_bytes:
            raise too_large(host, most_bytes)
    return bytes(found)


def unpacked(
    response: httpx2.Response,
    most_bytes: int | None = None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> Iterator[bytes]:
    """The body in pieces of at most 64 KB each where it was packed, with a limit on its length.

    Raises: as :func:`read_whole`.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    host = response.request.url.host
    if coding not in ("", "identity") and coding not in _PACKED:
        raise BadAnswer(
            f"{one_line(host, 80)} compressed its answer as {one_line(coding, 40)} "
            "although this was not requested",
            "check the proxy, which may have done so",
        )
    gzip = _Gzip(host) if coding in _PACKED else None
    came = 0
    for piece in response.iter_raw():
        came += len(piece)
        on_bytes(len(piece))
        if most_bytes is not None and came > most_bytes:
            raise too_large(host, most_bytes)
        if gzip is None:
            yield piece
        else:
            yield from gzip.feed(piece)
    if gzip is not None:
        gzip.finish()


class _Gzip:
    """Unpacks gzip and zlib (RFC 1952, 1950) a step at a time: a bomb costs no memory."""

    def __init__(self, host: str) -> None:
        self._host = one_line(host, 80)
        self._inflate = _inflate()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` unpacks to, in steps."""
        while data:
            try:
                piece = self._inflate.decompress(data, _STEP)
                while piece:
                    yield piece
                    piece = self._inflate.decompress(self._inflate.unconsumed_tail, _STEP)
            except zlib.error as error:
                raise self._damaged() from error
            data = b""
            if self._inflate.eof and self._inflate.unused_data:  # another member follows
                data, self._inflate = self._inflate.unused_data, _inflate()

    def finish(self) -> None:
        """Raises: BadAnswer where the end is missing."""
        if not self._inflate.eof:
            raise self._damaged()

    def _damaged(self) -> BadAnswer:
        return BadAnswer(
            f"{self._host} sent a damaged compressed answer", "try again; check the proxy"
        )


def _inflate() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib: by its own first bytes


def lines(pieces: Iterable[bytes], longest: int, host: str) -> Iterator[bytes]:
    """Lines that end in LF, without it; those of nothing but white space are left out.

    (httpx2's own also end at U+0085, which an answer may hold.) Raises: TooLarge for a line of more
    than ``longest`` bytes.
    """
    rest = bytearray()
    for piece in pieces:
        seen, begin = len(rest), 0
        rest += piece
        while (end := rest.find(b"\n", max(seen, begin))) >= 0:
            _check_length(end - begin, longest, host)
            if (line := bytes(rest[begin:end])).strip():
                yield line
            begin = end + 1
        del rest[:begin]
        _check_length(len(rest), longest, host)
    if rest.strip():
        yield bytes(rest)


def _check_length(length: int, longest: int, host: str) -> None:
    if length > longest:
        raise TooLarge(
            f"{one_line(host, 80)} sends a line of more than {format_bytes(longest)}",
            "check the address and the proxy",
        )
