"""Whether the hub can be reached at all, as far as this machine knows without asking anybody."""

from __future__ import annotations

import errno
import os
import socket
from typing import Final
from urllib.parse import urlsplit

from gemmahub.hub.client import is_offline

# Addresses for documentation (RFC 5737, RFC 3849): nothing is ever sent to them.
_ANYWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_NO_WAY: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})


def why_unreachable() -> str:
    """Why the hub is sure not to be reached, in few words; "" where it may be.

    Nothing is sent: connecting a datagram socket only looks up the route.
    """
    if is_offline():
        return "HF_HUB_OFFLINE is set"
    if any(os.environ.get(name) or os.environ.get(name.lower()) for name in _PROXIES):
        return ""
    host = urlsplit(os.environ.get("HF_ENDPOINT") or "").hostname or ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return ""
    return "" if any(_has_route(*place) for place in _ANYWHERE) else "this machine has no network"


def _has_route(family: socket.AddressFamily, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, 9))
    except OSError as error:
        # No such family, or no way there. Anything else says nothing about the network.
        return error.errno not in (*_NO_WAY, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
    return True
