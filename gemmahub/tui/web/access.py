"""Who may use the UI in a browser: who knows the token, by a page of our own, under our own name.

Other users of this machine can connect to a loopback port, and other pages in the same browser can
send requests there: neither knows the token. The printed address holds it; the answer to that
address keeps a cookie instead and leads to an address without it.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multidict import CIMultiDict, CIMultiDictProxy

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
ANY: Final = frozenset({"0.0.0.0", "::"})
_HTTP_PORT: Final = 80


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Gate:
    """What is checked of every request. ``names`` are host names without a port; ``port`` None is
    that of whoever forwards a Unix socket. ``any_address`` takes every IP address as a name: a page
    of another name cannot come by one (DNS rebinding needs a name).
    """

    names: frozenset[str]
    port: int | None
    any_address: bool = False
    token: str = field(default_factory=_new_secret, repr=False)
    secret: str = field(default_factory=_new_secret, repr=False)

    def is_own(self, headers: CIMultiDictProxy[str] | CIMultiDict[str]) -> bool:
        """Whether a request names us as its host, and comes from no page but ours."""
        hosts, origins = headers.getall("Host", []), headers.getall("Origin", [])
        host = _split(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_ours(host):
            return False
        if not origins:
            return True
        scheme, _, netloc = origins[0].partition("://")
        origin = _split(netloc)
        if len(origins) > 1 or scheme.lower() != "http" or origin is None:
            return False
        return origin == host or (origin[0] in self.names and origin[1] == host[1])

    def is_token(self, text: str) -> bool:
        """Whether it is the token, compared in constant time."""
        return _same(text, self.token)

    def has_cookie(self, cookies: Mapping[str, str], host: str) -> bool:
        """Whether the request brought the cookie that the token was exchanged for."""
        return _same(cookies.get(cookie_name(host), ""), self.secret)

    def _is_ours(self, host: tuple[str, int]) -> bool:
        if self.port is not None and host[1] != self.port:
            return False
        return host[0] in self.names or (self.any_address and _is_address(host[0]))


def gate_for(host: str, port: int | None) -> Gate:
    """The gate of a server that listens on ``host``; a ``port`` of None is a Unix socket."""
    host = host.lower()
    if host in ANY:
        name = socket.gethostname().lower()
        return Gate(LOOPBACK | {name, f"{name}.local"}, port, any_address=True)
    return Gate(LOOPBACK if host in LOOPBACK else frozenset({host}), port)


def cookie_name(host: str) -> str:
    """Cookies do not know ports: a name for each keeps two servers of one machine apart."""
    found = _split(host)
    return f"gemmahub-{found[1] if found else 0}"


def _split(netloc: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(f"//{netloc}")
        port = parts.port
    except ValueError:
        return None
    if parts.netloc != netloc or "@" in netloc or not parts.hostname:
        return None
    return parts.hostname, _HTTP_PORT if port is None else port


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())
