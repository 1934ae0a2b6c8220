"""A server on this machine that sends exactly what a test tells it to, well formed or not."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

Script = Callable[["Conversation"], None]
OK = b"HTTP/1.1 200 OK\r\n"


class Conversation:
    """One request and the way back. ``asked`` is its head, in lower case."""

    def __init__(self, server: HostileServer, connection: socket.socket, asked: str) -> None:
        self.server = server
        self.asked = asked
        self._connection = connection

    @property
    def path(self) -> str:
        """What was asked for."""
        return self.asked.split(" ")[1]

    def send(self, data: bytes) -> None:
        """Send bytes; raises OSError when nobody listens any more."""
        self._connection.sendall(data)
        self.server.sent += len(data)

    def answer(self, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
        """A whole answer; ``_`` in names of headers stands for ``-``."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def wait(self, seconds: float = 60.0) -> None:
        """Say nothing, until the test is over."""
        self.server.over.wait(seconds)

    def forever(self, pieces: Iterable[bytes], pause: float = 0.0) -> None:
        """Send, until nobody listens, the test is over, or 256 MB are sent."""
        for piece in pieces:
            if self.server.over.wait(pause) or self.server.sent > 1 << 28:
                return
            self.send(piece)


class HostileServer:
    """``script`` answers each request; ``asked`` are the heads of those that came."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[str] = []
        self.sent = 0
        self.over = threading.Event()
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                rest = b""
                try:
                    while True:
                        while b"\r\n\r\n" not in rest:
                            if not (piece := self.request.recv(65536)):
                                return
                            rest += piece
                        head, _, rest = rest.partition(b"\r\n\r\n")
                        rest = b""  # bodies of requests are small, and came with their heads
                        asked = head.decode().lower()
                        server.asked.append(asked)
                        server.script(Conversation(server, self.request, asked))
                except OSError:
                    pass

        self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._tcp.daemon_threads = True
        self.port: int = self._tcp.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[HostileServer]:
        """Listening, in the block."""
        thread = threading.Thread(target=self._tcp.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            self._tcp.shutdown()
            thread.join()
            self._tcp.server_close()


@contextmanager
def serving(script: Script) -> Iterator[HostileServer]:
    """A server with that script, in the block."""
    with HostileServer(script).running() as server:
        yield server


def without_end(piece: bytes) -> Iterator[bytes]:
    """The same piece again and again."""
    while True:
        yield piece


def endless(piece: bytes, first: bytes = b"", headers: bytes = b"") -> Script:
    """A body in chunks that has no end."""

    def script(there: Conversation) -> None:
        there.send(OK + b"Transfer-Encoding: chunked\r\n" + headers + b"\r\n")
        if first:
            there.send(b"%x\r\n%s\r\n" % (len(first), first))
        there.forever(without_end(b"%x\r\n%s\r\n" % (len(piece), piece)))

    return script


def dripping(head: bytes, piece: bytes = b" ") -> Script:
    """``head``, and then a piece a moment, never silent and never done."""

    def script(there: Conversation) -> None:
        there.send(head)
        there.forever(without_end(piece), pause=0.02)

    return script


DRIPS = {
    "body": dripping(OK + b"Content-Length: 99999\r\n\r\n"),
    "head": dripping(OK + b"X-Long: "),
    "status line": dripping(b"HTTP/1.1 200 ", b"O"),
    "interim answers": dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "head of a chunk": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "chunks": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers": dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x"),
    "packed": dripping(OK + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08\0\0\0\0\0\x03", b"n"),
}
