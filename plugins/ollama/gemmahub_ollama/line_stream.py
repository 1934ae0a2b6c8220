"""An answer that comes as JSON objects, one a line, and that another thread can stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.http.line_stream import ErrorStatus, LineStream
from gemmahub.http.values import NotJson, parse_json
from gemmahub_ollama import failures

if TYPE_CHECKING:
    from collections.abc import Generator

    from gemmahub.http.client import WebClient
    from gemmahub.http.limits import Limits

_MOST_VALUES: Final = 200_000  # the last object may hold each token of a context


class Refused(Exception):
    """The server answered with an error; ``status`` is 0 where the answer had begun."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


class Nonsense(Exception):
    """A line that is no JSON object; the text says what it is."""


class JsonStream:
    """One answer. ``stopped`` is true once it was stopped from here."""

    def __init__(self, web: WebClient, path: str, content: bytes, limits: Limits) -> None:
        self._lines = LineStream(web, "POST", path, content, limits)

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._lines.stopped

    def stop(self) -> None:
        """End it now: whoever reads it comes to its end. From any thread; twice is fine."""
        self._lines.stop()

    def objects(self) -> Generator[dict[str, Any], None, None]:
        """The objects as they come; nothing after :meth:`stop`.

        Raises: Refused, Nonsense, ExchangeError.
        """
        try:
            for line in self._lines.lines():
                found = _parsed(line)
                said = failures.error_in(found)
                if said is not None:
                    raise Refused(0, said)
                yield found
        except ErrorStatus as error:
            raise Refused(error.status, _said(error.body)) from error


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = parse_json(line.decode("utf-8", "replace").encode(), _MOST_VALUES)
    except NotJson as error:
        problem = str(error).removeprefix("it ")
        raise Nonsense(f"a line of the answer {problem}") from None
    if not isinstance(found, dict):
        raise Nonsense("a line of the answer is not a JSON object")
    return found


def _said(body: bytes) -> str:
    """The error that an answer tells, as Ollama words it where it does."""
    try:
        return failures.error_in(_parsed(body)) or ""
    except Nonsense:
        return ""
