"""Whether a request to a server of ours names it as its host, and comes from no foreign page.

Other pages in a browser can send requests to a loopback port: by its address, then they name
themselves as the origin; or by a name of theirs that they let lead there (DNS rebinding), then they
name a foreign host.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
ANY: Final = frozenset({"0.0.0.0", "::"})
_HTTP_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Gate:
    """What is checked of every request. ``names`` are host names without a port; ``port`` None is
    that of whoever forwards a Unix socket. ``any_address`` takes every IP address as a name: a page
    of another name cannot come by one (DNS rebinding needs a name). ``origins`` are pages that may
    ask, too.
    """

    names: frozenset[str]
    port: int | None
    any_address: bool = False
    origins: frozenset[str] = frozenset()

    def is_own(self, hosts: Sequence[str], origins: Sequence[str]) -> bool:
        """Whether a request with these ``Host`` and ``Origin`` headers names us as its host, and
        comes from no page but ours."""
        host = split_host(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self._is_ours(host):
            return False
        if not origins:
            return True
        if len(origins) == 1 and origins[0] in self.origins:
            return True
        scheme, _, netloc = origins[0].partition("://")
        origin = split_host(netloc)
        if len(origins) > 1 or scheme.lower() != "http" or origin is None:
            return False
        return origin == host or (origin[0] in self.names and origin[1] == host[1])

    def _is_ours(self, host: tuple[str, int]) -> bool:
        if self.port is not None and host[1] != self.port:
            return False
        return host[0] in self.names or (self.any_address and _is_address(host[0]))


def gate_for(host: str, port: int | None, origins: frozenset[str] = frozenset()) -> Gate:
    """The gate of a server that listens on ``host``; a ``port`` of None is a Unix socket."""
    host = host.lower()
    if host in ANY:
        name = socket.gethostname().lower()
        return Gate(LOOPBACK | {name, f"{name}.local"}, port, any_address=True, origins=origins)
    return Gate(LOOPBACK if host in LOOPBACK else frozenset({host}), port, origins=origins)


def split_host(netloc: str) -> tuple[str, int] | None:
    """Name and port of a ``Host`` header; None for what is none."""
    try:
        parts = urlsplit(f"//{netloc}")
        port = parts.port
    except ValueError:
        return None
    if parts.netloc != netloc or "@" in netloc or not parts.hostname:
        return None
    return parts.hostname, _HTTP_PORT if port is None else port


def is_same(given: str, secret: str) -> bool:
    """Whether two texts are the same, compared in constant time."""
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
