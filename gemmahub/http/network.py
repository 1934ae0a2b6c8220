"""The network below httpx2, where each wait for a server is cut to what its exchange has left.

httpcore2 gives a timeout to each single read: an answer that drips a byte a second never meets it,
and neither does a head that drips, a chunk's own head, or an interim answer. Here the timeout of a
read is the rest of the exchange's time, which the timeout itself knows (:class:`Patience`).
"""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

import httpcore2

from gemmahub.http.limits import Patience

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    import httpx2

_PIECE: Final = 64 * 1024  # bytes that are sent before the clock is looked at again


class LimitedStream(httpcore2.NetworkStream):
    """A connection. A timeout that is a plain number is passed on as it is."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """At least one byte; none at the end. Raises: TooSlow, Stopped, httpcore2's own errors."""
        if not isinstance(timeout, Patience):
            return self._stream.read(max_bytes, timeout=timeout)
        timeout.uses(self._stream)
        begin = timeout.clock()
        try:
            data = self._stream.read(max_bytes, timeout=timeout.left())
        except httpcore2.TimeoutException:
            if timeout.heard:
                timeout.left()  # raises where it is the end of the exchange, not a silence
            raise
        timeout.heard = True
        timeout.moved(len(data), timeout.clock() - begin)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it. Raises as :meth:`read`."""
        if not isinstance(timeout, Patience):
            self._stream.write(buffer, timeout=timeout)
            return
        timeout.uses(self._stream)
        view = memoryview(buffer)
        while view:
            piece, view = bytes(view[:_PIECE]), view[_PIECE:]
            begin = timeout.clock()
            self._stream.write(piece, timeout=timeout.left())
            timeout.moved(len(piece), timeout.clock() - begin)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> LimitedStream:
        """The same connection, encrypted. A handshake has one timeout for all of it."""
        if isinstance(timeout, Patience):
            timeout.uses(self._stream)
            timeout = timeout.left()
        return LimitedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """What the connection says about itself, as httpcore2 names it."""
        return self._stream.get_extra_info(info)


class LimitedBackend(httpcore2.NetworkBackend):
    """Makes connections; looking up a name, and trying its addresses, counts as well."""

    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> LimitedStream:
        """A connection to the first address of ``host`` that takes one.

        Raises: TooSlow, Stopped, httpcore2's ConnectError and ConnectTimeout.
        """
        if not isinstance(timeout, Patience):
            return LimitedStream(
                self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
            )
        failure: Exception = httpcore2.ConnectError("the name has no address")
        for address in _addresses(host, port, timeout):
            try:
                stream = self._backend.connect_tcp(
                    address, port, timeout.left(timeout.connect), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return LimitedStream(stream)
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> LimitedStream:
        """A connection to a socket of this machine."""
        wait = timeout.left(timeout.connect) if isinstance(timeout, Patience) else timeout
        return LimitedStream(self._backend.connect_unix_socket(path, wait, socket_options))

    def sleep(self, seconds: float) -> None:
        """Wait between two tries."""
        self._backend.sleep(seconds)


def limit(client: httpx2.Client) -> httpx2.Client:
    """The client, its connections watched from now on. Twice is fine.

    httpx2 has no public way to give its transports a network backend, which httpcore2's pools take;
    a transport of another kind stays as it is.
    """
    for transport in (client._transport, *client._mounts.values()):
        pool: Any = getattr(transport, "_pool", None)
        backend = getattr(pool, "_network_backend", None)
        if isinstance(backend, httpcore2.NetworkBackend) and not isinstance(
            backend, LimitedBackend
        ):
            pool._network_backend = LimitedBackend(backend)
            for connection in pool.connections:
                if connection.is_idle():  # made before, and so not watched
                    connection.close()
    return client


def _addresses(host: str, port: int, patience: Patience) -> list[str]:
    """The addresses of a name, looked up by a thread that can be left alone: nothing else ends it.

    Raises: httpcore2.ConnectError, ConnectTimeout.
    """
    if _is_address(host):
        return [host]
    found: list[str] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append(str(place[0]))
        except (OSError, UnicodeError) as error:
            failed.append(error if isinstance(error, OSError) else OSError(str(error)))

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(patience.left(patience.connect))
    if thread.is_alive():
        raise httpcore2.ConnectTimeout(f"the name {host} was not found in time")
    if failed:
        raise httpcore2.ConnectError(str(failed[0])) from failed[0]
    return list(dict.fromkeys(found))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
