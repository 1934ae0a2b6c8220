"""Web addresses: which belong together, and where an answer sends on to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from gemmahub.text import one_line

if TYPE_CHECKING:
    import httpx2

REDIRECTS: Final = 5
"""How often an answer may send on before it is an error."""
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


def is_web(address: str) -> bool:
    """Whether it is an address of http or https with a host."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or a host that cannot be
        return False


def same_origin(one: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port."""
    return _origin(one) == _origin(other)


def host_of(address: str) -> str:
    """The host and port of an address as they are shown: without user and password."""
    try:
        return one_line(urlsplit(address).netloc.rpartition("@")[2], 80) or "the server"
    except ValueError:
        return "the server"


def redirect_target(response: httpx2.Response, url: str) -> str | None:
    """Where an answer sends on to, None if it does not, "" if that is no web address."""
    location = response.headers.get("location")
    if response.status_code not in _MOVED or not location:
        return None
    try:
        target = urljoin(url, location)
    except ValueError:
        return ""
    return target if is_web(target) else ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
