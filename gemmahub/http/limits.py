"""How long and how much: the limits of an exchange with a server, and what passing one raises."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from gemmahub.errors import NetworkError
from gemmahub.text import format_bytes, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

SILENCE: Final = 10.0
"""Seconds that a server may say nothing."""
WHOLE: Final = 12.0
"""Seconds for an exchange whose answer is read whole: connection, request, head and body."""
MOST_BYTES: Final = 4 << 20
"""Bytes of an answer that is read whole, as it comes and as it is unpacked."""
LINE_BYTES: Final = 1 << 20
"""Bytes of one line of a stream."""
FLOOR_SECONDS: Final = 5.0
FLOOR_BYTES: Final = 512
"""A long transfer has no limit in time, but a floor: fewer bytes than these in so many seconds of
waiting (100 bytes a second) count as a lost connection. A single packet of a real transfer has
more, so that a line that stalls for some seconds and goes on does not fall below it."""
_SHORTEST: Final = 0.001  # seconds; a socket takes 0 for "do not wait at all"


class ExchangeError(NetworkError):
    """An exchange with a server that failed."""


class ConnectFailed(ExchangeError):
    """Nobody answers there, or a proxy or a certificate is in the way."""


class NoAnswer(ExchangeError):
    """The server was silent for longer than the limit."""


class ConnectionLost(ExchangeError):
    """The connection broke in the middle."""


class TooSlow(ExchangeError):
    """The server sends, but too slowly. ``transfer``: a long one, which can be taken up again."""

    def __init__(self, message: str, hint: str = "", transfer: bool = False) -> None:
        super().__init__(message, hint)
        self.transfer = transfer

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.hint, self.transfer)


class TooLarge(ExchangeError):
    """The answer, or a line of it, is longer than the limit."""


class BadAnswer(ExchangeError):
    """An answer that breaks the protocol, or sends on to what is no web address."""


class ExchangeStopped(Exception):
    """The exchange was stopped from here, by another thread."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one exchange.

    ``silence``: seconds without a byte; ``connect``: seconds for a connection (default: the same);
    ``total``: seconds for the whole exchange, None for none; ``most_bytes``: of an answer that is
    read whole; ``line_bytes``: of a line.
    """

    silence: float = SILENCE
    total: float | None = WHOLE
    most_bytes: int = MOST_BYTES
    line_bytes: int = LINE_BYTES
    connect: float | None = None

    def patience(self, host: str) -> Patience:
        """The clock of an exchange that begins now."""
        return Patience(self.silence, host, total=self.total, connect=self.connect)


class _Stream(Protocol):
    def get_extra_info(self, info: str) -> Any: ...


class Patience(float):
    """A limit on silence, in seconds, that also knows when its exchange has to end.

    httpx2 and httpcore2 hand a timeout down to the network as the object that it is, where
    :class:`~gemmahub.http.network.LimitedStream` asks it; to anybody else it is a plain number.
    So the limit holds wherever a server can be slow: in the handshake, the head, the body, and on
    connections that are used again. One object an exchange. ``heard``: whether a byte came.
    """

    def __new__(cls, silence: float, *_: Any, **__: Any) -> Self:
        return super().__new__(cls, silence)

    def __init__(
        self,
        silence: float,
        host: str,
        *,
        total: float | None = None,
        connect: float | None = None,
        hint: str = "",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.host = one_line(host, 80)
        self.connect = float(self) if connect is None else connect
        self.clock = clock
        self._hint = hint or "try again later; or ask another server"
        self._stopped = False
        self._stream: _Stream | None = None
        self._floor = False
        self._waited = 0.0
        self._count = 0
        self.heard = False
        self._end: float | None = None
        self._total = total

    def within(self, seconds: float | None) -> None:
        """The exchange has so many seconds from its next wait on; None takes the limit away."""
        self._total, self._end = seconds, None

    def as_transfer(self, held: bool = True) -> None:
        """From now on the floor of long transfers holds, or does not."""
        self._floor = held
        self._waited, self._count = 0.0, 0

    def left(self, longest: float | None = None) -> float:
        """Seconds that the next step may wait, at most ``longest`` (default: the silence).

        Raises: TooSlow when there are none, Stopped.
        """
        if self._stopped:
            raise ExchangeStopped
        longest = float(self) if longest is None else longest
        if self._total is None:
            return max(longest, _SHORTEST)
        now = self.clock()
        # The clock starts with the first wait: loading libraries is not the server's time.
        self._end = now + self._total if self._end is None else self._end
        if self._end <= now:
            raise TooSlow(
                f"{self.host} answers too slowly: more than {self._total:.3g} s for one answer",
                self._hint,
            )
        return max(min(longest, self._end - now), _SHORTEST)

    def moved(self, count: int, waited: float) -> None:
        """So many bytes came, or were taken, after so many seconds of waiting for that.

        Raises: TooSlow, for a transfer that falls below the floor.
        """
        if not self._floor:
            return
        self._waited += waited
        self._count += count
        if self._waited < FLOOR_SECONDS:
            return
        if self._count < FLOOR_BYTES:
            raise TooSlow(
                f"only {format_bytes(self._count)} in {self._waited:.0f} s to or from {self.host}",
                "the part that arrived is kept: try again, or use another network",
                transfer=True,
            )
        self._waited, self._count = 0.0, 0

    def uses(self, stream: _Stream) -> None:
        """The connection that the exchange waits for."""
        self._stream = stream

    def stop(self) -> None:
        """End the exchange now, also while it waits. From any thread; twice is fine."""
        self._stopped = True
        stream = self._stream
        open_socket = None if stream is None else stream.get_extra_info("socket")
        if open_socket is not None:
            with contextlib.suppress(OSError):  # closed already
                open_socket.shutdown(socket.SHUT_RDWR)


def too_large(host: str, most: int) -> TooLarge:
    """The error for an answer that is longer than the limit."""
    return TooLarge(
        f"{one_line(host, 80)} sends more than {format_bytes(most)} in one answer",
        "check the address and the proxy",
    )
