"""An answer that comes line by line, and that another thread can stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gemmahub.http.addresses import host_of
from gemmahub.http.bodies import lines, read_whole, unpacked
from gemmahub.http.limits import ExchangeError, ExchangeStopped

if TYPE_CHECKING:
    from collections.abc import Generator

    from gemmahub.http.client import WebClient
    from gemmahub.http.limits import Limits


class ErrorStatus(Exception):
    """The server answered with an error: its status, and the body, read whole."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.body = body


class LineStream:
    """One request with one answer. ``stopped`` is true once it was stopped from here.

    ``limits.total`` bounds the wait for the head and for each line, in place of the whole: a line
    that drips ends, a long answer does not. Lines of white space alone count as no line.
    """

    def __init__(
        self, web: WebClient, method: str, url: str, content: bytes | None, limits: Limits
    ) -> None:
        self.stopped = False
        self._web = web
        self._request = method, url
        self._content = content
        self._limits = limits
        self._host = host_of(web.address(url))
        self._patience = limits.patience(self._host)

    def stop(self) -> None:
        """End it now: whoever reads it comes to its end. From any thread; twice is fine."""
        self.stopped = True
        self._patience.stop()

    def lines(self) -> Generator[bytes, None, None]:
        """The lines as they come, without their ends; nothing after :meth:`stop`.

        Raises: Refused for a status of 400 or more, ExchangeError.
        """
        if self.stopped:
            return
        try:
            yield from self._lines()
        except (ExchangeError, ExchangeStopped):
            if not self.stopped:
                raise

    def _lines(self) -> Generator[bytes, None, None]:
        method, url = self._request
        self._patience.within(self._limits.total)
        with self._web.open(
            method, url, patience=self._patience, content=self._content
        ) as response:
            if response.status_code >= 400:
                raise ErrorStatus(
                    response.status_code, read_whole(response, self._limits.most_bytes)
                )
            self._patience.within(self._limits.total)
            for line in lines(unpacked(response), self._limits.line_bytes, self._host):
                if self.stopped:
                    return
                yield line
                self._patience.within(self._limits.total)
