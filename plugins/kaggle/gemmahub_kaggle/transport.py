"""How kagglehub's client reaches the network: through gemmahub's own limits.

kagglesdk 0.1.38 (``kaggle_http_client.py``) sends with requests and without any limit: neither in
time, nor on the length of an answer. Its requests, login and records stay its own; what carries
them is replaced here.
"""

from __future__ import annotations

from http.client import responses
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

from gemmahub.http.limits import Limits
from gemmahub.http.values import NotJson, parse_json
from gemmahub_kaggle.failures import odd

if TYPE_CHECKING:
    import requests

    from gemmahub.http.client import WebClient

LIMITS: Final = Limits(most_bytes=16 << 20)  # a listing of 10,000 files has about 2 MB
_OURS: Final = frozenset({"accept-encoding", "connection", "content-length", "content-encoding"})
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


class LimitedAdapter(BaseAdapter):
    """Carries requests of a session. Raises: ExchangeError; NetworkError for what is no JSON."""

    def __init__(self, web: WebClient) -> None:
        super().__init__()
        self._web = web

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """One request, its answer read whole; redirects are left to who asked."""
        headers = {k: _text(v) for k, v in request.headers.items() if k.lower() not in _OURS}
        body = _text(request.body or "") if isinstance(request.body, str | bytes) else ""
        answer = self._web.fetch(
            request.method or "GET",
            request.url or "",
            limits=LIMITS,
            content=body.encode() or None,
            headers=headers,
        )
        if answer.status < 300:
            try:
                parse_json(answer.body)
            except NotJson as error:
                raise odd(str(error)) from None
        told = {k: v for k, v in answer.headers.items() if k.lower() not in _OURS}
        raw = HTTPResponse(
            BytesIO(answer.body if answer.status not in _MOVED else b""),
            headers=told,
            status=answer.status,
            reason=responses.get(answer.status, ""),
            preload_content=False,
        )
        return HTTPAdapter().build_response(request, raw)

    def close(self) -> None:
        """Give back connections."""
        self._web.close()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()
