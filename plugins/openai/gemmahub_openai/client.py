"""One server over HTTP: JSON answers with limits, and errors that say what to do.

::

    with ServerClient(Server("lab", "http://127.0.0.1:8000")) as client:
        client.get("/v1/models", Clock(2.0))["data"]

Also what other plugins talk to such servers with (``gemmahub-lmstudio``).
"""

from __future__ import annotations

import json
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError, GenerationFailed, UsageError
from gemmahub_openai import faults

if TYPE_CHECKING:
    from gemmahub.http.client import WebAnswer, WebClient
    from gemmahub_openai.servers import Server

MOST_BYTES: Final = 16 << 20
"""Of an answer that is read whole: a list of models with their arguments."""
_SHORTEST: Final = 0.05


class Clock:
    """Seconds for several requests together; each may take what is left."""

    def __init__(self, seconds: float) -> None:
        self._end = monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, never quite none."""
        return max(self._end - monotonic(), _SHORTEST)

    @property
    def over(self) -> bool:
        """Whether none are left."""
        return self._end <= monotonic()


class ServerClient:
    """Asks one server. Several threads may share it; nothing is connected until it is used.

    ``web`` may be shared with other servers, and is then not closed with this.
    """

    def __init__(self, server: Server, web: WebClient | None = None) -> None:
        self.server = server
        self.program = ""  # what its last answer named in the header Server
        self._shared = web is not None
        self.web = web or web_client(server)

    def close(self) -> None:
        """Give back connections; twice is fine."""
        if not self._shared:
            self.web.close()

    def __enter__(self) -> ServerClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def _key(self) -> dict[str, str]:
        key = self.server.key
        return {"Authorization": f"Bearer {key}"} if key else {}

    def get(self, path: str, clock: Clock) -> dict[str, Any]:
        """A JSON object.

        Raises: BackendMissing where nobody answers; NotOffered for an endpoint that there is not;
        WebPage; BackendError.
        """
        return self._object("GET", path, None, clock, f"it was answering {path}")

    def post(self, path: str, body: dict[str, Any], clock: Clock) -> dict[str, Any]:
        """A JSON object. Raises: as :meth:`get`."""
        return self._object("POST", path, body, clock, f"it was working on {path}")

    def _object(
        self, method: str, path: str, body: dict[str, Any] | None, clock: Clock, doing: str
    ) -> dict[str, Any]:
        from gemmahub.http.values import NotJson, parse_json

        answer = self.fetch(method, path, body, clock, doing)
        self.program = answer.headers.get("server", "")[:80]
        if not 200 <= answer.status < 300:
            raise faults.from_status(self.server, answer.status, answer.body)
        try:
            found = parse_json(answer.body)
        except NotJson as error:
            reason = str(error) if answer.body.strip() else ""
            raise faults.not_json(self.server, answer.body, reason) from None
        if not isinstance(found, dict):
            raise faults.not_json(self.server, b"", "it is not a JSON object")
        # LM Studio answers 200 for a path that it does not have (lmstudio.ai/docs/api).
        said = faults.error_text(found)
        if said.startswith("Unexpected endpoint"):
            raise faults.NotOffered(f"{self.server.shown} has no {path}", "check the address")
        if said:
            raise BackendError(f"{self.server.shown} refuses: {said}", "see the server's log")
        return found

    def fetch(
        self, method: str, path: str, body: dict[str, Any] | None, clock: Clock, doing: str
    ) -> WebAnswer:
        """An answer of any status, read whole. Raises: BackendError."""
        from gemmahub.http.limits import ExchangeError, Limits

        if clock.over:
            raise GenerationFailed(
                f"{self.server.shown} did not answer in time while {doing}",
                "it may be busy or hang: see its log, then try again",
            )
        content = None if body is None else json.dumps(body).encode()
        limits = Limits(silence=clock.left, total=clock.left, most_bytes=MOST_BYTES)
        try:
            return self.web.fetch(
                method, self.server.url + path, limits=limits, content=content, headers=self._key
            )
        except UsageError as error:  # a proxy setting that cannot be
            raise BackendError(error.message, error.hint) from None
        except ExchangeError as error:
            raise faults.from_exchange(error, self.server, doing) from None


def web_client(server: Server) -> WebClient:
    """What speaks HTTP with a server; its key goes to its own address only."""
    from gemmahub.http.client import WebClient

    return WebClient(
        server.url,
        headers={"Content-Type": "application/json"},
        secrets={"Authorization": f"Bearer {server.key}"} if server.key else {},
        proxies=not server.local,
    )
