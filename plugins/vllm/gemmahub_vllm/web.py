"""How a vLLM server is asked: clients, and single answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gemmahub.errors import BackendError
from gemmahub.http.values import NotJson, object_of, parse_json

if TYPE_CHECKING:
    from gemmahub.http.client import WebClient

_SIZE: Final = 4 << 20


def client(address: str, key: str, *, keep_alive: bool = True) -> WebClient:
    """A client of a server. Raises: UsageError for an address that is none."""
    from gemmahub.http.client import WebClient

    return WebClient(
        address,
        headers={"Content-Type": "application/json"},
        secrets={"Authorization": f"Bearer {key}"} if key else {},
        proxies=False,
        keep_alive=keep_alive,
    )


def fetch(address: str, key: str, path: str, seconds: float) -> dict[str, Any]:
    """What a server answers. Raises: BackendError for one that is down, slow, or no vLLM."""
    from gemmahub.http.limits import ExchangeError, Limits

    try:
        with client(address, key, keep_alive=False) as web:
            limits = Limits(silence=seconds, total=seconds, most_bytes=_SIZE)
            answer = web.fetch("GET", path, limits=limits)
            if answer.status in (401, 403):
                raise BackendError(
                    f"{address} rejected the key",
                    "set VLLM_API_KEY, or plugins.vllm.key in the settings file",
                )
            if answer.status != 200:
                raise NotJson(f"HTTP {answer.status} for {path}")
            return object_of(parse_json(answer.body))
    except (ExchangeError, NotJson) as error:
        raise BackendError(f"{address}: {error}", "is a vLLM server running there?") from None
