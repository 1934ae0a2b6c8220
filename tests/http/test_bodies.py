"""Limits in size: before and after unpacking, of a whole answer and of a line."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from gemmahub.http.bodies import lines
from gemmahub.http.client import WebClient
from gemmahub.http.limits import BadAnswer, ConnectionLost, Limits, TooLarge
from gemmahub.http.line_stream import LineStream
from tests.http.hostile_server import OK, Conversation, Script, endless, serving, without_end

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
BOMB = gzip.compress(bytes(64 * MIB), 9)
LIMITS = Limits(silence=30.0, total=60.0, most_bytes=MIB)


def fetched(script: Script, limits: Limits = LIMITS) -> bytes:
    with serving(script) as server, WebClient(server.url) as web:
        return web.fetch("GET", "/", limits=limits).body


def packed(body: bytes, coding: str = "gzip") -> Script:
    return lambda there: there.answer(body, Content_Encoding=coding)


def members(data: bytes) -> bytes:
    """Gzip in two parts, one after the other."""
    return gzip.compress(data[:9]) + gzip.compress(data[9:])


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, members])
def test_a_packed_answer_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    data = bytes(range(256)) * 1000
    assert fetched(packed(pack(data))) == data
    assert fetched(packed(data, "identity")) == data


def test_identity_is_what_is_requested() -> None:
    with serving(lambda there: there.answer()) as server, WebClient(server.url) as web:
        web.fetch("GET", "/")
        assert "accept-encoding: identity" in server.asked[0]


def test_a_bomb_costs_no_memory() -> None:
    with serving(packed(BOMB)) as server, WebClient(server.url) as web:
        web.fetch("GET", "/", limits=Limits(most_bytes=65 * MIB, total=60.0))  # loads what it needs
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge, match=r"more than 1\.05 MB"):
                web.fetch("GET", "/", limits=LIMITS)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 4 * MIB


@pytest.mark.parametrize(
    "script",
    [
        endless(b" " * 65536, b'{"version":"'),
        endless(b" "),
        endless(b"name", b"\x1f\x8b\x08\x08\0\0\0\0\0\x03", b"Content-Encoding: gzip\r\n"),
        endless(b"\0\0\0\xff\xff" * 9999, b"\x78\x9c", b"Content-Encoding: deflate\r\n"),
    ],
    ids=["bytes", "small chunks", "a packed head without end", "packed blocks of nothing"],
)
def test_an_answer_without_end_ends(script: Script) -> None:
    with serving(script) as server, WebClient(server.url) as web:
        with pytest.raises(TooLarge):
            web.fetch("GET", "/", limits=Limits(total=60.0, most_bytes=MIB // 4))
        # What the kernel's buffers of a connection take, and no more.
        assert server.sent < 64 * MIB


def test_a_length_that_is_a_lie_is_a_lost_connection() -> None:
    with pytest.raises(ConnectionLost):
        fetched(_lie)


def _send_only(there: Conversation, data: bytes) -> None:
    there.send(data)
    there.wait()


def _lie(there: Conversation) -> None:
    there.send(OK + b"Content-Length: 100\r\nConnection: close\r\n\r\nshort")
    raise OSError  # closes the connection


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (b"x" * 100, "gzip"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "gzip"),
        (b"", "gzip"),
        (b"x", "br"),
        (b"x", "gzip, gzip"),
        (b"x", "zstd"),
    ],
)
def test_what_cannot_be_unpacked_is_reported(body: bytes, coding: str) -> None:
    with pytest.raises(BadAnswer):
        fetched(packed(body, coding))


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 99999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
        b"\x1b[2J\0\0",
    ],
)
def test_what_is_not_http_is_a_lost_connection(head: bytes) -> None:
    with pytest.raises(ConnectionLost):
        fetched(lambda there: _send_only(there, head))


# --- lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_whole_however_they_come(size: int) -> None:
    data = b"one\n\n  \ntwo \xc2\x85 three\r\nfour"
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert list(lines(pieces, 100, "host")) == [b"one", b"two \xc2\x85 three\r", b"four"]


def test_a_line_has_a_limit() -> None:
    assert list(lines([b"x" * 100 + b"\n"], 100, "host")) == [b"x" * 100]
    for piece in (b"x" * 101 + b"\n", b"x" * 101, b" "):
        with pytest.raises(TooLarge, match="a line of more than 100 B"):
            list(lines(without_end(piece), 100, "host"))


def test_a_stream_of_one_line_without_end_ends() -> None:
    script = endless(b"a" * 65536, b'{"status":"')
    with serving(script) as server, WebClient(server.url) as web:
        with pytest.raises(TooLarge):
            list(LineStream(web, "GET", "/", None, Limits(line_bytes=MIB)).lines())
        assert server.sent < 64 * MIB


def test_a_packed_stream_is_unpacked_in_steps() -> None:
    with serving(packed(BOMB)) as server, WebClient(server.url) as web, pytest.raises(TooLarge):
        list(LineStream(web, "GET", "/", None, Limits(line_bytes=MIB)).lines())
