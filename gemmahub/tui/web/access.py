"""Who may use the UI in a browser: who knows the token, by a page of our own, under our own name.

Other users of this machine can connect to a loopback port, and other pages in the same browser can
send requests there: neither knows the token. The printed address holds it; the answer to that
address keeps a cookie instead and leads to an address without it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemmahub.http.gate import is_same, split_host

if TYPE_CHECKING:
    from collections.abc import Mapping


def _new_secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Keys:
    """The token of the printed address, and the secret in the cookie that it is exchanged for."""

    token: str = field(default_factory=_new_secret, repr=False)
    secret: str = field(default_factory=_new_secret, repr=False)

    def is_token(self, text: str) -> bool:
        """Whether it is the token."""
        return is_same(text, self.token)

    def has_cookie(self, cookies: Mapping[str, str], host: str) -> bool:
        """Whether the request brought the cookie that the token was exchanged for."""
        return is_same(cookies.get(cookie_name(host), ""), self.secret)


def cookie_name(host: str) -> str:
    """Cookies do not know ports: a name for each keeps two servers of one machine apart."""
    found = split_host(host)
    return f"gemmahub-{found[1] if found else 0}"
